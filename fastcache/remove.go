package fastcache

import (
	"time"

	"github.com/sessioncache/sessioncache/index"
)

// Delete removes a session and reports whether there was one: OTP's delete/2, but a missing
// key is no error. It is linearizable and takes the lock of one shard. Cost: O(1).
func (c *Cache[V]) Delete(key Key) bool {
	_, ok := c.remove(key, Deleted)
	return ok
}

// Take returns a session and removes it in one step: of any number of concurrent callers at
// most one gets it. It is linearizable and takes the lock of one shard. Cost: O(1).
func (c *Cache[V]) Take(key Key) (V, bool) { return c.remove(key, Taken) }

// remove kills and removes the session of a key.
func (c *Cache[V]) remove(key Key, reason Reason) (value V, ok bool) {
	if len(c.shards) == 0 {
		return value, false
	}
	digest := c.digest(key)
	c.noteRemoval(digest) // of a session that is not there, too: it may be about to be restored
	s := c.lockShardOf(digest)
	defer s.unlock()
	s.endLeasesLocked(key)
	n := find(s.table.Load(), uint32(digest), key)
	if n == nil {
		return value, false
	}
	// TakeNewest may have killed it and wait for our lock; then it has the session, not we.
	room, killed := s.removeLocked(n, reason, c.now())
	c.giveBack(room)
	if !killed {
		return value, false
	}
	return n.Item.value, true
}

// TakeNewest returns the newest session of a partial key and removes it in one step; no two
// callers get the same. It is linearizable. Cost: O(1) amortized; sessions of the partial key
// that expired within a tick are passed over once. It panics with NoIndex.
func (c *Cache[V]) TakeNewest(partial string) (Key, V, bool) {
	n, _ := c.takeNewest(partial, false)
	return shown(n)
}

// TakeNewestKeepLast is TakeNewest, but a session that is the only one left of its partial
// key is returned and stays; that counts as a use of it, as by Lookup.
func (c *Cache[V]) TakeNewestKeepLast(partial string) (Key, V, bool) {
	n, _ := c.takeNewest(partial, true)
	return shown(n)
}

// TakeNewestEntry is TakeNewest, or with keepLast TakeNewestKeepLast, that also tells the session's deadline. It reads the
// wall clock.
func (c *Cache[V]) TakeNewestEntry(partial string, keepLast bool) (Entry[V], bool) {
	n, until := c.takeNewest(partial, keepLast)
	if n == nil {
		return Entry[V]{}, false
	}
	wall := time.Now()
	return Entry[V]{keyOf(n), n.Item.value, wall.Add(time.Duration(until) - wall.Sub(c.birth))}, true
}

// shown returns the key and value of a node, and whether there is one.
func shown[V any](n *node[V]) (key Key, value V, ok bool) {
	if n == nil {
		return key, value, false
	}
	return keyOf(n), n.Item.value, true
}

// takeNewest returns the newest session alive and its deadline, removed unless it stays; nil if there is none.
func (c *Cache[V]) takeNewest(partial string, keepLast bool) (n *node[V], until int64) {
	if c.index == nil {
		if len(c.shards) == 0 {
			return nil, 0
		}
		panic("fastcache: TakeNewest needs the index, which Config.NoIndex leaves out")
	}
	p := c.pickNewest(partial, keepLast)
	if p.taken {
		c.giveBack(c.removeNode(p.node, Taken))
	}
	return p.node, p.until
}

// A pick is what pickNewest has found.
type pick[V any] struct {
	node  *node[V] // nil: none
	until int64    // its deadline
	taken bool     // it is killed and unlinked
}

// pickNewest finds the newest session alive, and kills and unlinks it unless it stays. It
// works off sessions that are over in batches, and lets others have the group in between.
func (c *Cache[V]) pickNewest(partial string, keepLast bool) (p pick[V]) {
	digest := c.partialDigest(partial)
	for {
		h, ok := c.index.HoldExisting(digest, partial)
		if !ok {
			return p
		}
		budget := batchSessions
		for ; budget > 0; budget-- {
			n, done := unlinkOverLocked(&h, nil, c.now(), &budget)
			if done && (n == nil || c.pickLocked(&h, n, keepLast, &budget, &p)) {
				h.Release()
				return p
			}
		}
		h.Release()
	}
}

