package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestOTPPortServesItsStandardStreams(t *testing.T) {
	size := "\x00\x00\x00\x0a" + "\x01\x04" + "\x00\x00\x00\x00\x00\x00\x00\x07"
	answer := "\x00\x00\x00\x12" + "\x01\x00" + "\x00\x00\x00\x00\x00\x00\x00\x07" + "\x00\x00\x00\x00\x00\x00\x00\x00"
	tests := []struct {
		name       string
		args       []string
		stdin      string
		wantCode   int
		wantStdout string
		wantStderr string
	}{
		{name: "a request", stdin: size, wantStdout: answer},
		{name: "the owner is gone at once"},
		{name: "a frame cut short", stdin: size[:9], wantCode: exitFailed, wantStdout: "unexpected EOF", wantStderr: "unexpected EOF"},
		{name: "help", args: []string{"-h"}, wantStdout: "usage: sessioncache otp-port"},
		{name: "faulty flags", args: []string{"-ttl", "-1s", "-max-sessions=0"}, wantCode: exitUsage,
			wantStderr: "-max-sessions is 0; want at least 1; -ttl is -1s; want more than 0\n"},
		{name: "unknown flag", args: []string{"-x"}, wantCode: exitUsage, wantStderr: "'sessioncache otp-port -h' lists the flags"},
		{name: "stray argument", args: []string{"x"}, wantCode: exitUsage, wantStderr: `unexpected argument "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := runWith(append([]string{"otp-port"}, tt.args...), strings.NewReader(tt.stdin), &stdout, &stderr); code != tt.wantCode {
				t.Errorf("exit status %d; want %d", code, tt.wantCode)
			}
			checkOutput(t, "stdout", stdout.String(), tt.wantStdout)
			checkOutput(t, "stderr", stderr.String(), tt.wantStderr)
		})
	}
}
