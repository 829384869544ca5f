// Package parts says which parts of the interop tests run. Each needs programs that a machine may
// lack; the environment variable SKIP leaves parts out, as in SKIP="otp nginx".
package parts

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// known are the parts, by what they need; prometheus is that of promcollector, redis and valkey are those of redisstore. scripts/tools.sh has the same list.
var known = []string{"curl", "nginx", "openssl", "otp", "prometheus", "redis", "valkey"}

// Need skips a test that needs a part which SKIP leaves out. A name in SKIP that is no part
// fails the test: a part that was to be left out would run, or one that was to run be taken for done.
func Need(t testing.TB, part string) {
	t.Helper()
	if Skipped(t, part) {
		t.Skipf("SKIP leaves out %s", part)
	}
}

// Skipped reports whether SKIP leaves out a part, for a test of several.
func Skipped(t testing.TB, part string) bool {
	t.Helper()
	skipped, err := parse(os.Getenv("SKIP"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(known, part) {
		t.Fatalf("%q is no part; the parts are %s", part, strings.Join(known, ", "))
	}
	return slices.Contains(skipped, part)
}

// parse returns the parts that a value of SKIP names, separated by blanks or commas.
func parse(value string) ([]string, error) {
	names := strings.FieldsFunc(value, func(c rune) bool { return c == ' ' || c == ',' || c == '\t' || c == '\n' })
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("SKIP names %q; the parts are %s", name, strings.Join(known, ", "))
		}
	}
	return names, nil
}
