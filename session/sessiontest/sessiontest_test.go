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
	"time"

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

func (r *recorder) Skipf(string, ...any) { runtime.Goexit() }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.texts) > 0
}

// first returns what it was told first. What a check gave up on may still report.
func (r *recorder) first() (text string, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.texts) == 0 {
		return "", false
	}
	return r.texts[0], true
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// failures runs every check in a bubble and returns what the failing ones said first, by name.
func failures(t *testing.T, open func(testing.TB) session.Store, contention time.Duration) map[string]string {
	how := conditions{watch: startStopwatch(), contention: contention, stuck: 3 * time.Second, bubble: true}
	defer how.watch.stop()
	failed := map[string]string{}
	for _, c := range checks {
		if c.chance || c.opens != nil {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.run(r, open, how)
			}()
			<-done
			if first, failing := r.first(); failing {
				failed[c.name] = first
			}
		})
	}
	return failed
}

func TestEachBrokenStoreFailsItsChecks(t *testing.T) {
	failedOnce := map[string]bool{}
	for _, f := range wants {
		t.Run("fault="+cmp.Or(f.name, "none"), func(t *testing.T) {
			open := openBroken(f.name)
			if fault, ok := moreFaults[f.name]; ok {
				open = openFaulty(fault)
			}
			failed := failures(t, open, time.Microsecond)
			for name, text := range failed {
				failedOnce[name] = true
				if !slices.Contains(f.want, name) && !slices.Contains(f.may, name) {
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
		if !failedOnce[c.name] && !c.chance && c.opens == nil && c.name != "OptionalMethodsFit" { // these have tests of their own
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
	if !slices.Equal(failed, []string{"SelectSessionHonoursLimit", "AnyLimit"}) {
		t.Errorf("failed subtests: %v; want SelectSessionHonoursLimit and AnyLimit alone\n%s", failed, out)
	}
}
