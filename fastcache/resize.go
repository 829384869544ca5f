package fastcache

import (
	"fmt"
	"runtime"
)

// SetMaxSessions changes the bound on the number of sessions, which may be 1 or more, while the cache is in use. When it
// returns, the new bound holds exactly, and every later Update keeps it. Sessions that are too many have made room as
// they do for an Update: what has expired first, and then what the eviction policy chooses, reason Evicted. Under InvalidateAll
// all have gone, reason Cleared.
//
// A lower bound costs O(sessions that go), and takes one lock at a time. Their memory is free for others; tables keep
// their size until they are empty. A higher one costs O(shards). A cache stays as fast as one that was made for the bound up
// to four times what New was told, or a hundred thousand sessions if that is more. Beyond, its shards grow larger than 4096 sessions, and the
// Update that makes one grow takes longer in proportion.
//
// It is safe for concurrent use with all methods; of concurrent calls one comes last, and its bound holds. Errors: a bound below 1,
// ErrClosed; then nothing has changed.
func (c *Cache[V]) SetMaxSessions(n int) error {
	if n < 1 {
		return fmt.Errorf("fastcache: SetMaxSessions: the bound is %d; want at least 1", n)
	}
	return c.setBound(func() { c.maxSessions.Store(int64(n)) })
}

// SetMaxWeight changes the bound on the sum of all weights, in the unit of Weigh, as SetMaxSessions changes that on the
// count. An Update that is under way with a session heavier than the new bound returns ErrTooHeavy. It needs Weigh.
func (c *Cache[V]) SetMaxWeight(weight int64) error {
	switch {
	case weight < 1:
		return fmt.Errorf("fastcache: SetMaxWeight: the bound is %d; want at least 1", weight)
	case len(c.shards) > 0 && c.cfg.Weigh == nil:
		return fmt.Errorf("fastcache: SetMaxWeight: Weigh is nil; want a function, for a bound on the weight needs it")
	}
	return c.setBound(func() { c.maxWeight.Store(weight) })
}

// setBound stores a bound and makes room until it holds.
func (c *Cache[V]) setBound(store func()) error {
	if len(c.shards) == 0 {
		return ErrNotMade
	}
	c.overflow.Lock() // nobody waits for it with room in his hands
	defer c.overflow.Unlock()
	if c.closing.Load() {
		return ErrClosed
	}
	c.resizes.Add(1)
	defer c.resizes.Add(1)
	store()
	// Room is claimed under a shard's lock. A caller that has the lock now may have loaded the former bound, and claims by that. Once we
	// have had each lock, what was claimed so is counted, and no claim goes by the former bound any more.
	for s := range c.eachShard {
		s.mu.Lock()
		s.unlock()
	}
	for c.overfull() {
		if c.cfg.Overflow == InvalidateAll {
			c.clearAll(Cleared, nil)
			runtime.Gosched()
			continue
		}
		var none update[V] // which needs room, and is for no key
		c.makeRoom(&none)
		c.giveBack(none.room)
	}
	return nil
}

// overfull reports whether more room is taken than there is.
func (c *Cache[V]) overfull() bool {
	return c.sessions.Load() > c.maxSessions.Load() || c.weight.Load() > c.maxWeight.Load()
}
