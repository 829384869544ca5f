package fastcache

import (
	"runtime"
	"time"

	"github.com/sessioncache/sessioncache/index"
)

// A room is what residents take up and a newcomer needs: a number of sessions under MaxSessions, and
// weight under MaxWeight. It is carried from the session that leaves to the one that comes,
// so that the bounds hold at every instant and no third one can step in between.
type room struct {
	sessions  int
	weight    int64
	probation probationers // what the cache still counts for those who left
}

func (r *room) add(more room) {
	r.sessions += more.sessions
	r.weight += more.weight
	r.probation.add(more.probation)
}

// giveBack returns room that is not needed any more.
func (c *Cache[V]) giveBack(r room) {
	if r.sessions != 0 {
		c.sessions.Add(-int64(r.sessions))
	}
	if r.weight != 0 {
		c.weight.Add(-r.weight)
	}
	c.uncount(r.probation) // last: see probationers
}

// claimSession counts one more session if that stays within MaxSessions.
func (c *Cache[V]) claimSession() bool {
	for {
		n := c.sessions.Load()
		if n >= c.maxSessions.Load() {
			return false
		}
		if c.sessions.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// claimWeight claims weight below MaxWeight.
func (c *Cache[V]) claimWeight(weight int64) bool {
	for {
		w := c.weight.Load()
		if weight > c.maxWeight.Load()-w {
			return false
		}
		if c.weight.CompareAndSwap(w, w+weight) {
			return true
		}
	}
}

// An update is one call of Update or UpdateTTL on its way.
type update[V any] struct {
	key    Key
	fresh  *node[V] // unpublished until stored
	digest uint64
	weight int64
	ttl    time.Duration
	now    int64 // read under the lock, at each attempt

	onProbation bool // see UpdateOnProbation
	follows     bool // see demote.go
	ifAbsent    bool // see LookupOrUpdate

	lease *Lease[V] // nil, or what must be held

	found *node[V] // with ifAbsent: the session that there is

	restored *restored // see restore.go; nil but for a session of a snapshot

	room        room     // held for fresh
	victim      *node[V] // killed for the quota, in another shard: its room is for us
	noneExpired bool     // no shard has expired sessions left
	next        int64    // what wakeBy must be told
}

// An outcome is what an attempt under the shard's lock, or a step of it, has come to.
type outcome uint8

const (
	goOn           outcome = iota // the step has what it needs
	stored                        // done
	closed                        // the cache is closed
	early                         // the clock is one by which the cache has not been made yet
	present                       // nothing is stored, for update.found is there
	tooHeavy                      // no room would do, by a bound that is new
	lost                          // update.lease is not held
	again                         // the batch is used up, or the old version has gone: begin anew, and let others have the lock
	victimWaits                   // update.victim must be removed from its shard
	expiredWaits                  // sessions of other shards may have expired, and go first
	revokedWaits                  // sessions of any shard have been revoked, and go first
	othersMustGive                // nothing in this shard can make room
)

// endings are the errors of an Update whose last attempt came to such an outcome.
var endings = [...]error{stored: nil, closed: ErrClosed, early: ErrForeignClock, present: nil, tooHeavy: ErrTooHeavy, lost: ErrLeaseLost}

// Update stores a session under key for Config.TTL, in place of the one that the key had.
// It becomes the newest of its partial key. The key is copied, the value is not.
//
// When Update returns, the session is visible, indexed and scheduled, and every bound
// holds. It is linearizable; it takes the lock of one shard and costs O(1).
//
// Errors: ErrClosed, ErrKeyTooLong, ErrTooHeavy, ErrBadWeight, ErrForeignClock; then nothing has changed.
func (c *Cache[V]) Update(key Key, value V) error {
	return c.update(&update[V]{key: key, ttl: c.cfg.TTL}, value)
}

// UpdateTTL is Update with a life of its own for this session, which may be longer than
// Config.TTL; beyond 292 years it saturates. A TTL that is not positive is ErrBadTTL.
func (c *Cache[V]) UpdateTTL(key Key, value V, ttl time.Duration) error {
	return c.update(&update[V]{key: key, ttl: ttl}, value)
}

// update stores a value for an update that says how.
func (c *Cache[V]) update(u *update[V], value V) error {
	if err := c.tryUpdate(u, value); err != nil {
		return c.refuse(err)
	}
	return nil
}

// tryUpdate is update, but counts no error.
func (c *Cache[V]) tryUpdate(u *update[V], value V) error {
	if len(c.shards) == 0 {
		return ErrNotMade
	}
	if err := checkTTL(u.ttl); err != nil {
		return err
	}
	if err := checkLength(u.key); err != nil {
		return err
	}
	if c.cfg.Weigh != nil {
		u.weight = c.cfg.Weigh(u.key, value)
		if err := checkWeight(u.weight, c.maxWeight.Load()); err != nil {
			return err
		}
	}
	u.next = never
	u.follows = !u.onProbation && c.takeDemote() // while this goroutine has not waited for anybody
	u.digest = c.digest(u.key)
	u.fresh = c.newNode(u.key, value)
	return c.store(u)
}

// store tries until the session is stored: most often once, under one lock.
func (c *Cache[V]) store(u *update[V]) error {
	c.begin(u)
	overflowing := false
	for {
		s := c.lockShardOf(u.digest)
		out := s.storeLocked(u)
		s.unlock()
		switch out {
		case stored, closed, early, present, tooHeavy, lost:
			if out != stored {
				u.room.probation.add(u.own())
			}
			c.giveBack(u.room)
			if overflowing {
				c.overflow.Unlock()
			}
			if u.victim != nil {
				c.giveBack(c.removeNode(u.victim, Quota))
			}
			c.wakeBy(u.next)
			return endings[out]
		case again: // with what it has got
		case victimWaits:
			u.room.add(c.removeNode(u.victim, Quota))
			u.victim = nil
		case expiredWaits:
			more, ok := c.expireOne()
			u.room.add(more)
			u.noneExpired = !ok
		case revokedWaits:
			more, _ := c.sweepRevoked()
			u.room.add(more)
		case othersMustGive:
			if overflowing {
				c.makeRoom(u)
				continue
			}
			// No caller waits for others with room in its hands, and one that has overflow keeps it
			// until he has stored: so he gets all there is, if need be.
			c.giveBack(u.room)
			u.room = room{}
			c.overflow.Lock()
			overflowing = true
		}
	}
}

// storeLocked stores the session if the shard can make room for it.
func (s *shard[V]) storeLocked(u *update[V]) outcome {
	c := s.cache
	if s.mu.closed {
		return closed
	}
	if u.now = c.now(); u.now < 0 {
		return early
	}
	c.setDeadline(u.fresh, u.now, u.ttl)
	old := find(s.table.Load(), uint32(u.digest), u.key)
	if old != nil && u.ifAbsent {
		if c.use(old) {
			u.found = old
			return present
		}
		u.now = c.now() // by which it is over
	}
	if old != nil && settle(old, u.now) {
		u.room.add(s.removeOverLocked(old, u.now))
		old = nil
	}
	if u.lease != nil && !u.lease.Held() { // after the removal, by which TakeNewest may have ended it
		return lost
	}
	if old == nil {
		if out := s.enforceQuotaLocked(u); out != goOn {
			return out
		}
		if out := s.uncrowdLocked(u); out != goOn {
			return out
		}
	}
	if out := s.claimLocked(u, old); out != goOn {
		return out
	}
	s.mu.work++
	if old == nil && s.splitLocked() {
		return again // the session may belong to the other half
	}
	if old == nil {
		s.insertLocked(u) // true, for it restores nothing
	} else if !s.replaceLocked(u, old) {
		u.room.add(s.removeOverLocked(old, u.now))
		return again // TakeNewest or DeletePartial won: store it as a new one
	}
	return stored
}

// claimLocked makes u.room enough for the session, next to what old gives up.
func (s *shard[V]) claimLocked(u *update[V], old *node[V]) outcome {
	c := s.cache
	var gives int64
	if old != nil && c.cfg.Weigh != nil {
		gives = s.mu.weight[old.Item.slot]
	}
	for {
		// Before the claim: a DeletePartial, or a late timer, that ends between the two has given room back that
		// the claim did not find, and a live session would go for want of a second look.
		revoking, late := c.sweeping(), c.timerLate(u.now)
		if old != nil && !s.residesLocked(old) {
			return again // it idled out, and its room was taken for us
		}
		if old == nil && u.room.sessions == 0 && c.claimSession() {
			u.room.sessions = 1
		}
		if old != nil || u.room.sessions > 0 {
			missing := u.weight - gives - u.room.weight
			if missing <= 0 {
				return goOn
			}
			if c.claimWeight(missing) {
				u.room.weight += missing
				return goOn
			}
			if u.weight > c.maxWeight.Load() {
				return tooHeavy
			}
		}
		more, ok := s.expireOneLocked(u.now)
		if !ok {
			switch {
			case s.batchUsedUpLocked():
				return again // expired ones may be left, and they go first
			case !u.noneExpired && late:
				return expiredWaits
			case revoking:
				return revokedWaits
			case c.cfg.Overflow == InvalidateAll:
				return othersMustGive
			}
			if more, ok = s.evictForLocked(u, old, false); !ok {
				return othersMustGive
			}
		}
		u.room.add(more)
	}
}

// insertLocked stores a session whose key is not in the table, with the room claimed. False says that it is of a snapshot, and
// was removed meanwhile.
func (s *shard[V]) insertLocked(u *update[V]) bool {
	c := s.cache
	if s.mu.free == noSlot {
		s.addSlotsLocked()
		// In the table that has grown the sessions lie elsewhere.
		if slot := s.crowdVictimLocked(uint32(u.digest)); slot != noSlot {
			more, _ := s.removeLocked(s.nodeLocked(slot), Crowded, u.now)
			u.room.add(more)
		}
	}
	slot := s.allocLocked(u.now)
	u.fresh.Item.slot = slot
	s.mu.hash[slot] = uint32(u.digest)
	if s.mu.parting != nil {
		s.mu.parting.upper[slot] = s.mu.parting.has(u.digest)
	}
	// linearizes: Update of a new key takes effect where the table's insert publishes it.
	if c.index == nil {
		if u.forbidden(c) {
			s.freeLocked(slot)
			return false
		}
		s.endLeasesLocked(u.key)
		sharePartial(u.fresh, nil, u.key.Partial)
		s.mu.place[slot] = s.table.Load().Insert(uint32(u.digest), u.fresh)
	} else {
		h := c.index.Hold(c.partialDigest(u.key.Partial), u.key.Partial)
		if u.forbidden(c) {
			h.Release()
			s.freeLocked(slot)
			return false
		}
		sharePartial(u.fresh, h.Newest(), u.key.Partial)
		if u.restored == nil {
			h.PushNewest(u.fresh)
		} else {
			h.PushOldest(u.fresh)
		}
		s.mu.place[slot] = s.table.Load().Insert(uint32(u.digest), u.fresh)
		s.endLeasesLocked(u.key)
		u.victim = c.killOverQuotaLocked(&h, u.now) // concurrent Updates may have met at the quota
		h.Release()
	}
	s.joinCrowdLocked(slot)
	s.queueLocked(u, slot)
	if c.cfg.Weigh != nil {
		s.mu.weight[slot] = u.weight
	}
	u.room.add(room{sessions: -1, weight: -u.weight})
	s.mu.inserted++
	t := s.table.Load()
	s.mu.longestProbe = max(s.mu.longestProbe, 1+t.Ahead(t.Number(uint32(u.digest)), s.mu.place[slot]))
	var before int64 // the deadline for which the slot was filed before; 0: it was not
	if slot == s.mu.loose.slot {
		before, s.mu.loose.slot = s.mu.loose.until, noSlot
	}
	u.next = s.rescheduleLocked(slot, before, u.fresh.Item.until.Load())
	return true
}

// queueLocked puts a new session into the queues from which victims are taken: the newest place is for an Update, the
// oldest for a session of a snapshot.
func (s *shard[V]) queueLocked(u *update[V], slot uint32) {
	if u.restored != nil {
		s.mu.policy.Restore(slot, u.restored.standing)
		if u.onProbation {
			s.mu.probation.AddOldest(slot, len(s.mu.place))
		}
		return
	}
	s.mu.policy.Insert(slot, s.mu.hash[slot], u.follows)
	if u.onProbation {
		s.mu.probation.Add(slot, len(s.mu.place))
	}
}

// replaceLocked puts the session in the slot and place of old, which is alive, unless
// TakeNewest or DeletePartial wins the race for old.
func (s *shard[V]) replaceLocked(u *update[V], old *node[V]) bool {
	c := s.cache
	slot := old.Item.slot
	u.fresh.Item.slot = slot
	if old.Item.until.Load() <= 0 {
		return false // a Lookup, or TakeNewest, has just ended it
	}
	s.leaveCrowdLocked(slot)
	s.joinCrowdLocked(slot)
	s.mu.policy.Renew(slot) // before the group's lock, so that its cache misses overlap with those below
	var h index.Held[entry[V]]
	if c.index != nil {
		h = c.index.HoldOf(old)
		if h.Revoked() || old.Item.until.Load() <= 0 {
			h.Release() // DeletePartial or TakeNewest won
			return false
		}
	}
	u.fresh.Item.inheritUses(&old.Item) // before the index shows it to anybody
	sharePartial(u.fresh, old, u.key.Partial)
	s.endLeasesLocked(u.key)
	if c.index != nil {
		h.Replace(old, u.fresh)
	}
	// publishes: fresh is complete, and a reader finds the one or the other.
	// linearizes: Update of a key that is present takes effect here.
	s.table.Load().At(s.mu.place[slot]).Store(u.fresh)
	if c.index != nil {
		h.Release()
	}
	if s.mu.probation.Has(slot) {
		u.room.probation.add(s.endProbationLocked(slot))
	}
	if u.onProbation {
		s.mu.probation.Add(slot, len(s.mu.place))
	}
	if c.cfg.Weigh != nil {
		u.room.add(room{weight: s.mu.weight[slot] - u.weight})
		s.mu.weight[slot] = u.weight
	}
	s.reportLocked(old, Replaced)
	u.next = s.rescheduleLocked(slot, old.Item.until.Load(), u.fresh.Item.until.Load())
	return true
}

// makeRoom takes room for the session from any shard, one lock at a time. It needs overflow.
func (c *Cache[V]) makeRoom(u *update[V]) {
	if more, ok := c.sweepRevoked(); ok { // of a DeletePartial that has begun since
		u.room.add(more)
		return
	}
	if c.cfg.Overflow == InvalidateAll {
		c.clearAll(Cleared, &u.key)
		return
	}
	for asked := 0; asked < 2*len(c.shards); {
		anyGoes := asked >= len(c.shards) // no shard has a session on probation that must go first
		s := c.shards[c.overflow.hand].Load()
		s.mu.Lock()
		u.now = c.now()
		var old *node[V]
		if u.fresh != nil && s == c.shardOf(u.digest) { // what is to be replaced must not be evicted for it
			old = find(s.table.Load(), uint32(u.digest), u.key)
		}
		more, ok := s.expireOneLocked(u.now)
		spent, span := s.batchUsedUpLocked(), int(s.span.Load())
		if !ok && !spent {
			more, ok = s.evictForLocked(u, old, anyGoes)
		}
		s.unlock()
		u.room.add(more)
		if !spent {
			c.overflow.hand = (s.first + span) % len(c.shards)
			asked += span
		}
		if ok {
			return
		}
	}
	runtime.Gosched() // what is missing is held by Updates that store, or give it back, next
}
