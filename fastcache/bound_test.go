package fastcache_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// churn runs random operations on a cache until done.
func churn(c *fastcache.Cache[int], g, keys, steps int) {
	rng := rand.New(rand.NewPCG(uint64(g), uint64(keys)))
	for range steps {
		id := rng.IntN(keys)
		k := key(fmt.Sprint(id%5), id)
		switch rng.IntN(20) {
		case 0:
			c.Delete(k)
		case 1:
			c.Take(k)
		case 2:
			c.TakeNewest(k.Partial)
		case 3:
			if rng.IntN(50) == 0 {
				c.DeletePartial(k.Partial)
			}
		case 4:
			c.Demote(k)
		case 5, 6:
			c.Lookup(k)
		default:
			_ = c.Update(k, rng.IntN(1000))
		}
	}
}

// sampled runs work while another goroutine compares Size and the weight with the bounds.
func sampled(t *testing.T, c *fastcache.Cache[int], maxSessions int, maxWeight int64, work func()) {
	t.Helper()
	whileWorking(1, func(_ int, done func() bool) {
		for !done() {
			if n := c.Size(); n > maxSessions {
				t.Errorf("Size() = %d; want at most %d", n, maxSessions)
				return
			}
			if w := c.Stats().Weight; w > maxWeight {
				t.Errorf("the weight is %d; want at most %d", w, maxWeight)
				return
			}
			runtime.Gosched()
		}
	}, work)
	count, weight := 0, int64(0)
	for _, v := range collect(t, c) {
		count++
		weight += int64(v)
	}
	if count > maxSessions || weight > maxWeight || count != c.Size() {
		t.Errorf("All() shows %d sessions of weight %d, Size() = %d; want at most %d of %d", count, weight, c.Size(), maxSessions, maxWeight)
	}
	check(t, c)
}

func TestPromise5SizeNeverExceedsMaxSessions(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		for _, overflow := range []fastcache.Overflow{fastcache.EvictOne, fastcache.InvalidateAll} {
			for _, bound := range []int{1, 2, 7, 100} {
				c := open(t, l, fastcache.Config[int]{MaxSessions: bound, Overflow: overflow})
				sampled(t, c, bound, math.MaxInt64, func() {
					inParallel(4, func(g int) { churn(c, g, 3*bound, rounds(1000)) })
					for i := range 2 * bound {
						put(t, c, key("p", i), 0)
					}
				})
				if overflow == fastcache.EvictOne && c.Size() != bound {
					t.Errorf("Size() = %d after more than MaxSessions Updates; want %d", c.Size(), bound)
				}
			}
		}
	})
}

// The bounds of the caches that New makes, with as many shards as it chooses.
func TestPromise5SizeNeverExceedsMaxSessionsOfNew(t *testing.T) {
	for bound, shards := range map[int]int{1: 1, 2: 1, 7: 1, 4096: 1, 4097: 2, 20480: 8} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			c, err := fastcache.New(fastcache.Config[int]{MaxSessions: bound})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.ShardsForTest(); got != shards {
				t.Errorf("%d shards for %d sessions; want %d", got, bound, shards)
			}
			sampled(t, c, bound, math.MaxInt64, func() {
				inParallel(4, func(g int) {
					for i := range (bound + bound/4 + 50) / 2 { // fill it twice over and churn on
						_ = c.Update(key(fmt.Sprint(i%50), 4*i+g), 0)
					}
					churn(c, g, 2*bound, rounds(2000))
					for i := range bound/4 + 1 {
						_ = c.Update(key("last", 4*i+g), 0)
					}
				})
			})
			if got := c.Size(); got != bound {
				t.Errorf("Size() = %d of a full cache; want %d", got, bound)
			}
		})
	}
}

func TestPromise5WeightNeverExceedsMaxWeight(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		for _, overflow := range []fastcache.Overflow{fastcache.EvictOne, fastcache.InvalidateAll} {
			for _, bound := range []int{0, 10} {
				c := open(t, l, fastcache.Config[int]{MaxSessions: bound, MaxWeight: 5000, Overflow: overflow,
					Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
				most := bound
				if bound == 0 {
					most = 1 << 30
				}
				sampled(t, c, most, 5000, func() {
					inParallel(4, func(g int) { churn(c, g, 40, rounds(1000)) })
				})
			}
		}
	})
}

// Heavy Updates that meet: each needs most of the room, so none may wait for the other with
// half of it in its hands.
func TestPromise5HeavyUpdatesThatMeetBothEnd(t *testing.T) {
	for _, shards := range []int{1, 8} {
		for _, overflow := range []fastcache.Overflow{fastcache.EvictOne, fastcache.InvalidateAll} {
			c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxWeight: 1000,
				Overflow: overflow, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
			sampled(t, c, 1<<30, 1000, func() {
				for round := range rounds(200) {
					for i := range 1000 {
						put(t, c, key("light", i), 1)
					}
					var begun atomic.Int32
					inParallel(2, func(g int) {
						for begun.Add(1); begun.Load() < 2; runtime.Gosched() {
						}
						put(t, c, key("heavy", 3*round+g), 900)
						_ = c.Update(key("light", g), 1)
					})
				}
			})
		}
	}
}

func TestPromise5QuotaHoldsAfterEachUpdate(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		for _, quota := range []int{1, 2, 5} {
			var r recorder[int]
			c := open(t, l, fastcache.Config[int]{MaxPerPartial: quota, MaxSessions: 30, OnRemove: r.record})
			for i := range 200 {
				partial := fmt.Sprint(i % 3)
				put(t, c, key(partial, i%19), i)
				if n := len(selected(c, partial)); n > quota {
					t.Errorf("%d sessions of one partial key after Update; want at most %d", n, quota)
				}
			}
			inParallel(4, func(g int) { churn(c, g, 60, rounds(1000)) })
			for i := range 5 {
				if n := len(selected(c, fmt.Sprint(i))); n > quota {
					t.Errorf("%d sessions of one partial key after concurrent Updates; want at most %d", n, quota)
				}
			}
			check(t, c)
		}
	})
}

// The oldest of the partial key goes, in the order of their last Updates, and no other
// is evicted for the newcomer, even though the cache is full.
func TestPromise5QuotaTakesTheOldestAndNobodyElse(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{MaxPerPartial: 3, MaxSessions: 6, OnRemove: r.record})
		for i := range 3 {
			put(t, c, key("other", i), i) // the oldest of all: the first that an eviction would take
		}
		for i := range 3 {
			put(t, c, key("p", i), i)
		}
		put(t, c, key("p", 0), 10) // 1 is the oldest now
		c.Lookup(key("p", 1))      // which a use does not change
		for i := range 4 {
			put(t, c, key("p", 20+i), 20+i)
			if n := c.Size(); n != 6 {
				t.Errorf("Size() = %d; want 6", n)
			}
		}
		for i := range 3 {
			wantValue(t, c, key("other", i), i)
		}
		c.Close()
		var gone []int
		for _, rm := range r.all() {
			if rm.Reason == fastcache.Evicted {
				t.Errorf("%v was evicted; its partial key is below the quota", rm.Key)
			}
			if rm.Reason == fastcache.Quota {
				gone = append(gone, rm.Value)
			}
		}
		if l.shards == 1 && fmt.Sprint(gone) != "[1 2 10 20]" || len(gone) != 4 {
			t.Errorf("went for the quota: %v; want 1, 2, 10, 20, the oldest each time", gone)
		}
		if c.Stats().Quota != 4 {
			t.Errorf("Stats counts %d; want 4", c.Stats().Quota)
		}
	})
}
