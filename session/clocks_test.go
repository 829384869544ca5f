package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// wallClock is a wall clock that a test sets: the monotonic clock of the machine runs on meanwhile, as it
// stands still while the machine is suspended.
type wallClock struct {
	m   *Memory
	off time.Duration
}

// setClock gives a Memory a wall clock.
func setClock(m *Memory) *wallClock {
	c := &wallClock{m: m}
	m.now = c.now
	return c
}

func (c *wallClock) now() instant {
	now := c.m.clocks()
	now.Time = now.Round(0).Add(c.off)
	return now
}

// A suspended machine has another wall clock when it wakes up, and the same monotonic one. What was stored
// for an hour is gone after a night.
func TestNoSessionOutlivesASuspendedMachine(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		get  func(m *Memory, key Key) error
	}{
		{"Lookup", func(m *Memory, key Key) error { _, err := m.Lookup(ctx, key); return err }},
		{"LookupLocal", func(m *Memory, key Key) error { _, err := m.LookupLocal(key); return err }},
		{"Take", func(m *Memory, key Key) error { _, err := m.Take(ctx, key); return err }},
		{"TakeLocal", func(m *Memory, key Key) error { _, err := m.TakeLocal(key); return err }},
		{"TakeNewest", func(m *Memory, key Key) error { _, err := m.TakeNewest(ctx, key.Partial, false); return err }},
		{"TakeNewest, keeping the last", func(m *Memory, key Key) error { _, err := m.TakeNewest(ctx, key.Partial, true); return err }},
		{"SelectSession", func(m *Memory, key Key) error {
			entries, err := m.SelectSession(ctx, key.Partial, 0)
			if err == nil && len(entries) == 0 {
				err = ErrNotFound
			}
			return err
		}},
		{"All", func(m *Memory, _ Key) error {
			for _, err := range m.All(ctx) {
				return err
			}
			return ErrNotFound
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewMemory(MemoryConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			clock := setClock(m)
			key := Key{Partial: "host.example", ID: "1"}
			for _, id := range []string{"1", "2"} {
				if err := m.Update(ctx, Key{Partial: key.Partial, ID: id}, []byte("session"), time.Hour); err != nil {
					t.Fatal(err)
				}
			}
			clock.off = 25 * time.Hour
			if err := tt.get(m, key); !errors.Is(err, ErrNotFound) {
				t.Errorf("after a suspension of 25 hours: %v; want %v", err, ErrNotFound)
			}
			clock.off = -25 * time.Hour
			if err := m.Update(ctx, key, []byte("session"), time.Hour); err != nil {
				t.Fatal(err)
			}
			if err := tt.get(m, key); err != nil {
				t.Errorf("a session stored after the clock was set back: %v; want it", err)
			}
		})
	}
}

