package fastcache_test

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/traffic"
)

// ratioOf is the hit ratio of a cache with so many places.
func ratioOf(t *testing.T, w traffic.Workload, places, shards int) float64 {
	t.Helper()
	c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: places, NoIndex: true})
	defer check(t, c)
	return w.Hits(func(k int) bool {
		v, ok := c.Lookup(key("p", k))
		if ok && v != k {
			t.Fatalf("Lookup of session %d = %d", k, v)
		}
		return ok
	}, func(k int) { put(t, c, key("p", k), k) })
}

// Whatever the traffic is like, the policy comes near to what suits it: at least near the better of
// FIFO and LRU, and where both are bad, a good part of the way from there to what is possible.
func TestPromise5HitRatioFollowsTheTraffic(t *testing.T) {
	fastcache.SkipUnderRace(t)
	const n = 150_000
	for _, tc := range []struct {
		name   string
		w      traffic.Workload
		places int
		way    float64 // from the better of FIFO and LRU to the best that is possible
	}{
		{"frequency", traffic.Popular(n, 50_000, 0.9, 0), 1000, 0.45},
		{"frequency, larger", traffic.Popular(n, 50_000, 0.9, 0), 6000, 0.25},
		{"frequency with scans", traffic.Popular(n, 30_000, 0.8, 0).Scanned(10_000, 3000), 1000, 0.40},
		{"moving ranks", traffic.Popular(n, 20_000, 0.9, 20), 1000, -0.1},
		{"recency", traffic.Recent(n, 1500, 1.2, 0.15), 2000, -0.5},
		{"recency, too little room", traffic.Recent(n, 1500, 1.2, 0.15), 500, 0.10},
		{"recency with scans", traffic.Recent(n, 800, 1.5, 0.1).Scanned(10_000, 4000), 1000, 0.12},
		{"bursts", traffic.Bursts(n, 1000, 4), 2000, -9},
		{"bursts, too little room", traffic.Bursts(n, 1000, 4), 500, -0.2},
		{"a loop a tenth too large", traffic.Loop(n, 1100), 1000, 0.90},
		{"from recency to a loop to frequency",
			traffic.Recent(n/3, 500, 1, 0.2).Then(traffic.Loop(n/3, 1500)).Then(traffic.Popular(n/3, 30_000, 1, 0)), 1000, 0.60},
		{"from bursts to a loop and back",
			traffic.Bursts(n/3, 600, 4).Then(traffic.Loop(n/3, 2500)).Then(traffic.Bursts(n/3, 600, 4)), 2000, 0.5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			simple := max(tc.w.FIFO(tc.places), tc.w.LRU(tc.places))
			best := tc.w.Best(tc.places)
			for _, shards := range []int{1, 4} {
				if tc.places/shards < 250 {
					continue // it has one shard
				}
				got := ratioOf(t, tc.w, tc.places, shards)
				way := (got - simple) / (best - simple)
				t.Logf("%d shards: %.4f; FIFO %.4f, LRU %.4f, the best %.4f: %.2f of the way",
					shards, got, tc.w.FIFO(tc.places), tc.w.LRU(tc.places), best, way)
				if way < tc.way {
					t.Errorf("%d shards hit %.4f, %.2f of the way from %.4f to %.4f; want %.2f", shards, got, way, simple, best, tc.way)
				}
				if got < simple-0.04 {
					t.Errorf("%d shards hit %.4f; FIFO or LRU hits %.4f", shards, got, simple)
				}
			}
		})
	}
}

// A loop that does not fit hits nothing in a FIFO or an LRU. Most of what fits is kept, even if the
// loop is so long that no ghost lives for a lap.
func TestPromise5LoopsLargerThanTheCacheHit(t *testing.T) {
	fastcache.SkipUnderRace(t)
	for _, places := range []int{4, 16, 100, 1000} {
		for _, times := range []float64{1.25, 2, 5} {
			t.Run(fmt.Sprintf("places=%d/times=%v", places, times), func(t *testing.T) {
				keys := int(float64(places) * times)
				w := traffic.Loop(60*keys, keys)
				want := 0.75 * float64(places-1) / float64(keys)
				if places < 16 {
					want *= 0.75 // it takes longer to see what is going on
				}
				seeds := max(1, 512/places) // in so few places luck with the hash matters
				got := 0.0
				for range seeds {
					got += ratioOf(t, w, places, 1) / float64(seeds)
				}
				if got < want {
					t.Errorf("a loop of %d in %d places hits %.3f; want %.3f at least", keys, places, got, want)
				}
			})
		}
	}
}

// The smallest caches there are hold what was stored last.
func TestPromise2JustStoredIsFoundInTinyCaches(t *testing.T) {
	for places := 1; places <= 16; places++ {
		c := open(t, layout{shards: 1, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: places})
		for i, k := range traffic.Popular(3000, 40, 0.7, 0) {
			if _, ok := c.Lookup(key("p", k)); !ok || i%5 == 0 {
				put(t, c, key("p", k), i)
				wantValue(t, c, key("p", k), i)
			}
			if i%7 == 0 {
				c.Demote(key("p", k))
			}
			if c.Size() > places {
				t.Fatalf("Size() = %d; want at most %d", c.Size(), places)
			}
		}
		check(t, c)
	}
}
