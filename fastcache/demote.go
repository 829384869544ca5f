package fastcache

import "sync"

// The session that is stored after a Demote most likely is one of a client that has come back. The
// eviction policy learns what such sessions are worth (internal/eviction, docs/adr/0012); here is
// how an Update knows that it follows a Demote.

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
