package session_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/sessioncache/sessioncache/session"
)

// calls are all methods that take a context.
var calls = map[string]func(ctx context.Context, m *session.Memory) error{
	"Lookup": func(ctx context.Context, m *session.Memory) error {
		_, err := m.Lookup(ctx, key("host", 1))
		return err
	},
	"Take": func(ctx context.Context, m *session.Memory) error { _, err := m.Take(ctx, key("host", 1)); return err },
	"Update": func(ctx context.Context, m *session.Memory) error {
		return m.Update(ctx, key("host", 1), []byte("new"), time.Hour)
	},
	"Delete": func(ctx context.Context, m *session.Memory) error { return m.Delete(ctx, key("host", 1)) },
	"SelectSession": func(ctx context.Context, m *session.Memory) error {
		_, err := m.SelectSession(ctx, "nobody", 0) // where no session of a loop asks the context
		return err
	},
	"TakeNewest": func(ctx context.Context, m *session.Memory) error {
		_, err := m.TakeNewest(ctx, "host", false)
		return err
	},
	"DeletePartial": func(ctx context.Context, m *session.Memory) error { _, err := m.DeletePartial(ctx, "host"); return err },
	"All": func(ctx context.Context, m *session.Memory) (last error) {
		for _, last = range m.All(ctx) {
		}
		return last
	},
	"Size": func(ctx context.Context, m *session.Memory) error { _, err := m.Size(ctx); return err },
}

// A context that is done before the call makes it return the context's error and do nothing.
func TestADoneContextMakesEveryMethodDoNothing(t *testing.T) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range calls {
		m := open(t, session.MemoryConfig{})
		store(t, m, key("host", 1), true)
		if err := call(done, m); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v; want %v", name, err, context.Canceled)
		}
		if got, err := m.Lookup(context.Background(), key("host", 1)); string(got) != "record" {
			t.Errorf("%s has changed something: %q, %v", name, got, err)
		}
	}
}

// After Close there is no other answer, whatever a method is asked.
func TestAClosedMemoryIsClosedWhateverItIsAsked(t *testing.T) {
	ctx := context.Background()
	m := open(t, session.MemoryConfig{MaxBytes: 1000, MaxSessionSize: 900})
	m.Close()
	for name, call := range calls {
		if err := call(ctx, m); !errors.Is(err, session.ErrClosed) {
			t.Errorf("%s = %v; want ErrClosed", name, err)
		}
	}
	for name, err := range map[string]error{
		"Update of too much":          m.Update(ctx, key("host", 1), make([]byte, 901), time.Hour),
		"Update with a bad TTL":       m.Update(ctx, key("host", 1), nil, -1),
		"UpdateLocal of too much":     m.UpdateLocal(key("host", 1), session.Item{LiveBytes: 901}, time.Hour),
		"UpdateLocal with a bad TTL":  m.UpdateLocal(key("host", 1), session.Item{}, 0),
		"UpdateLocal of a good one":   m.UpdateLocal(key("host", 1), session.Item{}, time.Hour),
		"Update of what never fits":   m.Update(ctx, key("host", 1), make([]byte, 800), time.Hour),
		"Update under a key too long": m.Update(ctx, session.Key{ID: string(make([]byte, 1<<17))}, nil, time.Hour),
	} {
		if !errors.Is(err, session.ErrClosed) {
			t.Errorf("%s = %v; want ErrClosed", name, err)
		}
	}
	_, err1 := m.LookupLocal(key("host", 1))
	if _, err2 := m.TakeLocal(key("host", 1)); err1 != session.ErrClosed || err2 != session.ErrClosed || m.Demote(key("host", 1)) {
		t.Errorf("LookupLocal = %v, TakeLocal = %v; want ErrClosed, and nothing to demote", err1, err2)
	}
}

// Bounds are inclusive.
func TestASessionOfTheLargestSizeIsStored(t *testing.T) {
	m := open(t, session.MemoryConfig{MaxSessionSize: 900})
	if err := m.Update(context.Background(), key("host", 1), make([]byte, 900), time.Hour); err != nil {
		t.Errorf("Update of as much as MaxSessionSize allows = %v", err)
	}
	if err := m.UpdateLocal(key("host", 1), session.Item{Live: 1, LiveBytes: 900}, time.Hour); err != nil {
		t.Errorf("UpdateLocal of as much as MaxSessionSize allows = %v", err)
	}
}

// A session without bytes that TakeNewest comes to is taken, and no other.
func TestTakeNewestTakesOneSessionThatHasNoBytes(t *testing.T) {
	m := open(t, session.MemoryConfig{})
	store(t, m, key("host", 1), true)
	storeLive(t, m, key("host", 2), session.Item{Live: new(int)})
	if e, err := m.TakeNewest(context.Background(), "host", false); !errors.Is(err, session.ErrLive) {
		t.Errorf("TakeNewest = %q, %v; want ErrLive", e.Session, err)
	}
	if n := kept(t, m, "host"); n != 1 {
		t.Errorf("%d sessions are left; want the one with bytes", n)
	}
}

// All ends where its loop does, and has no last word.
func TestAllEndsWhereItsLoopDoes(t *testing.T) {
	m := open(t, session.MemoryConfig{})
	for i := range 3 {
		store(t, m, key("host", i), true)
	}
	storeLive(t, m, key("host", 3), session.Item{Live: new(int)})
	for stop := 1; stop <= 3; stop++ {
		n := 0
		m.All(context.Background())(func(session.Entry, error) bool {
			n++
			return n < stop
		})
		if n != stop {
			t.Errorf("All yields %d sessions to a loop that ends at %d", n, stop)
		}
	}
}

// An Entry is the caller's: held on to, it keeps no session alive that has left Memory.
func TestAnEntryKeepsNothingOfTheCacheAlive(t *testing.T) {
	type big struct {
		live
		_ [1 << 10]byte
	}
	ctx := context.Background()
	var entries []session.Entry
	var sessions []weak.Pointer[big]
	m := open(t, session.MemoryConfig{})
	for i := range 4 {
		item := &big{live: live{text: "bytes"}}
		sessions = append(sessions, weak.Make(item))
		storeLive(t, m, key("host", i), session.Item{Live: item})
	}
	some, err := m.SelectSession(ctx, "host", 0)
	if err != nil {
		t.Fatal(err)
	}
	entries = append(entries, some...)
	for e, err := range m.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	e, err := m.TakeNewest(ctx, "host", false)
	if err != nil {
		t.Fatal(err)
	}
	entries = append(entries, e)
	m.DeletePartial(ctx, "host")
	runtime.GC()
	for i, s := range sessions {
		if s.Value() != nil {
			t.Errorf("session %d has left Memory and is held by one of the Entries that were returned", i)
		}
	}
	if got := fmt.Sprint(entries[0].Key); got != "{host 3}" {
		t.Errorf("the first Entry's key is %s; want {host 3}", got)
	}
	runtime.KeepAlive(entries)
}
