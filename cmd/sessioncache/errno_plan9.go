package main

import "strings"

// Errors of Plan 9 are text.

func says(err error, texts ...string) bool {
	for _, text := range texts {
		if err != nil && strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

func isReset(err error) bool { return says(err, "hungup", "connection reset") }

func isRefused(err error) bool { return says(err, "connection refused") }

func isUnreachable(err error) bool { return says(err, "no route", "unreachable") }

func isNoFreePort(err error) bool { return says(err, "no free port", "address in use") }

func isTooManyFiles(err error) bool { return says(err, "no free file descriptors") }
