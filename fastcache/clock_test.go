package fastcache_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// wallSteps in the environment says that the wall clock of this process jumps.
const wallSteps = "FASTCACHE_WALL_STEPS"

// No step of the wall clock changes anything: the tests that go by the real clock pass with a time
// package whose wall clock is off by up to 97 days, and by others a millisecond later. No machine could
// set the system's clock that often, nor should a test. In a bubble there is no monotonic clock, so
// virtual time cannot show this.
func TestPromise9WallClockStepsChangeNothing(t *testing.T) {
	if testing.Short() || fastcache.Raced {
		t.Skip("compiles the standard library, and is run once")
	}
	const tests = "^Test(WallClock|Promise1(Histories|AllExpire)|Promise2ReplacedKey|Promise9Deadlines|Promise10CloseDuring)"
	cmd := exec.Command("go", "test", "-short", "-count=1", "-failfast", "-timeout=2m", "-overlay", wallClockOverlay(t), "-run", tests, ".")
	cmd.Env = append(os.Environ(), wallSteps+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "ok") {
		t.Errorf("with a wall clock that jumps, %v: %v\n%s", cmd.Args, err, out)
	}
}

// wallClockOverlay returns an overlay for the go command in which time.Now is off.
func wallClockOverlay(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const reading = "sec, nsec, mono := runtimeNow()\n" // of the clocks, by time.Now
	if n := strings.Count(string(source), reading); n != 1 {
		t.Fatalf("%s has %q %d times; want it once, to change it", original, reading, n)
	}
	const step = "\tif mono != 0 {\n\t\tsec += int64(uint64(mono)>>20*0x9e3779b97f4a7c15>>40) - 1<<23\n\t}\n"
	dir := t.TempDir()
	changed, name := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	if fault := os.Getenv("MUTANT_OVERLAY"); fault != "" { // internal/testing/mutants shows us a fault
		text, err := os.ReadFile(fault)
		if err := errors.Join(err, json.Unmarshal(text, &overlay)); err != nil {
			t.Fatal(err)
		}
	}
	overlay.Replace[original] = changed
	text, err := json.Marshal(overlay)
	if err := errors.Join(err, os.WriteFile(name, text, 0o600),
		os.WriteFile(changed, []byte(strings.Replace(string(source), reading, reading+step, 1)), 0o600)); err != nil {
		t.Fatal(err)
	}
	return name
}

// stepped reports whether the wall clock was set between two readings.
func stepped(from, to time.Time) bool {
	off := to.Round(0).Sub(from.Round(0)) - to.Sub(from)
	return off > time.Hour || off < -time.Hour // not less: the two clocks are read one after the other
}

// The wall clock jumps where the test above says so, and nowhere else.
func TestWallClockJumpsWhereItShould(t *testing.T) {
	jumped := false
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
		jumped = jumped || stepped(begin, time.Now())
	}
	if want := os.Getenv(wallSteps) != ""; jumped != want {
		t.Errorf("the wall clock jumps: %v; want %v", jumped, want)
	}
}

// Deadlines are shown by the wall clock as it is now, whatever it was when the cache was made.
func TestPromise9DeadlinesAreShownByThePresentWallClock(t *testing.T) {
	c := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	defer c.Close()
	k, shown := key("p", 1), 0
	putTTL(t, c, k, 1, time.Hour)
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond || shown < 20; {
		before := time.Now()
		e, ok := c.Peek(k)
		all := slices.Collect(c.Entries())
		if stepped(before, time.Now()) {
			continue // in between; look again
		}
		if shown++; !ok || len(all) != 1 || stepped(before, e.Expires) || stepped(before, all[0].Expires) {
			t.Fatalf("at %v, a deadline in an hour is shown as %v and %v", before, e, all)
		}
	}
}

// A cache that was made outside a bubble has not been made yet by the bubble's clock: it refuses what
// it could never end, and serves on outside.
func TestACacheFromOutsideABubbleSaysSo(t *testing.T) {
	for _, cfg := range []fastcache.Config[int]{{}, {IdleTTL: time.Hour}, {ExactClock: true}, {NoIndex: true}} {
		c, err := fastcache.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		before := key("p", 0)
		put(t, c, before, 1)
		synctest.Test(t, func(t *testing.T) {
			for name, err := range map[string]error{
				"Update":                   c.Update(key("p", 1), 2),
				"UpdateTTL":                c.UpdateTTL(key("p", 1), 2, time.Hour),
				"UpdateOnProbation":        c.UpdateOnProbation(key("p", 1), 2, time.Hour),
				"Update of a present key ": c.Update(before, 2),
			} {
				if err != fastcache.ErrForeignClock {
					t.Errorf("%s = %v; want ErrForeignClock", name, err)
				}
			}
		})
		check(t, c)
		if st := c.Stats(); st.Sessions != 1 || st.OnProbation != 0 {
			t.Errorf("%d sessions, %d on probation after Updates that were refused; want 1 and 0", st.Sessions, st.OnProbation)
		}
		put(t, c, key("p", 2), 3)
		wantValue(t, c, before, 1)
		c.Close()
	}
}
