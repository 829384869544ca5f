package loading

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/faults"
)

// A Func loads the value of a key. Many run at once, for different keys; after a removal, for one key, too.
//
// A load may call Get for other keys. It keeps its place among MaxLoads meanwhile, so with a small bound such loads can wait
// for each other.
//
// ctx is cancelled when nobody waits any more, and when Close is called. It has the values of the context of the first Get
// that asked, but not its deadline. key is the load's to keep.
//
// With a nil error, value is returned and stored for ttl, or for the TTL of the cache if ttl is 0. A negative ttl says that the
// value is over already, so it is an error, fastcache.ErrBadTTL. With an error, Get returns that error, and ttl says how long
// it is kept: 0 is Config.NegativeTTL, and with a negative ttl it is not kept.
type Func[V any] func(ctx context.Context, key fastcache.Key) (value V, ttl time.Duration, err error)

// Config sets up a Cache. The zero value is a good one: errors are not kept, sessions are not refreshed, and any number of
// loads run at once.
type Config struct {
	// NegativeTTL is how long an error of the load function is returned without asking it again. Zero means that it is
	// not kept. Whatever ends a load ends a kept error: after a Delete of the key it is not returned any more. At most
	// fastcache.DefaultMaxSessions errors are kept.
	NegativeTTL time.Duration

	// RefreshAhead, if set, lets a Get that finds a session with no more than this life left return it at once, and load it
	// anew in the background. Every hit then reads the clock. To refresh a session some time after it was
	// stored, as other caches do, set this to its TTL less that time. It should be well below every TTL: a session that
	// always has less life left is loaded again and again, one load after the other.
	//
	// A refresh that fails leaves the session as it is; after RefreshAhead/8, or for as long as the error is
	// kept, the next Get tries again. Where MaxLoads are running, a refresh waits for a later Get.
	RefreshAhead time.Duration

	// MaxLoads is how many loads run at once. Zero means any number. Who waits for a place still leaves when its context
	// ends.
	MaxLoads int
}

// retriesPerRefresh is how often a refresh that always fails is tried in the time that RefreshAhead leaves for it.
const retriesPerRefresh = 8

// Errors that callers compare with errors.Is. An error of the load function is returned as it is; those of fastcache are
// fastcache.ErrClosed, ErrKeyTooLong, ErrForeignClock, for keys that cannot be stored, and ErrBadTTL.
var (
	// ErrExited is returned by Get when the load function called runtime.Goexit.
	ErrExited = errors.New("loading: the load function called runtime.Goexit")

	// ErrClosed is returned by a Get that would need a load after Close, or whose load failed because of it.
	ErrClosed = errors.New("loading: cache is closed")
)

// A Cache loads what a fastcache.Cache lacks. All methods are safe for concurrent use. The zero Cache is not usable; call
// New. A Cache must not be copied. One that is garbage is collected without Close.
type Cache[V any] struct {
	cache *fastcache.Cache[V]
	load  Func[V]
	cfg   Config

	attempts *fastcache.Cache[*attempt[V]]
	slots    chan struct{} // one for each load that runs; nil without MaxLoads

	ending context.Context // ends with Close
	end    context.CancelFunc
	flying sync.WaitGroup // flights that have not landed

	mu struct {
		sync.Mutex // never held over the caller's code; a shard's lock may be taken under it, not the opposite
		flights    map[fastcache.Key]*flight[V]
		closed     bool
		stats      Stats
	}
}

// New returns a Cache that loads into the given one, which stays the caller's to use and to close. Several may share
// one. The error names every faulty field of cfg. New starts no goroutine.
func New[V any](cache *fastcache.Cache[V], load Func[V], cfg Config) (*Cache[V], error) {
	if err := cfg.check(cache == nil, load == nil); err != nil {
		return nil, err
	}
	attempts, err := fastcache.New(fastcache.Config[*attempt[V]]{
		NoIndex:  true,
		Hash:     fastcache.SecretHash,
		OnRemove: forgotten[V],
	})
	if err != nil {
		return nil, err
	}
	c := &Cache[V]{cache: cache, load: load, cfg: cfg, attempts: attempts}
	if cfg.MaxLoads > 0 {
		c.slots = make(chan struct{}, cfg.MaxLoads)
	}
	c.ending, c.end = context.WithCancel(context.Background())
	c.mu.flights = map[fastcache.Key]*flight[V]{}
	return c, nil
}

// check reports every fault of what New is called with.
func (cfg Config) check(noCache, noLoad bool) error {
	var wrong faults.List
	if noCache {
		wrong.Add("the cache is nil; want one that fastcache.New has made")
	}
	if noLoad {
		wrong.Add("the load function is nil")
	}
	if cfg.NegativeTTL < 0 {
		wrong.Add("NegativeTTL is %v; want at least 1ns, or 0 to keep no error", cfg.NegativeTTL)
	}
	if cfg.RefreshAhead < 0 {
		wrong.Add("RefreshAhead is %v; want at least 1ns, or 0 for no refresh", cfg.RefreshAhead)
	}
	if cfg.MaxLoads < 0 {
		wrong.Add("MaxLoads is %d; want at least 1, or 0 for no bound", cfg.MaxLoads)
	}
	return wrong.Err("loading")
}

// Get returns the value of a key: from the cache, as Lookup does, or else by a load. Then it waits until the load of the key
// ends, its own or one that is under way, or until ctx does, and returns ctx.Err(). A hit does not look at ctx.
//
// What a load returns is returned to all who wait for it, also if it is not kept: because the key was
// removed or stored meanwhile, because the cache refuses it (ErrTooHeavy, ErrBadWeight), or because the cache was closed.
// A Get that begins after Close of the fastcache.Cache returns fastcache.ErrClosed.
//
// Get panics with a *PanicError if the load, or Weigh of the fastcache.Cache, panicked. A hit allocates nothing and takes
// no lock.
func (c *Cache[V]) Get(ctx context.Context, key fastcache.Key) (V, error) {
	if c.cfg.RefreshAhead > 0 {
		return c.getAhead(ctx, key)
	}
	if value, ok := c.cache.Lookup(key); ok {
		return value, nil
	}
	return c.wait(ctx, key)
}

// wait is Get for a key that the cache has been found to lack.
func (c *Cache[V]) wait(ctx context.Context, key fastcache.Key) (value V, err error) {
	if err := c.keptError(key); err != nil {
		return value, err
	}
	if err := ctx.Err(); err != nil {
		return value, err
	}
	f, value, err := c.join(ctx, key)
	if f == nil {
		return value, err
	}
	select {
	case <-f.done:
		return f.result()
	case <-ctx.Done():
		c.leave(f)
		return value, ctx.Err()
	}
}

// Close cancels the contexts of all loads and waits until they have returned. The fastcache.Cache stays open. A Get that
// finds its session there goes on to return it; others return ErrClosed. Close is idempotent. The load
// function must not call it. It returns nil.
func (c *Cache[V]) Close() error {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.end()
	c.flying.Wait()
	return c.attempts.Close()
}
