package sessiontest

import (
	"fmt"

	"github.com/sessioncache/sessioncache/session"
)

// The sessions and keys here are the checks' own, so a message may show them.

func show(key session.Key) string {
	return fmt.Sprintf("{%s, %s}", brief(key.Partial), brief(key.ID))
}

// brief shortens what is long: there are keys of 64 KiB.
func brief(s string) string {
	if len(s) <= 24 {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:8], len(s))
}
