package fastcache_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// lease begins a lease.
func lease(t testing.TB, c *fastcache.Cache[int], k fastcache.Key) *fastcache.Lease[int] {
	t.Helper()
	l, err := c.Lease(k)
	if err != nil {
		t.Fatalf("Lease = %v", err)
	}
	return l
}

// lost fails unless a lease is lost, and stores nothing.
func lost(t testing.TB, l *fastcache.Lease[int]) {
	t.Helper()
	if l.Held() {
		t.Error("the lease is held")
	}
	if err := l.Update(-1); !errors.Is(err, fastcache.ErrLeaseLost) {
		t.Errorf("Update of a lost lease = %v; want ErrLeaseLost", err)
	}
}

// takers remove the session of key("p", 1), where there is one, or store another.
var takers = []struct {
	name   string
	absent bool // they end a lease of a key without a session, too
	take   func(c *fastcache.Cache[int])
}{
	{"Delete", true, func(c *fastcache.Cache[int]) { c.Delete(key("p", 1)) }},
	{"Take", true, func(c *fastcache.Cache[int]) { c.Take(key("p", 1)) }},
	{"TakeNewest", false, func(c *fastcache.Cache[int]) { c.TakeNewest("p") }},
	{"DeletePartial", true, func(c *fastcache.Cache[int]) { c.DeletePartial("p") }},
	{"Clear", true, func(c *fastcache.Cache[int]) { c.Clear() }},
	{"Update", true, func(c *fastcache.Cache[int]) { c.Update(key("p", 1), 9) }},
	{"UpdateOnProbation", true, func(c *fastcache.Cache[int]) { c.UpdateOnProbation(key("p", 1), 9, time.Hour) }},
	{"Update of another lease", true, func(c *fastcache.Cache[int]) {
		l, _ := c.Lease(key("p", 1))
		l.Update(9)
	}},
}

func TestPromise3ALeaseFromBeforeARemovalStoresNothing(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		for _, noIndex := range []bool{false, true} {
			for _, present := range []bool{false, true} {
				for _, by := range takers {
					if noIndex && by.name == "TakeNewest" || !present && !by.absent {
						continue
					}
					c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
					if present {
						put(t, c, key("p", 1), 1)
					}
					held, second, other := lease(t, c, key("p", 1)), lease(t, c, key("p", 1)), lease(t, c, key("q", 1))
					by.take(c)
					was, _ := c.Lookup(key("p", 1))
					lost(t, held)
					lost(t, second)
					if v, _ := c.Lookup(key("p", 1)); v != was {
						t.Errorf("%s: the key has %d after the lost lease; want %d", by.name, v, was)
					}
					if other.Held() == (by.name == "Clear") {
						t.Errorf("%s: the lease of another key is held: %v", by.name, other.Held())
					}
					other.Release()
				}
			}
		}
	})
}

func TestALeaseStoresOnceAndIsOver(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{TTL: time.Hour})
		for _, ttl := range []time.Duration{0, time.Minute} {
			held := lease(t, c, key("p", 1))
			want, err := ttl, error(nil)
			if ttl == 0 {
				want, err = time.Hour, held.Update(5)
			} else {
				err = held.UpdateTTL(5, ttl)
			}
			if e, ok := c.Peek(key("p", 1)); err != nil || !ok || e.Value != 5 || time.Until(e.Expires) != want {
				t.Errorf("Update = %v, Peek = %+v, %v; want 5 for %v", err, e, ok, want)
			}
			lost(t, held)
			held.Release()
		}
	})
}

