package fastcache

// How a session ends. Each of these words means one thing, here and in the names of functions:
//
//	over     The deadline has passed, the group is revoked, or the session was killed. No call returns it any more.
//	kill     Decide that a session is over, and for which Reason, by a compare-and-swap of until. That is final,
//	         and one caller succeeds.
//	settle   Kill a session that is over by its deadline or its group only. Until then a slower Lookup or Touch, which
//	         read the clock in time, may still move the deadline.
//	revoke   Mark a group: all its sessions are over at that one store.
//	unlink   Take a session out of the list of its group, under the group's lock.
//	remove   Take a session out of its slot, and with it out of the table, the wheel and all queues, under its
//	         shard's lock, and report it. It is killed and unlinked in the same step, if no other call has done so.
//	         What it took up, its room, goes to a newcomer or is given back.
//	expire   Remove a session because its deadline has passed.
//	evict    Remove a session that is alive because a newcomer needs its room.
//	sweep    Remove the sessions of a revoked group.
//	report   Count the removal, and queue it for OnRemove.
//
// Most calls kill, unlink and remove a session under one hold of its shard's lock. TakeNewest, a quota and a sweep
// come from the group. They kill and unlink under the group's lock, release it, and then remove the
// session under its shard's lock. Any call that finds a session that is over in a slot may remove it. The slot
// tells whether the session is still there, so exactly one call removes it and reports it.
//
// A session that Update replaces is not killed. The new version takes over its slot, and a Lookup that has found the
// old one may still return it.

// over returns why a session with this until, which has not been killed, is over: Expired if its deadline has
// passed, Revoked if its group is revoked, 0 if it is not over.
func over[V any](n *node[V], until, now int64) Reason {
	switch {
	case until <= now:
		return Expired
	case revoked(n):
		return Revoked
	}
	return 0
}

// revoked reports whether DeletePartial has revoked the node's group. Once true, it stays true.
func revoked[V any](n *node[V]) bool {
	g := n.Group()
	return g != nil && g.Revoked()
}

// aliveAt reports whether the session can be returned at an instant, which must not lie before the call.
func aliveAt[V any](n *node[V], now int64) bool {
	_, alive := aliveUntil(n, now)
	return alive
}

// aliveUntil is aliveAt that also returns the deadline. A session that is over by it is killed before it is said to be
// gone: see settle.
func aliveUntil[V any](n *node[V], now int64) (until int64, alive bool) {
	for {
		if until = n.Item.until.Load(); until > now {
			return until, !revoked(n)
		}
		if settle(n, now) {
			return 0, false
		}
	}
}

// kill kills a session for a reason and returns true. A session that was over before keeps the reason of
// that, and kill returns false.
func kill[V any](n *node[V], reason Reason, now int64) bool {
	_, killed := killAt(n, reason, now)
	return killed
}

// killAt is kill that also returns the deadline of a session that it has killed for that reason.
func killAt[V any](n *node[V], reason Reason, now int64) (until int64, killed bool) {
	for {
		u := n.Item.until.Load()
		if u <= 0 {
			return 0, false
		}
		why := over(n, u, now)
		if why == 0 {
			why = reason
		}
		// linearizes: the session is over here; a Lookup that loaded until earlier may
		// still return it.
		if n.Item.until.CompareAndSwap(u, -int64(why)) {
			return u, why == reason
		}
		// A Lookup or Touch moved the deadline, or another caller killed it.
	}
}

// settle reports whether a session is over, and kills it if only its deadline or its group say so: a
// Lookup or Touch that read the clock in time can then move the deadline no more.
func settle[V any](n *node[V], now int64) bool {
	for {
		u := n.Item.until.Load()
		if u <= 0 {
			return true
		}
		why := over(n, u, now)
		if why == 0 {
			return false
		}
		if n.Item.until.CompareAndSwap(u, -int64(why)) {
			return true
		}
	}
}

// removalReason returns why a killed session is over.
func removalReason[V any](n *node[V]) Reason { return Reason(-n.Item.until.Load()) }

// killAndUnlink kills a node for a reason and unlinks it, and reports whether it was
// this call that killed it for that reason. It does both in one section of the group's lock. So, while
// TakeNewestKeepLast holds that lock, only a deadline can end a session, and it knows which one is the last.
func (c *Cache[V]) killAndUnlink(n *node[V], reason Reason, now int64) bool {
	if c.index == nil {
		return kill(n, reason, now)
	}
	h := c.index.HoldOf(n)
	killed := kill(n, reason, now)
	h.Unlink(n)
	h.Release()
	return killed
}

// removeLocked kills a resident for a reason, unless it is over already, takes it out of its slot and
// queues its report. It returns the room that the session took up, which the caller passes to a newcomer or
// gives back, and whether it was this call that killed it for that reason.
func (s *shard[V]) removeLocked(n *node[V], reason Reason, now int64) (room room, killed bool) {
	c := s.cache
	slot := n.Item.slot
	s.mu.work++
	if c.removals.Load() != nil {
		c.noteRemoval(c.digest(keyOf(n)))
	}
	until := n.Item.until.Load()
	killed = c.killAndUnlink(n, reason, now)
	s.leaveCrowdLocked(slot)
	s.table.Load().Remove(s.mu.hash[slot], s.mu.place[slot])
	s.cancelLooseLocked()
	s.mu.loose = loose{slot, until}
	s.mu.policy.Remove(slot)
	room.sessions = 1
	if c.cfg.Weigh != nil {
		room.weight = s.mu.weight[slot]
	}
	if s.mu.probation.Has(slot) {
		room.probation = s.endProbationLocked(slot)
	}
	s.reportLocked(n, removalReason(n))
	s.endLeasesOfLocked(n, removalReason(n))
	s.freeLocked(slot)
	return room, killed
}

// removeOverLocked removes a resident that has been settled, or killed by another call, and returns its room.
func (s *shard[V]) removeOverLocked(n *node[V], now int64) room {
	room, _ := s.removeLocked(n, Expired, now) // it has its reason already
	return room
}

// removeNode is removeLocked for a node of any shard, whose lock it takes. It returns no room if another call
// has removed the node.
func (c *Cache[V]) removeNode(n *node[V], reason Reason) (room room) {
	digest := c.digest(keyOf(n))
	s := c.lockShardOf(digest)
	if s.residesLocked(n) {
		room, _ = s.removeLocked(n, reason, c.now())
	}
	s.unlock()
	return room
}
