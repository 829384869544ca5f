package fastcache

import (
	"github.com/sessioncache/sessioncache/index"
	"github.com/sessioncache/sessioncache/internal/eviction"
)

// evictForLocked evicts a session of this shard, but never except, to make room for the
// newcomer. False says that the shard has none; or, unless anyGoes, that it has none on probation
// while other shards have, or may have.
func (s *shard[V]) evictForLocked(c *Cache[V], u *update[V], except *node[V], anyGoes bool) (room, bool) {
	if !anyGoes && c.probationFirst(u) {
		spared := slotOf(except)
		if s.mu.policy.OldestSpent(spared) == noSlot {
			slot := s.mu.probation.Oldest(spared)
			if slot == noSlot {
				return room{}, false
			}
			room, _ := s.removeLocked(c, s.nodeLocked(slot), Evicted, u.now)
			return room, true
		}
	}
	return s.evictLocked(c, u.now, except)
}

// evictLocked removes the session that the eviction policy chooses, but never except, and
// returns its room.
func (s *shard[V]) evictLocked(c *Cache[V], now int64, except *node[V]) (room, bool) {
	var hand eviction.Hand
	hand.Begin(&s.mu.policy, slotOf(except))
	for hand.Looks() {
		s.mu.work++
		hand.Saw(s.nodeLocked(hand.Slot()).Item.harvest())
	}
	slot := hand.Slot()
	if slot == noSlot {
		return room{}, false
	}
	s.mu.policy.LeaveGhost(slot, s.mu.hash[slot])
	// Not ended by us: TakeNewest has killed it, and its room serves as well.
	room, _ := s.removeLocked(c, s.nodeLocked(slot), Evicted, now)
	return room, true
}

// quotaLocked makes the oldest session of a full partial key give way to a newcomer, which
// takes over its room: no other session is evicted for it.
func (s *shard[V]) quotaLocked(c *Cache[V], u *update[V]) outcome {
	if c.cfg.MaxPerPartial == 0 {
		return stored
	}
	g := c.index.LockExisting(c.partialDigest(u.key.Partial), u.key.Partial)
	if g == nil {
		return stored
	}
	var victim *node[V]
	if g.Len() >= c.cfg.MaxPerPartial {
		victim = popForQuota(g, u.now)
	}
	c.index.Unlock(g)
	if victim == nil {
		return stored
	}
	if s.residesLocked(victim) {
		room, _ := s.removeLocked(c, victim, Quota, u.now)
		u.room.add(room)
		return stored
	}
	u.victim = victim
	return victimWaits
}

// overQuotaLocked kills and unlinks one session of a group that exceeds the quota; nil if
// it does not. It needs the group's lock.
func (c *Cache[V]) overQuotaLocked(g *index.Group[entry[V]], now int64) *node[V] {
	if c.cfg.MaxPerPartial == 0 || g.Len() <= c.cfg.MaxPerPartial {
		return nil
	}
	return popForQuota(g, now)
}

// popForQuota kills and unlinks the group's oldest session, or one that is over already,
// and returns it. It needs the group's lock.
func popForQuota[V any](g *index.Group[entry[V]], now int64) *node[V] {
	victim := g.Oldest()
	looked := 0
	for n := g.Newest(); n != nil && looked < scanExpired; n = n.Next() {
		if settle(n, now) {
			victim = n
			break
		}
		looked++
	}
	kill(victim, Quota, now)
	unlink(g, victim)
	return victim
}

// removeAnywhere removes a node for a reason from whichever shard has it and returns its
// room, none if somebody else removed it.
func (c *Cache[V]) removeAnywhere(n *node[V], reason Reason) (room room) {
	digest := c.digest(keyOf(n))
	s := c.shardOf(digest)
	s.mu.Lock()
	if s.residesLocked(n) {
		room, _ = s.removeLocked(c, n, reason, c.now())
	}
	c.unlock(s)
	return room
}

// removeVictim removes a session that had to go after the newcomer was in, if there is one.
func (c *Cache[V]) removeVictim(n *node[V]) {
	if n != nil {
		c.giveBack(c.removeAnywhere(n, Quota))
	}
}
