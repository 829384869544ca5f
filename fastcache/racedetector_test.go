package fastcache

import "testing"

// SkipUnderRace leaves a long test of one goroutine to the runs without the race detector, which finds nothing in it.
func SkipUnderRace(t *testing.T) {
	t.Helper()
	if Raced {
		t.Skip("one goroutine: the race detector finds nothing here")
	}
}
