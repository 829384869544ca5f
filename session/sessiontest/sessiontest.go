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
// of session.Indexed and session.Local run if the Store implements them.
package sessiontest

import (
	"context"
	"errors"
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
// TestStore runs in real time, without assuming that a call is fast: it takes a few seconds with
// a local Store and some thousand calls with a remote one. A Store that ignores its context and
// never returns hangs it, until go test -timeout shows where.
func TestStore(t *testing.T, open func(testing.TB) session.Store) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, open) })
	}
}

// TestStoreInBubble is TestStore with every check in a bubble of testing/synctest, whose virtual
// time makes it fast and repeatable. It suits Stores that do no I/O and tell time by package
// time.
func TestStoreInBubble(t *testing.T, open func(testing.TB) session.Store) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, open) })
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
}

// A tester is a test with a Store, and knows how to ask it.
type tester struct {
	testing.TB
	ctx   context.Context
	store session.Store
}

// run opens a Store and checks it.
func (c check) run(tb testing.TB, open func(testing.TB) session.Store) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t := &tester{tb, ctx, open(tb)}
	defer func() {
		if err := t.store.Close(); err != nil {
			t.Errorf("Close() = %v; want nil, whenever it is called", err)
		}
	}()
	if c.store != nil {
		c.store(t)
		return
	}
	if s, ok := t.store.(session.Indexed); ok && c.indexed != nil {
		c.indexed(t, s)
	}
	if s, ok := t.store.(session.Local); ok && c.local != nil {
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
	if got, err := t.store.Lookup(t.ctx, key); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("%s: Lookup(%s) = %s, %v; want session.ErrNotFound", when, show(key), brief(string(got)), err)
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
