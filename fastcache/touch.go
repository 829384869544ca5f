package fastcache

import "time"

// Touch gives a session that is alive a life of ttl from now on, longer or shorter than what it had, and reports whether
// there was one. Nothing else of it changes: not its value, nor its place among the newest of its partial key; it is no use
// of it, and nothing is reported. With IdleTTL, idleness counts from now on, too. A TTL that is not positive changes
// nothing and returns false; beyond 292 years it saturates.
//
// It is linearizable, takes the lock of one shard, does not allocate and costs O(1).
func (c *Cache[V]) Touch(key Key, ttl time.Duration) bool {
	if len(c.shards) == 0 || ttl <= 0 {
		return false
	}
	digest := c.digest(key)
	s := c.lockShardOf(digest)
	next, ok := s.touchLocked(find(s.table.Load(), uint32(digest), key), ttl)
	s.unlock()
	if ok {
		c.wakeBy(next)
	}
	return ok
}

// touchLocked moves the deadline of a resident, nil for none, and returns what wakeBy must be told.
func (s *shard[V]) touchLocked(n *node[V], ttl time.Duration) (next int64, ok bool) {
	c, now := s.cache, s.cache.now()
	if n == nil || now < 0 {
		return 0, false
	}
	if settle(n, now) {
		c.giveBack(s.removeOverLocked(n, now))
		return 0, false
	}
	until := after(now, ttl)
	if c.cfg.IdleTTL > 0 {
		// Before until: a Lookup that finds the until stored below moves it no further than this.
		extraOf(n).deadline.Store(until)
		until = min(until, after(now, c.cfg.IdleTTL))
	}
	for {
		old := n.Item.until.Load()
		if old <= 0 || revoked(n) {
			return 0, false // TakeNewest or DeletePartial won
		}
		// linearizes: the session has its new deadline here.
		if n.Item.until.CompareAndSwap(old, until) {
			return s.rescheduleLocked(n.Item.slot, old, until), true
		}
		// A Lookup moved the idle deadline, or another caller killed it.
	}
}
