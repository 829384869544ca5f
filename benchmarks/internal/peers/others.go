package peers

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	gocache "github.com/patrickmn/go-cache"
	"github.com/viccon/sturdyc"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

var others = []Peer{
	{Name: "golang-lru", Module: "github.com/hashicorp/golang-lru/v2", Class: OneTTL, Open: openLRU,
		Note: "one mutex, also for reads"},
	{Name: "sturdyc", Module: "github.com/viccon/sturdyc", Class: OneTTL, Open: openSturdyc,
		Note: "256 shards; a full one drops a tenth of its sessions at once"},
	{Name: "go-cache", Module: "github.com/patrickmn/go-cache", Class: Unbounded, Open: openGoCache},
}

type lruCache struct {
	c *expirable.LRU[string, *workload.Session]
}

func openLRU(cfg Config) Cache {
	return lruCache{expirable.NewLRU[string, *workload.Session](cfg.Capacity, nil, cfg.TTL)}
}

func (c lruCache) Get(key string) (*workload.Session, bool) { return c.c.Get(key) }
func (c lruCache) Set(key string, s *workload.Session)      { c.c.Add(key, s) }

func (c lruCache) Take(key string) (*workload.Session, bool) {
	s, ok := c.c.Peek(key)
	return s, ok && c.c.Remove(key)
}

func (c lruCache) Len() int { return c.c.Len() }
func (c lruCache) Flush()   {}
func (c lruCache) Close()   {} // it has no way to stop its goroutine

type sturdycCache struct {
	c *sturdyc.Client[*workload.Session]
}

func openSturdyc(cfg Config) Cache {
	const shards, evict = 256, 10
	capacity := cfg.Capacity
	n := shards
	switch {
	case cfg.Roomy:
		capacity += capacity/4 + 64*shards // its shards do not fill evenly
	case capacity < 100*shards:
		n = max(1, capacity/100) // or a tenth of a shard is nothing
	}
	return sturdycCache{sturdyc.New[*workload.Session](capacity, n, cfg.TTL, evict)}
}

func (c sturdycCache) Get(key string) (*workload.Session, bool) { return c.c.Get(key) }
func (c sturdycCache) Set(key string, s *workload.Session)      { c.c.Set(key, s) }

func (c sturdycCache) Take(key string) (*workload.Session, bool) {
	s, ok := c.c.Get(key)
	if ok {
		c.c.Delete(key)
	}
	return s, ok
}

func (c sturdycCache) Len() int { return c.c.Size() }
func (c sturdycCache) Flush()   {}
func (c sturdycCache) Close()   {} // it has no way to stop its goroutine

type goCache struct {
	c   *gocache.Cache
	own bool // each session has its own TTL
}

func openGoCache(cfg Config) Cache {
	return goCache{gocache.New(cfg.TTL, time.Second), cfg.PerSession}
}

func (c goCache) Get(key string) (*workload.Session, bool) {
	v, ok := c.c.Get(key)
	if !ok {
		return nil, false
	}
	return v.(*workload.Session), true
}

func (c goCache) Set(key string, s *workload.Session) {
	ttl := gocache.DefaultExpiration
	if c.own {
		ttl = s.TTL
	}
	c.c.Set(key, s, ttl)
}

func (c goCache) Take(key string) (*workload.Session, bool) {
	s, ok := c.Get(key)
	if ok {
		c.c.Delete(key)
	}
	return s, ok
}

func (c goCache) Len() int { return c.c.ItemCount() }
func (c goCache) Flush()   {}
func (c goCache) Close()   {} // a finalizer stops its goroutine
