package peers

import (
	"context"
	"unsafe"

	vm "github.com/VictoriaMetrics/fastcache"
	"github.com/allegro/bigcache/v3"
	"github.com/coocood/freecache"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

var byteCaches = []Peer{
	{Name: "bigcache", Module: "github.com/allegro/bigcache/v3", Class: Bytes, Open: openBigCache,
		Note: "copies 256 bytes in and out; may return expired sessions for a second"},
	{Name: "freecache", Module: "github.com/coocood/freecache", Class: Bytes, Open: openFreeCache,
		Note: "copies 256 bytes in and out; TTL in seconds"},
	{Name: "vm-fastcache", Module: "github.com/VictoriaMetrics/fastcache", Class: Bytes, Open: openVMFastcache,
		Note: "copies 256 bytes in and out; has no TTL; its namesake is no relation of ours"},
}

// bytesFor returns what byte caches are given to hold so many sessions: key, session and a header
// each, and room for an uneven spread over shards, of which they have up to 1024.
func bytesFor(capacity int) int {
	const entry = (workload.KeyLen + workload.SessionLen + 32) * 3 / 2
	return (capacity + 16*1024) * entry
}

// keyBytes returns the bytes of a key without a copy; the caches do not change them.
func keyBytes(key string) []byte { return unsafe.Slice(unsafe.StringData(key), len(key)) }

// found returns the session whose bytes a cache returned.
func found(sessions []workload.Session, b []byte) (*workload.Session, bool) {
	n := workload.NumberIn(b)
	if n >= uint64(len(sessions)) {
		return nil, false
	}
	return &sessions[n], true
}

type bigCache struct {
	c        *bigcache.BigCache
	sessions []workload.Session
}

func openBigCache(cfg Config) Cache {
	options := bigcache.DefaultConfig(cfg.TTL)
	options.MaxEntriesInWindow = cfg.Capacity
	options.MaxEntrySize = workload.KeyLen + workload.SessionLen
	options.HardMaxCacheSize = bytesFor(cfg.Capacity)>>20 + 1
	options.Verbose = false
	return bigCache{must(bigcache.New(context.Background(), options)), cfg.Sessions}
}

func (c bigCache) Get(key string) (*workload.Session, bool) {
	b, err := c.c.Get(key)
	if err != nil {
		return nil, false
	}
	return found(c.sessions, b)
}

func (c bigCache) Set(key string, s *workload.Session) { _ = c.c.Set(key, s.Bytes()) }

func (c bigCache) Take(key string) (*workload.Session, bool) {
	s, ok := c.Get(key)
	return s, ok && c.c.Delete(key) == nil
}

func (c bigCache) Len() int { return c.c.Len() }
func (c bigCache) Flush()   {}
func (c bigCache) Close()   { _ = c.c.Close() }

type freeCache struct {
	c        *freecache.Cache
	sessions []workload.Session
	seconds  int
}

func openFreeCache(cfg Config) Cache {
	return freeCache{freecache.NewCache(bytesFor(cfg.Capacity)), cfg.Sessions, int(cfg.TTL.Seconds())}
}

func (c freeCache) Get(key string) (*workload.Session, bool) {
	var buf [workload.SessionLen]byte
	b, err := c.c.GetWithBuf(keyBytes(key), buf[:])
	if err != nil {
		return nil, false
	}
	return found(c.sessions, b)
}

func (c freeCache) Set(key string, s *workload.Session) {
	_ = c.c.Set(keyBytes(key), s.Bytes(), c.seconds)
}

func (c freeCache) Take(key string) (*workload.Session, bool) {
	s, ok := c.Get(key)
	return s, ok && c.c.Del(keyBytes(key))
}

func (c freeCache) Len() int { return int(c.c.EntryCount()) }
func (c freeCache) Flush()   {}
func (c freeCache) Close()   {}

type vmFastcache struct {
	c        *vm.Cache
	sessions []workload.Session
}

func openVMFastcache(cfg Config) Cache {
	return vmFastcache{vm.New(bytesFor(cfg.Capacity)), cfg.Sessions}
}

func (c vmFastcache) Get(key string) (*workload.Session, bool) {
	var buf [workload.SessionLen]byte
	b, ok := c.c.HasGet(buf[:0], keyBytes(key))
	if !ok {
		return nil, false
	}
	return found(c.sessions, b)
}

func (c vmFastcache) Set(key string, s *workload.Session) { c.c.Set(keyBytes(key), s.Bytes()) }

func (c vmFastcache) Take(key string) (*workload.Session, bool) {
	s, ok := c.Get(key)
	if ok {
		c.c.Del(keyBytes(key))
	}
	return s, ok
}

func (c vmFastcache) Len() int {
	var st vm.Stats
	c.c.UpdateStats(&st)
	return int(st.EntriesCount)
}

func (c vmFastcache) Flush() {}
func (c vmFastcache) Close() { c.c.Reset() }
