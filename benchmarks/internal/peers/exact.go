package peers

import (
	"time"

	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/jellydator/ttlcache/v3"
	"github.com/maypok86/otter/v2"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

var exact = []Peer{
	{Name: "otter", Module: "github.com/maypok86/otter/v2", Class: Exact, Core: true, Open: openOtter(false),
		Note: "exceeds its bound while maintenance lags"},
	{Name: "otter-coarse", Module: "github.com/maypok86/otter/v2", Class: Coarse, Core: true, Open: openOtter(true),
		Note: "with NewCoarseClock(10ms): a session may be found 10 ms after its deadline"},
	{Name: "theine", Module: "github.com/Yiling-J/theine-go", Class: Exact, Core: true, Open: openTheine,
		Note: "exceeds its bound while maintenance lags"},
	{Name: "ristretto", Module: "github.com/dgraph-io/ristretto/v2", Class: Exact, Core: true, Open: openRistretto,
		Note: "may drop a Set; holds no keys, so a 64-bit collision returns another's session"},
	{Name: "ttlcache", Module: "github.com/jellydator/ttlcache/v3", Class: Exact, Open: openTTLCache,
		Note: "one mutex, also for reads"},
}

type otterCache struct {
	c     *otter.Cache[string, *workload.Session]
	clock *otter.CoarseClock
}

// coarseResolution makes otter's coarse clock as coarse as the ticks of an operating system; a
// finer one is no faster to read, and wakes up more often.
const coarseResolution = 10 * time.Millisecond

func openOtter(coarse bool) func(Config) Cache {
	return func(cfg Config) Cache {
		options := &otter.Options[string, *workload.Session]{
			MaximumSize:      cfg.Capacity,
			ExpiryCalculator: otter.ExpiryWriting[string, *workload.Session](cfg.TTL),
		}
		if cfg.PerSession {
			options.ExpiryCalculator = otter.ExpiryWritingFunc(func(e otter.Entry[string, *workload.Session]) time.Duration {
				return e.Value.TTL
			})
		}
		if cfg.Inline {
			options.Executor = func(fn func()) { fn() }
		}
		c := otterCache{}
		if coarse {
			c.clock = otter.NewCoarseClock(coarseResolution)
			options.Clock = c.clock
		}
		c.c = otter.Must(options)
		return c
	}
}

func (c otterCache) Get(key string) (*workload.Session, bool)  { return c.c.GetIfPresent(key) }
func (c otterCache) Set(key string, s *workload.Session)       { c.c.Set(key, s) }
func (c otterCache) Take(key string) (*workload.Session, bool) { return c.c.Invalidate(key) }
func (c otterCache) Len() int                                  { return c.c.EstimatedSize() }
func (c otterCache) Flush()                                    { c.c.CleanUp() }

func (c otterCache) Close() {
	c.c.StopAllGoroutines()
	if c.clock != nil {
		c.clock.Stop()
	}
}

type theineCache struct {
	c   *theine.Cache[string, *workload.Session]
	ttl time.Duration // 0: each session's own
}

func openTheine(cfg Config) Cache {
	c := theineCache{c: must(theine.NewBuilder[string, *workload.Session](int64(cfg.Capacity)).Build()), ttl: cfg.TTL}
	if cfg.PerSession {
		c.ttl = 0
	}
	return c
}

func (c theineCache) Get(key string) (*workload.Session, bool) { return c.c.Get(key) }

func (c theineCache) Set(key string, s *workload.Session) {
	ttl := c.ttl
	if ttl == 0 {
		ttl = s.TTL
	}
	c.c.SetWithTTL(key, s, 1, ttl)
}

func (c theineCache) Take(key string) (*workload.Session, bool) {
	s, ok := c.c.Get(key)
	if ok {
		c.c.Delete(key)
	}
	return s, ok
}

func (c theineCache) Len() int { return c.c.Len() }
func (c theineCache) Flush()   { c.c.Wait() }
func (c theineCache) Close()   { c.c.Close() }

type ristrettoCache struct {
	c   *ristretto.Cache[string, *workload.Session]
	ttl time.Duration // 0: each session's own
	max int
}

func openRistretto(cfg Config) Cache {
	c := ristrettoCache{ttl: cfg.TTL, max: cfg.Capacity}
	if cfg.PerSession {
		c.ttl = 0
	}
	c.c = must(ristretto.NewCache(&ristretto.Config[string, *workload.Session]{
		NumCounters:        int64(cfg.Capacity) * 10,
		MaxCost:            int64(cfg.Capacity),
		BufferItems:        64,
		IgnoreInternalCost: true,
	}))
	return c
}

func (c ristrettoCache) Get(key string) (*workload.Session, bool) { return c.c.Get(key) }

func (c ristrettoCache) Set(key string, s *workload.Session) {
	ttl := c.ttl
	if ttl == 0 {
		ttl = s.TTL
	}
	c.c.SetWithTTL(key, s, 1, ttl)
}

func (c ristrettoCache) Take(key string) (*workload.Session, bool) {
	s, ok := c.c.Get(key)
	if ok {
		c.c.Del(key)
	}
	return s, ok
}

func (c ristrettoCache) Len() int { return c.max - int(c.c.RemainingCost()) }
func (c ristrettoCache) Flush()   { c.c.Wait() }
func (c ristrettoCache) Close()   { c.c.Close() }

type ttlCache struct {
	c   *ttlcache.Cache[string, *workload.Session]
	own bool // each session has its own TTL
}

func openTTLCache(cfg Config) Cache {
	c := ttlcache.New(
		ttlcache.WithCapacity[string, *workload.Session](uint64(cfg.Capacity)),
		ttlcache.WithTTL[string, *workload.Session](cfg.TTL),
		ttlcache.WithDisableTouchOnHit[string, *workload.Session](), // a lookup must not prolong a session
	)
	go c.Start()
	return ttlCache{c, cfg.PerSession}
}

func (c ttlCache) Get(key string) (*workload.Session, bool) {
	if item := c.c.Get(key); item != nil {
		return item.Value(), true
	}
	return nil, false
}

func (c ttlCache) Set(key string, s *workload.Session) {
	ttl := ttlcache.DefaultTTL
	if c.own {
		ttl = s.TTL
	}
	c.c.Set(key, s, ttl)
}

func (c ttlCache) Take(key string) (*workload.Session, bool) {
	if item, ok := c.c.GetAndDelete(key); ok {
		return item.Value(), true
	}
	return nil, false
}

func (c ttlCache) Len() int { return c.c.Len() }
func (c ttlCache) Flush()   {}
func (c ttlCache) Close()   { c.c.Stop() }