// Nobody has decided that the session goes, or it stays where it is.
func TestExpiryAndEvictionLeaveALeaseAlone(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		for _, overflow := range []fastcache.Overflow{fastcache.EvictOne, fastcache.InvalidateAll} {
			c := open(t, l, fastcache.Config[int]{MaxSessions: 1, MaxPerPartial: 1, Overflow: overflow})
			for _, tt := range []struct {
				name string
				does func()
			}{
				{"Touch", func() { c.Touch(key("p", 1), time.Minute) }},
				{"Demote", func() { c.Demote(key("p", 1)) }},
				{"TakeNewestKeepLast", func() { c.TakeNewestKeepLast("p") }},
				{"expiry", func() { c.Touch(key("p", 1), time.Second); time.Sleep(time.Minute) }},
				{"an eviction", func() { put(t, c, key("q", 1), 2) }},
				{"the quota", func() { put(t, c, key("p", 2), 2) }},
			} {
				put(t, c, key("p", 1), 1)
				held := lease(t, c, key("p", 1))
				tt.does()
				if err := held.Update(3); err != nil {
					t.Errorf("Update = %v after %s", err, tt.name)
				}
				if v, _ := c.Lookup(key("p", 1)); v != 3 {
					t.Errorf("Lookup = %d after %s; want what the lease stored", v, tt.name)
				}
			}
		}
	})
}

func TestLeaseRefusesWhatUpdateRefuses(t *testing.T) {
	c := fastcache.NewForTest(fastcache.Config[int]{MaxWeight: 10, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }}, 1, fastcache.HashGood)
	if err := lease(t, c, key("p", 1)).Update(11); !errors.Is(err, fastcache.ErrTooHeavy) {
		t.Errorf("Update = %v; want ErrTooHeavy", err)
	}
	held := lease(t, c, key("p", 1))
	if err := held.UpdateTTL(1, 0); !errors.Is(err, fastcache.ErrBadTTL) || held.Held() {
		t.Errorf("UpdateTTL = %v, held: %v; want ErrBadTTL, and that it is over", err, held.Held())
	}
	if _, err := c.Lease(fastcache.Key{ID: string(make([]byte, fastcache.MaxKeyPart+1))}); !errors.Is(err, fastcache.ErrKeyTooLong) {
		t.Errorf("Lease = %v; want ErrKeyTooLong", err)
	}
	held = lease(t, c, key("p", 1))
	c.Close()
	if err := held.Update(1); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("Update after Close = %v; want ErrClosed", err)
	}
	if _, err := c.Lease(key("p", 1)); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("Lease after Close = %v; want ErrClosed", err)
	}
	if _, err := new(fastcache.Cache[int]).Lease(key("p", 1)); !errors.Is(err, fastcache.ErrNotMade) {
		t.Errorf("Lease of the zero Cache = %v; want ErrNotMade", err)
	}
}

// CheckInvariantsForTest, when the cache is closed, finds no lease on one of the two lists alone.
func TestLeasesAreReleasedInAnyOrder(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 200 {
					a, b, d := lease(t, c, key("p", 1)), lease(t, c, key("p", i)), lease(t, c, key("p", 1))
					switch i % 4 {
					case 0:
						c.Delete(key("p", 1))
					case 1:
						a.Update(i)
					case 2:
						c.DeletePartial("p")
					}
					b.Release()
					d.Release()
					a.Release()
				}
			})
		}
		wg.Wait()
		if n := c.Stats().Leases; n != 0 {
			t.Errorf("%d leases are left", n)
		}
	})
}

func TestLookupAheadSaysWhatIsDue(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		for _, idle := range []time.Duration{0, time.Minute} {
			c := open(t, l, fastcache.Config[int]{IdleTTL: idle, RecordStats: true})
			putTTL(t, c, key("p", 1), 1, 90*time.Second)
			for i, tt := range []struct {
				sleep   time.Duration
				due, ok bool
			}{
				{0, false, true},
				{50*time.Second - 1, false, true},
				{1, true, true}, // 40 s are left
				{40*time.Second - 1, true, true},
				{1, false, false},
			} {
				time.Sleep(tt.sleep)
				if v, due, ok := c.LookupAhead(key("p", 1), 40*time.Second); due != tt.due || ok != tt.ok || (v == 1) != ok {
					t.Errorf("IdleTTL %v, step %d: LookupAhead = %d, due %v, %v; want %v, %v", idle, i, v, due, ok, tt.due, tt.ok)
				}
			}
			if st := c.Stats(); st.Hits != 4 || st.Misses != 1 {
				t.Errorf("%d hits and %d misses; want 4 and 1", st.Hits, st.Misses)
			}
		}
	})
	if _, _, ok := new(fastcache.Cache[int]).LookupAhead(key("p", 1), time.Hour); ok {
		t.Error("the zero Cache has a session")
	}
}
