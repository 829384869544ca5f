//go:build sessioncache_walk

package fastcache

// walkLocked holds a shard's parts against each other at every release of its lock. Its tests add the
// walker itself, so that a program built with this tag by mistake does no more than ask for it.
func (s *shard[V]) walkLocked(c *Cache[V]) {
	walker, ok := any(s).(interface{ checkHeldLocked(*Cache[V]) error })
	if !ok {
		return
	}
	if err := walker.checkHeldLocked(c); err != nil {
		panic(err)
	}
}