// pickLocked takes n, the newest, or leaves it if it is to stay, and reports whether either
// was done.
func (c *Cache[V]) pickLocked(h *index.Held[entry[V]], n *node[V], keepLast bool, budget *int, p *pick[V]) bool {
	now := c.now()
	if keepLast {
		elder, done := unlinkOverLocked(h, n, now, budget)
		if !done {
			return false
		}
		if elder == nil {
			until := n.Item.until.Load()
			if !c.use(n) {
				return false // it went while we looked for another
			}
			*p = pick[V]{node: n, until: until}
			return true
		}
	}
	// linearizes: TakeNewest takes effect at the kill. What was newer is gone for good, and
	// no caller can link a newer one, or end the elder but by its deadline, while we hold the lock.
	until, killed := killAt(n, Taken, now)
	if !killed {
		return false
	}
	h.Unlink(n)
	*p = pick[V]{n, until, true}
	return true
}

// unlinkOverLocked returns the newest session alive, or the newest among those older than a given
// one, or nil. Those before it are over for good; it unlinks them, at the price of the budget,
// so that no walk comes over them again, and the timer removes them from their slots. False
// says that the budget is used up.
func unlinkOverLocked[V any](h *index.Held[entry[V]], after *node[V], now int64, budget *int) (*node[V], bool) {
	for ; *budget > 0; *budget-- {
		n := h.Newest()
		if after != nil {
			n = after.Next()
		}
		if n == nil || !settle(n, now) {
			return n, true
		}
		h.Unlink(n)
	}
	return nil, false
}

// DeletePartial revokes all sessions of a partial key and returns how many there were. One
// store revokes them all at once, whatever their number: every session that was stored, or
// seen by anyone, before the call is gone when it returns, and none of those is returned by
// a call that starts later. Sessions of concurrent Updates may survive. Then it frees them,
// one by one, each under its own shard's lock; an Update that needs room meanwhile takes that of a
// revoked session before it evicts another. It is linearizable.
//
// With NoIndex it scans the whole cache and revokes one session after the other.
func (c *Cache[V]) DeletePartial(partial string) int {
	c.noteRevocation(partial)
	endLeases(c.leases.of(partial)) // before what they have stored by then is removed
	if c.index == nil {
		return c.removeMatching(Revoked, func(n *node[V]) bool { return partialOf(n) == partial })
	}
	sw := c.revoke(partial)
	if sw == nil {
		return 0
	}
	for c.freeNext(sw) {
	}
	c.endSweep(sw)
	return sw.count
}

// Clear removes all sessions and returns how many there were. Sessions of concurrent
// Updates may survive. It works through the shards in batches.
func (c *Cache[V]) Clear() int {
	endLeases(c.leases.all()) // before what they have stored by then is removed
	return c.clearAll(Cleared, nil)
}

// clearAll removes all sessions but that of a key, if one is given.
func (c *Cache[V]) clearAll(reason Reason, spared *Key) int {
	c.noteClear()
	return c.removeMatching(reason, func(n *node[V]) bool { return spared == nil || !hasKey(n, *spared) })
}

// removeMatching removes the sessions that match and returns how many were alive. It takes
// a shard's lock for one batch of slots at a time.
func (c *Cache[V]) removeMatching(reason Reason, match func(*node[V]) bool) int {
	count := 0
	t := newTour(c)
	for s := t.lockNext(); s != nil; s = t.lockNext() {
		now := c.now()
		for _, n := range t.nodes() {
			if n == nil || !match(n) {
				continue
			}
			room, killed := s.removeLocked(n, reason, now)
			c.giveBack(room)
			if killed {
				count++
			}
		}
		s.unlock()
	}
	return count
}
