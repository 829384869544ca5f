package sessiontest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A plain Store is a map and a lock, and nothing in it waits for anything. It looks at a context
// once. It may have a fault that only callers at the same instant can see.
type plain struct {
	fault  string
	mu     sync.Mutex
	m      map[session.Key]session.Entry
	closed bool
}

func openPlain(fault string) func(testing.TB) session.Store {
	return func(testing.TB) session.Store { return &plain{fault: fault, m: map[session.Key]session.Entry{}} }
}

// locked runs a call under the lock.
func (p *plain) locked(ctx context.Context, call func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return session.ErrClosed
	}
	return call()
}

func (p *plain) Lookup(ctx context.Context, k session.Key) (s []byte, err error) {
	err = p.locked(ctx, func() error {
		e, ok := p.m[k]
		if !ok || !time.Now().Before(e.Expires) {
			return session.ErrNotFound
		}
		s = bytes.Clone(e.Session)
		return nil
	})
	return s, err
}

func (p *plain) Delete(ctx context.Context, k session.Key) error {
	return p.locked(ctx, func() error { delete(p.m, k); return nil })
}

func (p *plain) Take(ctx context.Context, k session.Key) (s []byte, err error) {
	if p.fault == "take" {
		if s, err = p.Lookup(ctx, k); err == nil {
			err = p.Delete(context.Background(), k)
		}
		return s, err
	}
	err = p.locked(ctx, func() error {
		e, ok := p.m[k]
		if !ok || !time.Now().Before(e.Expires) {
			return session.ErrNotFound
		}
		s = e.Session
		delete(p.m, k)
		return nil
	})
	return s, err
}

func (p *plain) Update(ctx context.Context, k session.Key, s []byte, life time.Duration) error {
	e := session.Entry{Session: bytes.Clone(s), Expires: time.Now().Add(min(life, session.MaxTTL))}
	err := p.locked(ctx, func() error {
		if life <= 0 {
			return session.ErrBadTTL
		}
		if p.fault != "whole file" {
			p.m[k] = e
		}
		return nil
	})
	if err == nil && p.fault == "whole file" { // reads all, changes it and writes all
		p.mu.Lock()
		all := make(map[session.Key]session.Entry, len(p.m)+1)
		for k, e := range p.m {
			all[k] = e
		}
		p.mu.Unlock()
		all[k] = e
		p.mu.Lock()
		p.m = all
		p.mu.Unlock()
	}
	return err
}

func (p *plain) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// failing runs one check with all its contention, in a bubble or not, and reports what it said.
func failing(t *testing.T, name string, open func(testing.TB) session.Store, bubble bool) string {
	how := conditions{watch: startStopwatch(), contention: contention, stuck: stuck, bubble: bubble}
	defer how.watch.stop()
	r := &recorder{TB: t}
	run := func(*testing.T) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, c := range checks {
				if c.name == name {
					c.run(r, open, how)
				}
			}
		}()
		<-done
	}
	if bubble {
		synctest.Test(t, run)
	} else {
		run(t)
	}
	return strings.Join(r.texts, "\n")
}

// Two steps that wait for nothing in between are told from one by contention alone, in whatever
// way goroutines run.
func TestContentionTellsTwoStepsFromOne(t *testing.T) {
	for _, c := range []struct{ fault, check string }{
		{"take", "TakeIsOneStep"},
		{"whole file", "WritersOfOtherKeysUndoNothing"},
	} {
		for _, procs := range []int{1, 2} {
			for _, bubble := range []bool{true, false} {
				func() {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					began := time.Now()
					if failing(t, c.check, openPlain(c.fault), bubble) == "" {
						t.Errorf("%s passes a Store whose fault is %q, with %d processors, in a bubble: %v; want it to fail", c.check, c.fault, procs, bubble)
					}
					t.Logf("%s, %d processors, bubble %v: %v", c.fault, procs, bubble, time.Since(began))
				}()
			}
		}
	}
}

func TestPlainStorePasses(t *testing.T) {
	t.Run("bubble", func(t *testing.T) { TestStoreInBubble(t, openPlain("")) })
	t.Run("real", func(t *testing.T) { TestStore(t, openPlain("")) })
}