// TakeNewest goes on to an older session with a longer life.
func TestTakeNewestPassesOverWhatASuspensionEnded(t *testing.T) {
	ctx := context.Background()
	for _, keepLast := range []bool{false, true} {
		m, err := NewMemory(MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		clock := setClock(m)
		for id, ttl := range []time.Duration{20 * time.Hour, time.Hour, time.Hour} {
			key := Key{Partial: "host.example", ID: string(rune('a' + id))}
			if err := m.Update(ctx, key, []byte("session"), ttl); err != nil {
				t.Fatal(err)
			}
		}
		clock.off = 2 * time.Hour
		e, err := m.TakeNewest(ctx, "host.example", keepLast)
		if err != nil || e.Key.ID != "a" {
			t.Errorf("keepLast %v: got %q, %v; want the session that lives still", keepLast, e.Key.ID, err)
		}
		if left := e.Expires.Sub(clock.now().Time); left > 18*time.Hour {
			t.Errorf("keepLast %v: it has %v left; want 18 h at most", keepLast, left)
		}
		m.Close()
	}
}

// A session that is stored while TakeNewest passes over an older one of the same key stays.
func TestTakeNewestSparesWhatReplacesAnEndedSession(t *testing.T) {
	ctx := context.Background()
	for _, keepLast := range []bool{false, true} {
		m, err := NewMemory(MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		clock := setClock(m)
		key := Key{Partial: "host.example", ID: "1"}
		elder := Key{Partial: "host.example", ID: "0"}
		for _, k := range []Key{elder, key} {
			if err := m.Update(ctx, k, []byte("ended"), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		clock.off = 25 * time.Hour
		looked := false
		m.now = func() instant { // the first look at the clock is at the newest session, which has ended
			if !looked {
				looked = true
				if err := m.Update(ctx, key, []byte("fresh"), time.Hour); err != nil {
					t.Error(err)
				}
			}
			return clock.now()
		}
		e, err := m.TakeNewest(ctx, key.Partial, keepLast)
		if err != nil || string(e.Session) != "fresh" {
			t.Errorf("keepLast %v: got %q, %v; want the session that was stored meanwhile", keepLast, e.Session, err)
		}
		m.Close()
	}
}

func TestTakeNewestFindsNothingWhereTheLastHasEnded(t *testing.T) {
	ctx := context.Background()
	m, err := NewMemory(MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	clock := setClock(m)
	if err := m.Update(ctx, Key{Partial: "host.example", ID: "1"}, []byte("ended"), time.Hour); err != nil {
		t.Fatal(err)
	}
	clock.off = 25 * time.Hour
	for range 2 {
		if e, err := m.TakeNewest(ctx, "host.example", true); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %q, %v; want %v", e.Session, err, ErrNotFound)
		}
	}
}

// The wall clock is set back, and time goes on: no session gets more of it than its TTL.
func TestTheMonotonicDeadlineHoldsWhereTheWallClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		m, err := NewMemory(MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		clock := setClock(m)
		key := Key{Partial: "host.example", ID: "1"}
		if err := m.Update(ctx, key, []byte("session"), time.Hour); err != nil {
			t.Fatal(err)
		}
		clock.off = -25 * time.Hour
		time.Sleep(time.Hour - 1)
		entries, err := m.SelectSession(ctx, key.Partial, 0)
		if err != nil || len(entries) != 1 {
			t.Fatalf("SelectSession 1ns before its end: %d sessions, %v; want it", len(entries), err)
		}
		if left := entries[0].Expires.Sub(clock.now().Time); left != 1 {
			t.Errorf("it has %v left, by Expires; want 1ns", left)
		}
		time.Sleep(time.Nanosecond)
		if _, err := m.Lookup(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("Lookup at its end: %v; want %v", err, ErrNotFound)
		}
		if _, err := m.Take(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("Take at its end: %v; want %v", err, ErrNotFound)
		}
		for e, err := range m.All(ctx) {
			t.Errorf("All at its end yields %q, %v; want nothing", e.Session, err)
		}
	})
}

// What Take finds to be over it removes all the same: the wall clock may be set back again.
func TestTakeRemovesWhatIsOverByTheWallClock(t *testing.T) {
	ctx := context.Background()
	key := Key{Partial: "host.example", ID: "1"}
	for name, take := range map[string]func(m *Memory) error{
		"Take":       func(m *Memory) error { _, err := m.Take(ctx, key); return err },
		"TakeLocal":  func(m *Memory) error { _, err := m.TakeLocal(key); return err },
		"TakeNewest": func(m *Memory) error { _, err := m.TakeNewest(ctx, key.Partial, false); return err },
	} {
		m, err := NewMemory(MemoryConfig{})
		if err != nil {
			t.Fatal(err)
		}
		clock := setClock(m)
		if err := m.Update(ctx, key, []byte("ended"), time.Hour); err != nil {
			t.Fatal(err)
		}
		clock.off = 25 * time.Hour
		if err := take(m); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v; want %v", name, err, ErrNotFound)
		}
		clock.off = 0
		if _, err := m.Lookup(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("Lookup after %s: %v; want %v", name, err, ErrNotFound)
		}
		m.Close()
	}
}

func TestWalksReadTheClockOncePerSession(t *testing.T) {
	ctx := context.Background()
	m, err := NewMemory(MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const n = 7
	for id := range n {
		if err := m.Update(ctx, Key{Partial: "host.example", ID: string(rune('a' + id))}, []byte("session"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	reads := 0
	m.now = func() instant { reads++; return m.clocks() }
	if _, err := m.SelectSession(ctx, "host.example", 0); err != nil || reads != n {
		t.Errorf("SelectSession of %d sessions reads the clock %d times, %v; want once for each", n, reads, err)
	}
	reads = 0
	for range m.All(ctx) {
		continue
	}
	if reads != n {
		t.Errorf("All of %d sessions reads the clock %d times; want once for each", n, reads)
	}
}
