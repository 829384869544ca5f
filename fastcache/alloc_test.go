package fastcache_test

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// allocs fails if a call of f allocates more than want times on average.
func allocs(t *testing.T, name string, want float64, runs int, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(runs, f); got > want {
		t.Errorf("%s allocates %v times; want at most %v", name, got, want)
	}
}

func TestAllocations(t *testing.T) {
	for _, cfg := range []fastcache.Config[*int]{{}, {ExactClock: true, RecordStats: true}, {IdleTTL: 1 << 40}} {
		c, err := fastcache.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		v := new(int)
		const warm = 2000
		keys := make([]fastcache.Key, 4*warm)
		for i := range keys {
			keys[i] = fastcache.Key{Partial: "host.example.net:443", ID: fmt.Sprintf("%032x", i)}
		}
		for _, k := range keys[:warm] {
			put(t, c, k, v)
		}
		i := 0
		allocs(t, "Lookup that hits", 0, 1000, func() { c.Lookup(keys[i%warm]); i++ })
		allocs(t, "Lookup that misses", 0, 1000, func() { c.Lookup(keys[warm+i%warm]); i++ })
		allocs(t, "Peek", 0, 1000, func() { c.Peek(keys[i%warm]); i++ })
		sum := 0
		allocs(t, "ranging over SelectSession", 0, 100, func() {
			for k := range c.SelectSession("host.example.net:443") {
				sum += len(k.ID)
			}
		})
		allocs(t, "ranging over All", 0, 100, func() {
			for k := range c.All() {
				sum += len(k.ID)
			}
		})
		entry := 1.0
		if cfg.IdleTTL > 0 {
			entry = 2 // its deadline lies apart
		}
		i = warm
		allocs(t, "Update of a new key", entry, 2*warm, func() { put(t, c, keys[i], v); i++ })
		i = 0
		allocs(t, "Update of a present key", entry, 1000, func() { put(t, c, keys[i], v); i++ })
		i = 0
		allocs(t, "Delete", 0, 1000, func() { c.Delete(keys[i]); i++ })
		allocs(t, "Touch", 0, 1000, func() { c.Touch(keys[warm+i%warm], 1<<40); i++ })
		allocs(t, "LookupOrUpdate of a present key", 0, 1000, func() { _, _, _ = c.LookupOrUpdate(keys[warm+i%warm], v, 1<<40); i++ })
		i = 1000
		allocs(t, "Take", 0, 1000, func() { c.Take(keys[i]); i++ })
		allocs(t, "TakeNewest", 0, 100, func() { c.TakeNewest("host.example.net:443") })
		allocs(t, "Demote", 0, 1000, func() { c.Demote(keys[i]); i++ })

		partials := make([]fastcache.Key, 5000)
		for i := range partials {
			partials[i] = fastcache.Key{Partial: fmt.Sprintf("host%05d.example.net:443", i), ID: keys[i].ID}
		}
		i = 0
		allocs(t, "Update of a new partial key", entry, 4000, func() { put(t, c, partials[i], v); i++ })
	}
}
