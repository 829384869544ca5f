package peers

import (
	"sync"

	xsync3 "github.com/puzpuzpuz/xsync/v3"
	xsync4 "github.com/puzpuzpuz/xsync/v4"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

var floors = []Peer{
	{Name: "xsync4", Module: "github.com/puzpuzpuz/xsync/v4", Class: Floor, Core: true, Open: openXsync4},
	{Name: "xsync3", Module: "github.com/puzpuzpuz/xsync/v3", Class: Floor, Core: true, Open: openXsync3},
	{Name: "sync.Map", Class: Floor, Open: openSyncMap},
	{Name: "map+RWMutex", Class: Floor, Open: openLockedMap},
}

// empty is what maps have nothing to do for.
type empty struct{}

func (empty) Flush() {}
func (empty) Close() {}

type xsync4Map struct {
	empty
	m *xsync4.Map[string, *workload.Session]
}

func openXsync4(Config) Cache { return xsync4Map{m: xsync4.NewMap[string, *workload.Session]()} }

func (c xsync4Map) Get(key string) (*workload.Session, bool)  { return c.m.Load(key) }
func (c xsync4Map) Set(key string, s *workload.Session)       { c.m.Store(key, s) }
func (c xsync4Map) Take(key string) (*workload.Session, bool) { return c.m.LoadAndDelete(key) }
func (c xsync4Map) Len() int                                  { return c.m.Size() }

type xsync3Map struct {
	empty
	m *xsync3.MapOf[string, *workload.Session]
}

func openXsync3(Config) Cache { return xsync3Map{m: xsync3.NewMapOf[string, *workload.Session]()} }

func (c xsync3Map) Get(key string) (*workload.Session, bool)  { return c.m.Load(key) }
func (c xsync3Map) Set(key string, s *workload.Session)       { c.m.Store(key, s) }
func (c xsync3Map) Take(key string) (*workload.Session, bool) { return c.m.LoadAndDelete(key) }
func (c xsync3Map) Len() int                                  { return c.m.Size() }

type syncMap struct {
	empty
	m *sync.Map
}

func openSyncMap(Config) Cache { return syncMap{m: new(sync.Map)} }

func (c syncMap) Get(key string) (*workload.Session, bool) {
	v, ok := c.m.Load(key)
	if !ok {
		return nil, false
	}
	return v.(*workload.Session), true
}

func (c syncMap) Set(key string, s *workload.Session) { c.m.Store(key, s) }

func (c syncMap) Take(key string) (*workload.Session, bool) {
	v, ok := c.m.LoadAndDelete(key)
	if !ok {
		return nil, false
	}
	return v.(*workload.Session), true
}

func (c syncMap) Len() (n int) {
	for range c.m.Range {
		n++
	}
	return n
}

type lockedMap struct {
	empty
	mu *sync.RWMutex
	m  map[string]*workload.Session
}

func openLockedMap(Config) Cache {
	return lockedMap{mu: new(sync.RWMutex), m: map[string]*workload.Session{}}
}

func (c lockedMap) Get(key string) (*workload.Session, bool) {
	c.mu.RLock()
	s, ok := c.m[key]
	c.mu.RUnlock()
	return s, ok
}

func (c lockedMap) Set(key string, s *workload.Session) {
	c.mu.Lock()
	c.m[key] = s
	c.mu.Unlock()
}

func (c lockedMap) Take(key string) (*workload.Session, bool) {
	c.mu.Lock()
	s, ok := c.m[key]
	delete(c.m, key)
	c.mu.Unlock()
	return s, ok
}

func (c lockedMap) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.m)
}
