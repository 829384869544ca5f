package fastcache_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// rounds is how often a stress loop runs: fewer times under the race detector.
func rounds(n int) int {
	if fastcache.Raced {
		return n / 5
	}
	return n
}

func TestPromise2UpdateIsVisibleAtOnce(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		inParallel(4, func(g int) {
			partial := fmt.Sprint(g % 2)
			for i := range rounds(2000) {
				k := key(partial, 1000*g+i%300)
				put(t, c, k, i)
				if v, ok := c.Lookup(k); !ok || v != i {
					t.Errorf("Lookup(%v) = %v, %v right after Update; want %d", k, v, ok, i)
				}
				if e, ok := c.Peek(k); !ok || e.Value != i {
					t.Errorf("Peek(%v) = %v, %v right after Update; want %d", k, e.Value, ok, i)
				}
				if i%7 == 0 && !c.Delete(k) {
					t.Errorf("Delete(%v) finds nothing right after Update", k)
				}
			}
		})
	})
}

// SelectSession shows a session that was just stored, and as the newest.
func TestPromise2UpdateIsTheNewestAtOnce(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		inParallel(4, func(g int) {
			partial := fmt.Sprint(g) // no other goroutine writes to it
			for i := range rounds(1000) {
				put(t, c, key(partial, i%20), i)
				for _, v := range c.SelectSession(partial) {
					if v != i {
						t.Errorf("the newest is %d; want %d", v, i)
					}
					break
				}
			}
		})
	})
}

// Four readers look up keys that two writers replace, while two more make the tables grow
// and shrink: no miss, and no reader sees a version older than one it saw before.
func TestPromise2ReplacedKeyNeverMisses(t *testing.T) {
	const keys = 8
	everyLayout(t, func(t *testing.T, l layout) {
		for _, weighed := range []bool{false, true} {
			cfg := fastcache.Config[int]{MaxSessions: 1 << 20}
			if weighed {
				cfg.MaxWeight = 1 << 40
				cfg.Weigh = func(_ fastcache.Key, v int) int64 { return int64(v % 17) }
			}
			c := open(t, l, cfg)
			for i := range keys {
				put(t, c, key("p", i), 0)
			}
			var looked, replaced atomic.Int64
			whileWorking(7, func(g int, done func() bool) {
				switch {
				case g < 4:
					seen := [keys]int{}
					for i := g; !done(); i++ {
						v, ok := c.Lookup(key("p", i%keys))
						if !ok || v < seen[i%keys] {
							t.Errorf("Lookup = %d, %v; want %d or newer", v, ok, seen[i%keys])
							return
						}
						seen[i%keys] = v
						looked.Add(1)
					}
				case g < 6: // each key has one writer
					for v := 1; !done(); v++ {
						put(t, c, key("p", g%2+2*(v%(keys/2))), v)
						replaced.Add(1)
					}
				default:
					for i := 0; !done(); i++ {
						put(t, c, key("p", 1_000+i%50), 0) // neighbours in the group come and go
						c.Delete(key("p", 1_000+(i+25)%50))
					}
				}
			}, func() {
				for range rounds(5) {
					for i := range 200 {
						put(t, c, key("q", i), 0)
					}
					c.DeletePartial("q")
				}
				// On a busy machine the others may hardly have begun.
				for int(min(looked.Load(), replaced.Load())) < rounds(1000) {
					runtime.Gosched()
				}
			})
		}
	})
}

// Versions follow each other long before the former's deadline. A Lookup that is held up
// after it found one version must not miss because that one is over by now.
func TestPromise2ReplacedKeyNeverMissesByTheClock(t *testing.T) {
	const ttl = 3 * time.Millisecond
	c := open(t, layouts()[0], fastcache.Config[int]{})
	k, birth := key("p", 1), time.Now()
	var lastLate, updates atomic.Int64
	begun := time.Since(birth) // when the version that is in the cache was stored, or before
	putTTL(t, c, k, 0, ttl)
	whileWorking(6, func(g int, done func() bool) {
		for !done() {
			begin := time.Since(birth)
			if _, ok := c.Lookup(k); ok {
				continue
			}
			for n := updates.Load(); updates.Load() < n+2; runtime.Gosched() {
				if done() {
					return
				}
			}
			if late := lastLate.Load(); late < int64(begin) {
				t.Errorf("Lookup missed at %v; the last late Update returned at %v", begin, time.Duration(late))
			}
		}
	}, func() {
		for range rounds(200_000) {
			begin := time.Since(birth)
			putTTL(t, c, k, 1, ttl)
			if end := time.Since(birth); end-begun >= ttl {
				lastLate.Store(int64(end)) // the former version may have been over meanwhile
			}
			begun = begin
			updates.Add(1)
		}
	})
}

// A thousand shards' worth of growth: what was stored is found, in tables of any size.
func TestPromise2GrowthLosesNothing(t *testing.T) {
	for _, shards := range []int{1, 8} {
		c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: 1 << 20})
		n := rounds(20_000)
		inParallel(4, func(g int) {
			for i := g; i < n; i += 4 {
				put(t, c, key(fmt.Sprint(i%100), i), i)
				if before := i / 2 / 4 * 4; before+g < i {
					wantValue(t, c, key(fmt.Sprint((before+g)%100), before+g), before+g)
				}
			}
		})
		for i := range n {
			wantValue(t, c, key(fmt.Sprint(i%100), i), i)
		}
		check(t, c)
		if got := len(collect(t, c)); got != n || c.Size() != n {
			t.Errorf("All() shows %d, Size() = %d; want %d", got, c.Size(), n)
		}
		for i := range n {
			if !c.Delete(key(fmt.Sprint(i%100), i)) {
				t.Fatalf("Delete of session %d finds nothing", i)
			}
		}
		put(t, c, key("p", 1), 1) // the arrays were given back
		wantValue(t, c, key("p", 1), 1)
	}
}
