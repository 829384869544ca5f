//go:build sessioncache_walk

package fastcache

// walkLocked holds a shard's parts against each other at every release of its lock. Its tests add the
// walker itself, so that a program built with this tag by mistake does no more than ask for it.
func (s *shard[V]) walkLocked() {
	walker, ok := any(s).(interface{ checkHeldLocked() error })
	if !ok {
		return
	}
	if err := walker.checkHeldLocked(); err != nil {
		panic(err)
	}
}
