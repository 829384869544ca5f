package fastcache

import (
	"time"

	"github.com/sessioncache/sessioncache/index"
	"github.com/sessioncache/sessioncache/internal/eviction"
)

// scanExpired bounds how many sessions of the current tick, or of a group at its quota, are
// looked at for one that is over already. The timer removes those within a tick anyway.
const scanExpired = 64

// expiredLocked removes one session that is over and returns its room: expired residents
// go before any eviction.
func (s *shard[V]) expiredLocked(c *Cache[V], now int64) (room, bool) {
	if s.mu.wheel == nil || s.next.Load() > startOf(tickOf(now)+1) {
		return room{}, false // nothing expires within this tick; the wheel need not say so
	}
	if room, ok := s.dueLocked(c, now); ok {
		return room, true
	}
	if n := s.overThisTickLocked(now); n != nil {
		room, _ := s.removeLocked(c, n, Expired, now)
		return room, true
	}
	return room{}, false
}

// overThisTickLocked returns a session that expired within the current tick, which the
// wheel hands out at its end, or nil.
func (s *shard[V]) overThisTickLocked(now int64) *node[V] {
	s.cancelLocked()
	looked := 0
	for slot := range s.mu.wheel.Upcoming() {
		if n := s.nodeLocked(slot); settle(n, now) {
			return n
		}
		if looked++; looked == scanExpired {
			break
		}
	}
	return nil
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

// overdue reports whether the timer should have run: sessions of other shards may be over.
func (c *Cache[V]) overdue(now int64) bool {
	return len(c.shards) > 1 && int64(c.alarm.horizon.Load()) < after(now, time.Duration(slack))
}

// sweepOne removes one expired session of any shard and returns its room; false if there is
// no such session.
func (c *Cache[V]) sweepOne() (room, bool) {
	for i := range c.shards {
		s := &c.shards[i]
		for s.next.Load() <= c.now() { // until nothing is due, however many must be filed again
			s.mu.Lock()
			room, ok := s.dueLocked(c, c.now())
			s.publishNextLocked()
			c.unlock(s)
			if ok {
				return room, true
			}
		}
	}
	return room{}, false
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