// nearlyIndexed has a method of another signature, as its author did not notice.
type nearlyIndexed struct{ *session.Memory }

func (nearlyIndexed) DeletePartial(context.Context, string) int { return 42 }

// ownSize has a method that only happens to be called like one of Indexed.
type ownSize struct{ *plain }

func (ownSize) Size() int { return 0 }

func TestOptionalMethodsThatDoNotFitAreNamed(t *testing.T) {
	m, err := session.NewMemory(session.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	nearly := func(testing.TB) session.Store { return nearlyIndexed{m} }
	want := "DeletePartial is func(context.Context, string) int; want func(context.Context, string) (int, error)"
	if got := failing(t, "OptionalMethodsFit", nearly, false); !strings.Contains(got, want) {
		t.Errorf("OptionalMethodsFit says %q; want it to say %q", got, want)
	}
	own := openPlain("")(t).(*plain)
	if got := failing(t, "OptionalMethodsFit", func(testing.TB) session.Store { return ownSize{own} }, false); got != "" {
		t.Errorf("OptionalMethodsFit fails a session.Store with a method of its own called Size: %s", got)
	}
	if got := misfits(ownSize{own}, indexedType); !strings.Contains(got, "its Size is func() int; want func(context.Context) (int, error)") || !strings.Contains(got, "it has no TakeNewest(") {
		t.Errorf("a Store that is not Indexed is said to lack %q; want Size with both signatures, and TakeNewest", got)
	}
}

// leaky leaves a goroutine behind.
type leaky struct{ *session.Memory }

func TestGoroutinesLeftBehindAreSeen(t *testing.T) {
	if got := leavesFor(t, true); got == "" {
		t.Errorf("CloseLeavesNoGoroutine passes a Store that leaves one behind")
	}
}

// Goroutines of others that begin and stay, or that end, meanwhile are not the Store's.
func TestGoroutinesOfOtherTestsAreNotBlamedOnAStore(t *testing.T) {
	if got := leavesFor(t, false); got != "" {
		t.Errorf("CloseLeavesNoGoroutine blames another's goroutines on a Store: %s", got)
	}
}

// leavesFor runs CloseLeavesNoGoroutine on Stores beside which a goroutine begins each time and stays: their
// own or another's. It returns what the check says.
func leavesFor(t *testing.T, own bool) (said string) {
	r := &recorder{TB: t}
	synctest.Test(t, func(t *testing.T) { // where patience costs nothing
		stay := make(chan struct{})
		begin := make(chan struct{})
		go func() { // another test
			for range begin {
				go func() { <-stay }()
			}
		}()
		open := func(t testing.TB) session.Store {
			m, err := session.NewMemory(session.MemoryConfig{})
			if err != nil {
				t.Fatal(err)
			}
			if own {
				go func() { <-stay }()
			} else {
				begin <- struct{}{}
			}
			return leaky{m}
		}
		done := make(chan struct{})
		how := conditions{watch: startStopwatch(), contention: contention, stuck: stuck, bubble: true}
		defer how.watch.stop()
		go func() {
			defer close(done)
			(check{opens: closeLeaves}).run(r, open, how)
		}()
		<-done
		close(begin)
		close(stay)
	})
	said, _ = r.first()
	return said
}

// What a Store does not implement is skipped, in so many words, which only another process may see.
func TestWhatIsNotImplementedIsSkipped(t *testing.T) {
	if os.Getenv("SESSIONTEST_PLAIN") != "" {
		for _, c := range checks {
			if c.name == "AnyLimit" || c.name == "LocalIsTheSameStore" {
				t.Run(c.name, func(t *testing.T) { c.run(t, openPlain(""), conditions{}) })
			}
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SESSIONTEST_PLAIN=1")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{
		"--- SKIP: " + t.Name() + "/AnyLimit", "--- SKIP: " + t.Name() + "/LocalIsTheSameStore",
		"*sessiontest.plain is no session.Indexed", "it has no SelectSession(context.Context, string, int) ([]session.Entry, error)", "it has no Demote(",
	} {
		if err != nil || !bytes.Contains(out, []byte(want)) {
			t.Errorf("go test says nothing of %q, error %v:\n%s", want, err, out)
		}
	}
}
