package fastcache

import (
	"github.com/sessioncache/sessioncache/index"
	"github.com/sessioncache/sessioncache/internal/eviction"
)

// evictForLocked evicts a session of this shard, but never except, to make room for the
// newcomer. False says that the shard has none; or, unless anyGoes, that it has none on probation
// while other shards have, or may have.
func (s *shard[V]) evictForLocked(u *update[V], except *node[V], anyGoes bool) (room, bool) {
	if !anyGoes && s.cache.probationFirst(u) {
		spared := slotOf(except)
		if s.mu.policy.OldestSpent(spared) == noSlot {
			slot := s.mu.probation.Oldest(spared)
			if slot == noSlot {
				return room{}, false
			}
			room, _ := s.removeLocked(s.nodeLocked(slot), Evicted, u.now)
			return room, true
		}
	}
	return s.evictByHandLocked(u.now, except)
}

// evictByHandLocked removes the session that the eviction policy chooses, but never except, and
// returns its room.
func (s *shard[V]) evictByHandLocked(now int64, except *node[V]) (room, bool) {
	var hand eviction.Hand
	hand.Begin(&s.mu.policy, slotOf(except))
	for hand.Looks() {
		s.mu.work++
		hand.Saw(s.nodeLocked(hand.Slot()).Item.takeUses())
	}
	slot := hand.Slot()
	if slot == noSlot {
		return room{}, false
	}
	s.mu.policy.LeaveGhost(slot, s.mu.hash[slot])
	// Where TakeNewest has killed it before, its room serves as well.
	room, _ := s.removeLocked(s.nodeLocked(slot), Evicted, now)
	return room, true
}

// enforceQuotaLocked makes the oldest session of a full partial key give way to a newcomer, which
// takes over its room: no other session is evicted for it.
func (s *shard[V]) enforceQuotaLocked(u *update[V]) outcome {
	c := s.cache
	if c.cfg.MaxPerPartial == 0 {
		return goOn
	}
	h, ok := c.index.HoldExisting(c.partialDigest(u.key.Partial), u.key.Partial)
	if !ok {
		return goOn
	}
	var victim *node[V]
	if h.Len() >= c.cfg.MaxPerPartial {
		victim = killForQuotaLocked(&h, u.now)
	}
	h.Release()
	if victim == nil {
		return goOn
	}
	if s.residesLocked(victim) {
		room, _ := s.removeLocked(victim, Quota, u.now)
		u.room.add(room)
		return goOn
	}
	u.victim = victim
	return victimWaits
}

// killOverQuotaLocked kills and unlinks one session of a partial key that exceeds the quota; nil if
// it does not.
func (c *Cache[V]) killOverQuotaLocked(h *index.Held[entry[V]], now int64) *node[V] {
	if c.cfg.MaxPerPartial == 0 || h.Len() <= c.cfg.MaxPerPartial {
		return nil
	}
	return killForQuotaLocked(h, now)
}

// killForQuotaLocked kills and unlinks the oldest session of a partial key, or one that is over already,
// and returns it.
func killForQuotaLocked[V any](h *index.Held[entry[V]], now int64) *node[V] {
	victim := h.Oldest()
	looked := 0
	for n := h.Newest(); n != nil && looked < scanExpired; n = n.Next() {
		if settle(n, now) {
			victim = n
			break
		}
		looked++
	}
	kill(victim, Quota, now)
	h.Unlink(victim)
	return victim
}
