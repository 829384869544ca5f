package fastcache

import "sync"

// The session that is stored after a Demote is most likely one of a client that has come back. The
// eviction policy learns what such sessions are worth (internal/eviction, docs/adr/0012). This file
// tells an Update whether it follows a Demote.

// Demote marks a session as one that will hardly be used again, such as a TLS 1.3 ticket
// that was used: it is still served, but is its shard's next victim, after those demoted
// before it. An Update of its key undoes it. Demote reports whether there was such a session.
//
// When a client has resumed and gets a new session, demote the session that it used and then store the new
// one, in the same goroutine. The cache learns whether sessions that are stored so are used more often than
// others. If they are, the others make room sooner.
func (c *Cache[V]) Demote(key Key) bool {
	if len(c.shards) == 0 {
		return false
	}
	digest := c.digest(key)
	s := c.lockShardOf(digest)
	defer s.unlock()
	n := find(s.table.Load(), uint32(digest), key)
	if n == nil || !aliveAt(n, c.now()) {
		return false
	}
	if s.mu.policy.Demote(n.Item.slot) {
		c.noteDemote()
	}
	return true
}

// maxDemotes bounds how many Updates count as followers after Demotes that none followed.
const maxDemotes = 16

// newDemotes counts, for each processor, the Demotes that no Update has followed yet. So a Demote is
// not followed by another client's Update, where many are served at once, and no cache line is shared.
func newDemotes() sync.Pool { return sync.Pool{New: func() any { return new(int) }} }

// noteDemote counts a Demote for the next Update to take.
func (c *Cache[V]) noteDemote() {
	if !c.told.Load() {
		c.told.Store(true)
	}
	n := c.demotes.Get().(*int)
	*n = min(*n+1, maxDemotes)
	c.demotes.Put(n)
}

// takeDemote takes one Demote that no Update has followed yet, and reports whether there was one.
func (c *Cache[V]) takeDemote() bool {
	if !c.told.Load() {
		return false
	}
	n := c.demotes.Get().(*int)
	follows := *n > 0
	if follows {
		*n--
	}
	c.demotes.Put(n)
	return follows
}
