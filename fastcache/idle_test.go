package fastcache_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

func TestPromise1IdleTTLOnlyLookupExtends(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{IdleTTL: time.Minute})
		for i := range 3 {
			put(t, c, key("p", i), i)
		}
		for range 5 { // to 50 s
			time.Sleep(10 * time.Second)
			wantValue(t, c, key("p", 0), 0)
			for _, r := range readers {
				if r.name != "Lookup" && !r.sees(c, key("p", 1)) {
					t.Errorf("%s misses a session before its idle deadline", r.name)
				}
			}
		}
		time.Sleep(10*time.Second - 1)
		wantSeen(t, c, key("p", 1), true, "1 ns before it idles out") // the Lookup saves it
		time.Sleep(time.Nanosecond)
		wantSeen(t, c, key("p", 2), false, "never looked up, after IdleTTL")
		wantSeen(t, c, key("p", 0), true, "looked up 10 s ago")
		wantSeen(t, c, key("p", 1), true, "looked up 1 ns ago")
		if c.Demote(key("p", 2)) || c.Delete(key("p", 2)) {
			t.Error("Demote or Delete found a session that had idled out")
		}
	})
}

// TakeNewestKeepLast uses the session that it keeps.
func TestPromise1IdleTTLKeepLastIsAUse(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{IdleTTL: time.Minute})
		put(t, c, key("p", 1), 1)
		for range 10 {
			time.Sleep(59 * time.Second)
			if _, v, ok := c.TakeNewestKeepLast("p"); !ok || v != 1 {
				t.Fatalf("TakeNewestKeepLast = %v, %v; want 1, kept alive by each use", v, ok)
			}
		}
		time.Sleep(time.Minute)
		if _, v, ok := c.TakeNewestKeepLast("p"); ok {
			t.Errorf("TakeNewestKeepLast = %v after IdleTTL", v)
		}
	})
}

// Whatever the pattern of Lookups: a session idles out IdleTTL after the last one, up to a
// 64th of it early and never late, and always at its absolute deadline.
func TestPromise1IdleTTLIsNeverLateAndHardlyEarly(t *testing.T) {
	for _, idle := range []time.Duration{1, 50, 64, time.Millisecond, time.Second + 1, time.Minute, 3 * day} {
		t.Run(idle.String(), func(t *testing.T) {
			everyBubble(t, func(t *testing.T, l layout) {
				rng := rand.New(rand.NewPCG(uint64(idle), 1))
				for _, ttl := range []time.Duration{idle/2 + 1, idle, 3*idle + 2, 40 * idle} {
					c := open(t, l, fastcache.Config[int]{IdleTTL: idle, TTL: ttl})
					for range 5 {
						idleOut(t, c, rng, idle, ttl)
					}
				}
			})
		})
	}
}

// idleOut stores one session and looks it up at random instants until it is gone.
func idleOut(t *testing.T, c *fastcache.Cache[int], rng *rand.Rand, idle, ttl time.Duration) {
	t.Helper()
	k := key("p", rng.Int())
	put(t, c, k, 1)
	stored := time.Now()
	absolute, lastUse := stored.Add(ttl), stored
	for {
		latest := earlier(lastUse.Add(idle), absolute)
		soonest := earlier(lastUse.Add(idle-idle/64), absolute)
		e, alive := c.Peek(k)
		if now := time.Now(); alive != now.Before(latest) && alive != now.Before(soonest) {
			t.Fatalf("TTL %v: alive is %v, %v after its Update and %v after its last use", ttl, alive, now.Sub(stored), now.Sub(lastUse))
		}
		if !alive {
			return
		}
		if e.Expires.Before(soonest) || e.Expires.After(latest) {
			t.Fatalf("TTL %v: expires %v after its last use; want %v to %v", ttl, e.Expires.Sub(lastUse), soonest.Sub(lastUse), latest.Sub(lastUse))
		}
		switch rng.IntN(4) {
		case 0:
			time.Sleep(time.Until(e.Expires) - 1)
		case 1:
			time.Sleep(time.Duration(rng.Int64N(int64(idle)/100 + 1)))
		default:
			time.Sleep(time.Duration(rng.Int64N(int64(idle)*11/10 + 1)))
		}
		if _, ok := c.Lookup(k); ok {
			lastUse = time.Now()
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// A session that idled out leaves memory within a tick, extended before or not; one that
// is used stays through the timer's look at it.
func TestPromise1IdleTTLLeavesMemory(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{IdleTTL: time.Minute, OnRemove: r.record})
		for i := range 500 {
			put(t, c, key("p", i), i)
		}
		for range 10 {
			time.Sleep(50 * time.Second)
			for i := range 100 {
				wantValue(t, c, key("p", i), i)
			}
		}
		synctest.Wait()
		if n := c.Size(); n != 100 {
			t.Errorf("Size() = %d; want the 100 that are in use", n)
		}
		time.Sleep(time.Minute + tick)
		synctest.Wait()
		if n, reported := c.Size(), r.reasons()[fastcache.Expired]; n != 0 || reported != 500 {
			t.Errorf("Size() = %d, %d reported expired; want 0, 500", n, reported)
		}
		if n := c.Stats().WakeUps; n > 15 {
			t.Errorf("%d wake-ups in ten minutes; want about one per IdleTTL", n)
		}
	})
}

// With IdleTTL and without the index only the shard's lock keeps an Update and a
// Lookup apart that finds the session over: neither hangs and nothing is lost.
func TestPromise1IdleTTLWithoutIndex(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{IdleTTL: time.Millisecond, NoIndex: true, OnRemove: r.record,
			MaxWeight: 20, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v%5 + 1) }})
		stored := 0
		for round := range 300 {
			inParallel(4, func(g int) {
				if g < 2 {
					for i := range 3 {
						_ = c.Update(key("p", i), 10*round+2*i+g)
					}
					return
				}
				for i := range 3 {
					c.Lookup(key("p", i))
				}
			})
			stored += 6
			time.Sleep(time.Millisecond / time.Duration(1+round%3))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(r.all()); n != stored {
			t.Errorf("%d removals of %d sessions", n, stored)
		}
	})
}
