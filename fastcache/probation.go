package fastcache

import (
	"sync/atomic"
	"time"
)

// Probation: sessions that anybody can store in any number, such as those of clients that have
// not finished a handshake, must not push out those that have proved their worth.
//
// Each shard lists its sessions on probation a second time, in the order of their Updates,
// next to the queues that every session waits in. While the proven sessions hold less than
// half of the bounds, victims are taken from that list; else nothing differs.

// Probationers count sessions on probation under the cache's bounds.
//
// invariant: Cache.probation never counts fewer of them than Cache.sessions and weight do, so that the difference, what
// the proven ones hold, is never too large, at whichever instants the counters are loaded: an Update counts its session
// before it claims room, and what a session gave up is subtracted after its room is given back or used.
type probationers struct {
	sessions int
	weight   int64
}

func (p *probationers) add(more probationers) {
	p.sessions += more.sessions
	p.weight += more.weight
}

// UpdateOnProbation is UpdateTTL for a session that has yet to prove its worth. While all other
// sessions together hold less than half of MaxSessions and of MaxWeight, those on probation make
// room before them, the oldest Update first; only demoted and expired sessions of the same
// shard go before. Once the others hold half of either bound, all are treated alike, but for what
// the cache has learnt from Demote. An Update or UpdateTTL of its key ends the probation.
//
// A flood of such Updates therefore evicts no other session while these are fewer than half, and
// each flooded session itself stays until newer ones have filled what the others leave of the
// bound. MaxPerPartial does not distinguish, nor does InvalidateAll.
func (c *Cache[V]) UpdateOnProbation(key Key, value V, ttl time.Duration) error {
	return c.update(&update[V]{key: key, ttl: ttl, onProbation: true}, value)
}

// A tally counts what has begun and what has ended, each apart. What is under way at one instant is loaded as
// the ends before it less the beginnings after it, which is never too few, however many of either come in between.
// Where a sum wraps, so does the other, and their difference is right.
type tally struct{ begun, ended atomic.Int64 }

// load returns what is under way, perhaps too many.
func (t *tally) load() int64 {
	ended := t.ended.Load()
	return t.begun.Load() - ended
}

// begin counts the session of an Update that has not claimed any room yet.
func (c *Cache[V]) begin(u *update[V]) {
	if u.onProbation {
		c.probation.sessions.begun.Add(1)
		c.probation.weight.begun.Add(u.weight)
	}
}

// uncount is the end of what was counted.
func (c *Cache[V]) uncount(p probationers) {
	if p.sessions != 0 {
		c.probation.sessions.ended.Add(int64(p.sessions))
		c.probation.weight.ended.Add(p.weight)
	}
}

// own is what the cache counts for the session of this Update.
func (u *update[V]) own() (p probationers) {
	if u.onProbation {
		p = probationers{1, u.weight}
	}
	return p
}

// probationFirst reports whether sessions on probation make room before others: there are
// some, and what the others hold is less than half of the bounds. Neither the newcomer
// nor the room in its hands counts.
func (c *Cache[V]) probationFirst(u *update[V]) bool {
	own, hand := u.own(), u.room
	// What all hold is loaded between the ends and the beginnings: see tally.
	ended, all := c.probation.sessions.ended.Load(), c.sessions.Load()
	on := c.probation.sessions.begun.Load() - ended - int64(own.sessions+hand.probation.sessions)
	if on <= 0 {
		return false
	}
	proven := all - int64(hand.sessions) - on
	if most := c.maxSessions.Load(); proven >= most-most/2 {
		return false
	}
	if c.cfg.Weigh == nil {
		return true
	}
	endedWeight, weight := c.probation.weight.ended.Load(), c.weight.Load()
	onWeight := c.probation.weight.begun.Load() - endedWeight - own.weight - hand.probation.weight
	most := c.maxWeight.Load()
	return weight-hand.weight-onWeight < most-most/2
}

// endProbationLocked takes a slot off the list of those on probation, which it must be on, and
// returns what it was counted as. It needs the slot's weight.
func (s *shard[V]) endProbationLocked(slot uint32) probationers {
	s.mu.probation.Remove(slot)
	was := probationers{sessions: 1}
	if len(s.mu.weight) > 0 {
		was.weight = s.mu.weight[slot]
	}
	return was
}
