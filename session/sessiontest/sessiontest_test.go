package sessiontest

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/sessioncache/sessioncache/session"
)

// A recorder is a test that may fail without its parent noticing.
type recorder struct {
	testing.TB
	mu    sync.Mutex
	texts []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.texts) > 0
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// failures runs every check in a bubble and returns what the failing ones said first, by name.
func failures(t *testing.T, open func(testing.TB) session.Store) map[string]string {
	failed := map[string]string{}
	for _, c := range checks {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.run(r, open)
			}()
			<-done
			if len(r.texts) > 0 {
				failed[c.name] = r.texts[0]
			}
		})
	}
	return failed
}

// faults are broken Stores, with the checks that must fail for each, and no other; first, two that
// are not broken.
var faults = []struct {
	name string
	want []string
}{
	{"", nil},
	{"is slow, which is no fault", nil},
	{"ignores contexts", []string{"DoneContextsDoNothing", "IndexDoneContextsDoNothing"}},
	{"cuts ids at NUL", []string{"AnyKeyBytes", "SelectSessionMatchesThePartialKeyOnly"}},
	{"shares what it returns", []string{"ReturnedSessionsAreTheCallers"}},
	{"absent is nil", []string{"OTPFlow", "AbsentIsErrNotFound", "LocalIsTheSameStore"}},
	{"returns expired", []string{"ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew", "IndexAgreesWithLookup"}},
	{"brings back deleted ones when busy", []string{"ReadsAreLinearizable"}},
	{"take is two steps", []string{"TakeHasOneWinner"}},
	{"take is lookup", []string{"TakeRemoves", "TakeHasOneWinner", "IndexAgreesWithLookup"}},
	{"take returns expired", []string{"ExpiredIsNeverReturned"}},
	{"keeps the caller's slice", []string{"UpdateCopiesTheSession"}},
	{"a TTL of 0 is for ever", []string{"BadTTLIsRefused", "IndexAgreesWithLookup"}},
	{"adds TTLs without a look", []string{"HugeTTLsDoNotOverflow"}},
	{"refuses 16 KiB", []string{"AnySessionBytes"}},
	{"update keeps the deadline", []string{"UpdateBeginsTheTTLAnew"}},
	{"rounds TTLs to a tenth of a second", []string{"SessionsLiveUntilTheirTTL", "EntriesSayWhenTheyExpire"}},
	{"update inserts", []string{
		"UpdateReplaces", "AnySessionBytes", "DeleteIsIdempotent", "BadTTLIsRefused",
		"UpdateBeginsTheTTLAnew", "DoneContextsDoNothing", "ClosedIsErrClosed", "CloseWithCallersInside",
		"ReadsAreLinearizable", "OTPUniqueSession", "SelectSessionIsNewestFirst", "TakeNewestTakesTheNewest",
		"DeletePartialRemovesAll", "IndexAgreesWithLookup",
	}},
	{"delete of nothing fails", []string{"DeleteIsIdempotent"}},
	{"works after close", []string{
		"ClosedIsErrClosed", "CloseWithCallersInside", "IndexClosedIsErrClosed", "LocalIsTheSameStore",
	}},
	{"cannot close twice", []string{
		"OTPFlow", "ClosedIsErrClosed", "CloseWithCallersInside", "IndexClosedIsErrClosed",
		"LocalIsTheSameStore",
	}},
	{"ignores the limit", []string{"SelectSessionHonoursLimit"}},
	{"oldest first", []string{
		"SelectSessionIsNewestFirst", "SelectSessionHonoursLimit", "SelectSessionMatchesThePartialKeyOnly",
		"IndexAgreesWithLookup",
	}},
	{"matches prefixes", []string{"SelectSessionIsNewestFirst", "SelectSessionMatchesThePartialKeyOnly"}},
	{"index forgets no one", []string{
		"SelectSessionHonoursLimit", "IndexNeverReturnsExpired", "DeletePartialRemovesAll",
		"AllMayChangeTheStore", "IndexAgreesWithLookup",
	}},
	{"entries never expire", []string{"EntriesSayWhenTheyExpire"}},
	{"returns ids for keys", []string{"OTPReuse", "IndexAgreesWithLookup"}},
	{"shares entries", []string{"EntriesAreTheCallers"}},
	{"take newest is two steps", []string{"TakeNewestHandsOutOnce"}},
	{"keeps none", []string{
		"EntriesSayWhenTheyExpire", "EntriesAreTheCallers", "IndexNeverReturnsExpired",
		"TakeNewestKeepsTheLast",
	}},
	{"takes the oldest", []string{"TakeNewestTakesTheNewest"}},
	{"revokes a batch", []string{"DeletePartialRemovesAll"}},
	{"is read-only within all", []string{"AllMayChangeTheStore"}},
	{"all repeats itself", []string{"AllYieldsEachOnce", "AllMayChangeTheStore"}},
	{"counts updates", []string{"OTPFlow", "OTPUniqueSession", "OTPSessionCleanup", "IndexAgreesWithLookup"}},
	{"never counts down", []string{"OTPFlow", "OTPSessionCleanup", "IndexAgreesWithLookup"}},
	{"drops live forms", []string{"LocalIsTheSameStore"}},
}

func TestEachBrokenStoreFailsItsChecks(t *testing.T) {
	failedOnce := map[string]bool{}
	for _, f := range faults {
		t.Run("fault="+cmp.Or(f.name, "none"), func(t *testing.T) {
			failed := failures(t, openBroken(f.name))
			for name, text := range failed {
				failedOnce[name] = true
				if !slices.Contains(f.want, name) {
					t.Errorf("%s fails: %s", name, text)
				}
			}
			for _, name := range f.want {
				if failed[name] == "" {
					t.Errorf("%s passes; want it to fail", name)
				}
			}
		})
	}
	for _, c := range checks {
		if !failedOnce[c.name] {
			t.Errorf("no broken Store fails %s: can it fail?", c.name)
		}
	}
}

// TestStore itself fails the subtest of the promise, which only another process may see.
func TestTestStoreFailsTheSubtest(t *testing.T) {
	if os.Getenv("SESSIONTEST_BROKEN") != "" {
		TestStore(t, openBroken("ignores the limit"))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SESSIONTEST_BROKEN=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("TestStore passes a Store that ignores the limit")
	}
	var failed []string
	for line := range strings.Lines(string(out)) {
		if _, name, ok := strings.Cut(line, "--- FAIL: "+t.Name()+"/"); ok {
			name, _, _ = strings.Cut(name, " ")
			failed = append(failed, name)
		}
	}
	if !slices.Equal(failed, []string{"SelectSessionHonoursLimit"}) {
		t.Errorf("failed subtests: %v; want SelectSessionHonoursLimit alone\n%s", failed, out)
	}
}
