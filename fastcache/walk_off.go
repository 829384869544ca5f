//go:build !sessioncache_walk

package fastcache

// walkLocked does nothing; walk_on.go says what it does under its build tag.
func (s *shard[V]) walkLocked() {}
