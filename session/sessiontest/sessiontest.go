// Package sessiontest checks implementations of session.Store, as testing/fstest does those of
// fs.FS: one test function holds a Store to every promise that the interfaces make.
//
//	func TestMyStore(t *testing.T) {
//		sessiontest.TestStore(t, func(t testing.TB) session.Store {
//			store, err := mystore.Open(address, mystore.Namespace(t.Name()))
//			if err != nil {
//				t.Fatal(err)
//			}
//			return store
//		})
//	}
//
// Each promise is a subtest, named for it: go test -run 'TestMyStore/TakeHasOneWinner'. The checks
// of session.Indexed and session.Local run if the Store implements them; where it does not, they
// are skipped, and say which method is missing or has another signature.
package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

const (
	// grain is how much a Store may round a TTL, up or down.
	grain = 10 * time.Millisecond

	// short is the TTL of sessions that a check sees expire. A slow Store may take longer than
	// that for one call: the checks compare with the times at which calls began and ended.
	short = 300 * time.Millisecond

	// patience is how long a check may take in all, and how long it waits for what a Store may do
	// in its own time. Only a check that fails takes that long.
	patience = 2 * time.Minute

	// contention is how long callers contend in one check. With one processor they meet only when
	// the runtime takes it from one of them, every 10 ms: a hundred times.
	contention = time.Second

	// stuck is how long a call may take that waits for a lock. Only one that never returns does.
	stuck = 30 * time.Second

	// ttl is the life of all other sessions.
	ttl = time.Hour
)

// TestStore checks that the Stores that open returns keep the promises of session.Store, and those
// of session.Indexed and session.Local if they implement these.
//
// Every check opens a Store of its own and closes it. Open must return one that is empty, keeps
// sessions of 16 KiB, holds 500 at a time and evicts none below that. A Store that shares a
// server with others needs a namespace for each. Open ends the test with t.Fatal if it cannot.
//
// TestStore runs in real time, without assuming that a call is fast: it takes some ten seconds with
// a local Store and some ten thousand calls with a remote one. A Store that ignores its context and
// never returns hangs it, until go test -timeout shows where.
//
// Calls that must be one step are interleaved in two ways. The context of the one stops it
// wherever the Store looks at it, until another call has run. And callers contend for one session
// until they have met often enough that two steps would have been told from one.
func TestStore(t *testing.T, open func(testing.TB) session.Store) {
	how := conditions{watch: startStopwatch(), contention: contention, stuck: stuck}
	defer how.watch.stop()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, open, how) })
	}
}

// TestStoreInBubble is TestStore with every check in a bubble of testing/synctest, whose virtual
// time makes it fast and repeatable. It suits Stores that do no I/O and tell time by package
// time. A Store that leaves a goroutine behind ends the test with a deadlock of its bubble.
func TestStoreInBubble(t *testing.T, open func(testing.TB) session.Store) {
	how := conditions{watch: startStopwatch(), contention: contention, stuck: stuck, bubble: true}
	defer how.watch.stop()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, open, how) })
		})
	}
}

// A check holds a Store to one promise. One of its functions is set; it says what the Store must
// implement.
type check struct {
	name    string
	store   func(*tester)
	indexed func(*tester, session.Indexed)
	local   func(*tester, session.Local)
	opens   func(*tester) // opens Stores itself
	chance  bool          // a fault may slip through if callers contend for a moment only
}

// conditions say how the checks are made.
type conditions struct {
	watch      *stopwatch
	bubble     bool          // time is virtual
	contention time.Duration // how long callers contend in one check, in real time
	stuck      time.Duration // after how long a call counts as one that never returns
}

// A tester is a test with a Store, and knows how to ask it.
type tester struct {
	testing.TB
	conditions
	ctx   context.Context
	open  func(testing.TB) session.Store
	store session.Store
}

// run opens a Store and checks it.
func (c check) run(tb testing.TB, open func(testing.TB) session.Store, how conditions) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t := &tester{TB: tb, conditions: how, ctx: ctx, open: open}
	if c.opens != nil {
		c.opens(t)
		return
	}
	t.store = open(tb)
	defer func() {
		if err := t.store.Close(); err != nil {
			t.Errorf("Close() = %v; want nil, whenever it is called", err)
		}
	}()
	switch {
	case c.store != nil:
		c.store(t)
	case c.indexed != nil:
		s, ok := t.store.(session.Indexed)
		if !ok {
			t.Skipf("%T is no session.Indexed: %s", t.store, misfits(t.store, indexedType))
		}
		c.indexed(t, s)
	case c.local != nil:
		s, ok := t.store.(session.Local)
		if !ok {
			t.Skipf("%T is no session.Local: %s", t.store, misfits(t.store, localType))
		}
		c.local(t, s)
	}
}

// update stores a session.
func (t *tester) update(key session.Key, s string, life time.Duration) {
	t.Helper()
	if err := t.store.Update(t.ctx, key, []byte(s), life); err != nil {
		t.Fatalf("Update(%s, %d bytes, %v) = %v; want nil", show(key), len(s), life, err)
	}
}

// wantFound checks that Lookup returns a session.
func (t *tester) wantFound(key session.Key, want, when string) {
	t.Helper()
	if got, err := t.store.Lookup(t.ctx, key); err != nil || string(got) != want {
		t.Errorf("%s: Lookup(%s) = %s, %v; want %s", when, show(key), brief(string(got)), err, brief(want))
	}
}

// wantAbsent checks that Lookup says that there is no session.
func (t *tester) wantAbsent(key session.Key, when string) {
	t.Helper()
	got, err := t.store.Lookup(t.ctx, key)
	t.wantMiss(got, err, fmt.Sprintf("%s: Lookup(%s)", when, show(key)))
}

// wantMiss checks an answer that says that there is no session, and says nothing else.
func (t *tester) wantMiss(got []byte, err error, what string) {
	t.Helper()
	if !errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrClosed) || len(got) > 0 {
		t.Errorf("%s = %s, %v; want session.ErrNotFound and no session", what, brief(string(got)), err)
	}
}

// pause lets time pass, which nothing but time can do for a TTL.
func (t *tester) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
		t.Fatalf("the check took more than %v", patience)
	}
}

// eventually waits for what the Store may do in its own time.
func (t *tester) eventually(what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); t.pause(grain) {
		if time.Since(began) > patience/2 {
			t.Fatalf("after %v still not: %s", patience/2, what)
		}
	}
}
