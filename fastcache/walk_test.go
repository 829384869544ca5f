//go:build sessioncache_walk

package fastcache

import (
	"fmt"
	"math/rand/v2"
)

// largeWalk is how many sessions a walk during a run looks at each time, at most; larger shards have
// their turn now and then, larger groups never.
const largeWalk = 64

// checkHeldLocked is what the build tag sessioncache_walk calls whenever a shard's lock is about to be
// released: whatever the others do at that instant, this shard must be in order.
func (s *shard[V]) checkHeldLocked() error {
	c := s.cache
	if n := s.mu.resident; n > largeWalk && rand.IntN(16*n) > largeWalk {
		return nil
	}
	if _, err := s.checkLocked(); err != nil {
		return err
	}
	if places := int(c.sessions.Load()); places < 0 || places > int(c.maxSessions) {
		return fmt.Errorf("%d places are taken of %d", places, c.maxSessions)
	}
	if weight := c.weight.Load(); weight < 0 || weight > c.maxWeight {
		return fmt.Errorf("the weight is %d of %d", weight, c.maxWeight)
	}
	if c.index == nil {
		return nil
	}
	for slot := range s.mu.place {
		if n := s.nodeLocked(uint32(slot)); n != nil {
			if err := c.checkGrouped(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkGrouped checks that a resident is linked in its group, if it is alive and the group is not
// too large for a walk.
func (c *Cache[V]) checkGrouped(n *node[V]) error {
	h := c.index.HoldOf(n)
	defer h.Release()
	if h.Len() > largeWalk || n.Item.until.Load() <= 0 || h.Revoked() {
		return nil
	}
	for m := h.Newest(); m != nil; m = m.Next() {
		if m == n {
			return nil
		}
	}
	return fmt.Errorf("a session is alive in its slot, and its group of %d does not link it", h.Len())
}
