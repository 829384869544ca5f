package loading_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

const benchKeys = 1 << 10 // they stay in the processor's cache, so that the difference is not lost in its misses

// benchKeyList returns keys like those of sessions: a host and 32 bytes.
func benchKeyList() []fastcache.Key {
	keys := make([]fastcache.Key, benchKeys)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range keys {
		keys[i] = fastcache.Key{Partial: fmt.Sprintf("host-%04d.example.net:443", i/8), ID: fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())}
	}
	return keys
}

// BenchmarkHit compares Get of what is there with Lookup.
func BenchmarkHit(b *testing.B) {
	keys := benchKeyList()
	load := func(context.Context, fastcache.Key) (int, time.Duration, error) { return 1, 0, nil }
	for _, bm := range []struct {
		name string
		cfg  loading.Config
		get  func(cache *fastcache.Cache[int], c *loading.Cache[int], k fastcache.Key) int
	}{
		{"call=Lookup", loading.Config{}, func(cache *fastcache.Cache[int], _ *loading.Cache[int], k fastcache.Key) int {
			v, _ := cache.Lookup(k)
			return v
		}},
		{"call=Get", loading.Config{}, func(_ *fastcache.Cache[int], c *loading.Cache[int], k fastcache.Key) int {
			v, _ := c.Get(ctx, k)
			return v
		}},
		{"call=Get/refresh", loading.Config{RefreshAhead: time.Minute}, func(_ *fastcache.Cache[int], c *loading.Cache[int], k fastcache.Key) int {
			v, _ := c.Get(ctx, k)
			return v
		}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			cache, c := open(b, load, bm.cfg)
			for _, k := range keys {
				c.Get(ctx, k)
			}
			sum, i := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				sum += bm.get(cache, c, keys[i&(benchKeys-1)])
				i++
			}
			if sum != b.N {
				b.Fatalf("%d of %d were hits", sum, b.N)
			}
		})
	}
}

// BenchmarkMiss is a load that takes no time, of a key that is not there, and then is, and is deleted.
func BenchmarkMiss(b *testing.B) {
	keys := benchKeyList()
	load := func(context.Context, fastcache.Key) (int, time.Duration, error) { return 1, 0, nil }
	cache, c := open(b, load, loading.Config{})
	sum, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		k := keys[i&(benchKeys-1)]
		v, _ := c.Get(ctx, k)
		sum += v
		cache.Delete(k)
		i++
	}
	if st := c.Stats(); sum != b.N || st.Loads != uint64(b.N) {
		b.Fatalf("%d values and %d loads for %d Gets", sum, st.Loads, b.N)
	}
}

// BenchmarkKeptError is a Get whose error is kept.
func BenchmarkKeptError(b *testing.B) {
	s := &source{err: errAbsent}
	_, c := open(b, s.load, loading.Config{NegativeTTL: time.Hour})
	failed := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(ctx, key(1)); err == errAbsent {
			failed++
		}
	}
	if n := s.loads.Load(); failed != b.N || n != 1 {
		b.Fatalf("%d of %d failed, with %d loads; want one", failed, b.N, n)
	}
}
