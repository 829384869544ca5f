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
	before := c.resizes.Load()
	if err := c.checkBounds(); err != nil && before%2 == 0 && c.resizes.Load() == before {
		return err
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

// checkBounds checks what is counted against the bounds, which only a caller that holds a shard can make exact.
func (c *Cache[V]) checkBounds() error {
	if places, most := c.sessions.Load(), c.maxSessions.Load(); places < 0 || places > most {
		return fmt.Errorf("%d places are taken of %d", places, most)
	}
	if weight, most := c.weight.Load(), c.maxWeight.Load(); weight < 0 || weight > most {
		return fmt.Errorf("the weight is %d of %d", weight, most)
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
