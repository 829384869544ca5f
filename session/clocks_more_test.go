package session

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// bubble runs a test in virtual time, with a Memory whose wall clock the test sets.
func bubble(t *testing.T, cfg MemoryConfig, test func(t *testing.T, m *Memory, clock *wallClock)) {
	synctest.Test(t, func(t *testing.T) {
		m, err := NewMemory(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		test(t, m, setClock(m))
	})
}

func (c *wallClock) store(t *testing.T, id string, ttl time.Duration) Key {
	t.Helper()
	key := Key{Partial: "host.example", ID: id}
	if err := c.m.Update(context.Background(), key, []byte(id), ttl); err != nil {
		t.Fatal(err)
	}
	return key
}

// Sessions that were stored at one instant, for as long, are told apart: to have met one that has ended is not to have
// met the next.
func TestTakeNewestTellsSessionsOfOneInstantApart(t *testing.T) {
	for _, keepLast := range []bool{false, true} {
		bubble(t, MemoryConfig{}, func(t *testing.T, m *Memory, clock *wallClock) {
			want := clock.store(t, "lives", 20*time.Hour)
			for i := range 3 {
				clock.store(t, fmt.Sprint("ended ", i), time.Hour)
			}
			clock.off = 2 * time.Hour
			if e, err := m.TakeNewest(context.Background(), "host.example", keepLast); err != nil || e.Key != want {
				t.Errorf("keepLast %v: TakeNewest = %q, %v; want the session that lives still", keepLast, e.Key.ID, err)
			}
		})
	}
}

// The wall clock's deadline is as sharp as the monotonic one.
func TestTheWallClocksDeadlineIsTheFirstInstantWithout(t *testing.T) {
	bubble(t, MemoryConfig{}, func(t *testing.T, m *Memory, clock *wallClock) {
		ctx := context.Background()
		key := clock.store(t, "1", time.Hour)
		clock.off = time.Hour - 1
		if _, err := m.Lookup(ctx, key); err != nil {
			t.Errorf("1ns before its end by the wall clock: %v; want the session", err)
		}
		entries, err := m.SelectSession(ctx, key.Partial, 0)
		if err != nil || len(entries) != 1 || entries[0].Expires.Sub(clock.now().Time) != 1 {
			t.Errorf("SelectSession = %v, %v; want it for 1ns", entries, err)
		}
		clock.off = time.Hour
		if _, err := m.Lookup(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("at its end by the wall clock: %v; want %v", err, ErrNotFound)
		}
	})
}

// MaxTTL caps the life by the wall clock, too: a machine that is suspended for longer finds nothing, and what Expires
// says is capped.
func TestMaxTTLCapsTheLifeByBothClocks(t *testing.T) {
	bubble(t, MemoryConfig{MaxTTL: time.Hour}, func(t *testing.T, m *Memory, clock *wallClock) {
		ctx := context.Background()
		key := clock.store(t, "1", 10*time.Hour)
		entries, err := m.SelectSession(ctx, key.Partial, 0)
		if err != nil || len(entries) != 1 || !entries[0].Expires.Equal(clock.now().Add(time.Hour)) {
			t.Errorf("SelectSession = %v, %v; want it for an hour", entries, err)
		}
		clock.off = 2 * time.Hour
		if _, err := m.Lookup(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("Lookup after a suspension of 2 hours: %v; want %v", err, ErrNotFound)
		}
	})
}

// What has ended by the wall clock is passed over, is no error and takes no place of the limit.
func TestSelectSessionPassesOverWhatHasEnded(t *testing.T) {
	bubble(t, MemoryConfig{}, func(t *testing.T, m *Memory, clock *wallClock) {
		for i := range 6 {
			clock.store(t, fmt.Sprint(i), []time.Duration{20 * time.Hour, time.Hour}[i%2])
		}
		clock.off = 2 * time.Hour
		for limit, want := range []string{"[4 2 0]", "[4]", "[4 2]", "[4 2 0]", "[4 2 0]"} {
			entries, err := m.SelectSession(context.Background(), "host.example", limit)
			ids := []string{}
			for _, e := range entries {
				ids = append(ids, e.Key.ID)
			}
			if err != nil || fmt.Sprint(ids) != want {
				t.Errorf("SelectSession(limit %d) = %v, %v; want %s", limit, ids, err, want)
			}
		}
	})
}

// TakeNewest passes over what has ended until it has come to its end, or its context has.
func TestTakeNewestEndsWithItsContext(t *testing.T) {
	for _, ends := range []int{1, 2, 5} {
		bubble(t, MemoryConfig{}, func(t *testing.T, m *Memory, clock *wallClock) {
			for i := range 10 {
				clock.store(t, fmt.Sprint(i), time.Hour)
			}
			clock.off = 2 * time.Hour
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			looks := 0
			m.now = func() instant { // one look for each session that is passed over
				if looks++; looks == ends {
					cancel()
				}
				return clock.now()
			}
			if e, err := m.TakeNewest(ctx, "host.example", false); !errors.Is(err, context.Canceled) || looks != ends {
				t.Errorf("a context that ends at session %d: TakeNewest = %q, %v after %d", ends, e.Key.ID, err, looks)
			}
			if n, _ := m.Size(context.Background()); n != 10-ends {
				t.Errorf("a context that ends at session %d: %d are left; want %d", ends, n, 10-ends)
			}
		})
	}
}

// A loop that Close overtakes shows all, or says that it was closed.
func TestALoopThatCloseOvertakesSaysSo(t *testing.T) {
	ctx := context.Background()
	for name, loop := range map[string]func(m *Memory) (int, error){
		"SelectSession": func(m *Memory) (int, error) {
			entries, err := m.SelectSession(ctx, "host.example", 0)
			return len(entries), err
		},
		"All": func(m *Memory) (n int, last error) {
			for _, last = range m.All(ctx) {
				if last == nil {
					n++
				}
			}
			return n, last
		},
	} {
		for at := 1; at <= 3; at++ { // the session at which it is closed
			bubble(t, MemoryConfig{}, func(t *testing.T, m *Memory, clock *wallClock) {
				for i := range 3 {
					clock.store(t, fmt.Sprint(i), time.Hour)
				}
				looks := 0
				m.now = func() instant {
					if looks++; looks == at {
						m.Close()
					}
					return clock.now()
				}
				if n, err := loop(m); !errors.Is(err, ErrClosed) {
					t.Errorf("%s, closed at session %d of 3: %d sessions, %v; want ErrClosed in the end", name, at, n, err)
				}
			})
		}
	}
}

// A session that Close has taken away is no miss: who asks for it while Close is under way gets ErrClosed. The cache
// beneath reports that it has removed it, and its Close waits for that.
func TestWhatCloseTakesAwayIsNoMiss(t *testing.T) {
	ctx := context.Background()
	m, err := NewMemory(MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := m.cfg.cache()
	asked := 0
	cfg.OnRemove = func(r fastcache.Removal[record]) {
		asked++
		_, lookup := m.Lookup(ctx, r.Key)
		_, take := m.Take(ctx, r.Key)
		_, newest := m.TakeNewest(ctx, r.Key.Partial, false)
		update := m.Update(ctx, r.Key, nil, time.Hour)
		for call, err := range map[string]error{"Lookup": lookup, "Take": take, "TakeNewest": newest, "Update": update} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s = %v while Memory is closed, and its sessions are gone; want ErrClosed", call, err)
			}
		}
	}
	if m.cache, err = fastcache.New(cfg); err != nil {
		t.Fatal(err)
	}
	clock := &wallClock{m: m}
	clock.store(t, "1", time.Hour)
	if m.Close(); asked != 1 {
		t.Errorf("%d sessions were reported before Close returned; want 1", asked)
	}
}
