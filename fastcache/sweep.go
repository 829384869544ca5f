package fastcache

import (
	"container/list"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/index"
)

// DeletePartial revokes a group at once and then frees its sessions one by one. Until it has come to
// the last, the others are counted and weigh. What is over goes before what is alive: so an
// Update that needs room meanwhile takes the next of them, in place of DeletePartial, before it
// evicts. Each session is passed once in all, by one caller or another, so that this costs O(1) amortised.

// sweeps are the revocations whose sessions have not all been freed. Cache.revoking counts them.
type sweeps struct {
	mu struct {
		sync.Mutex           // taken last, with a group's lock held or without
		oldest     list.List // of *sweep, oldest first
	}
}

// A sweep frees the sessions of one revoked group. Several goroutines may work on it together.
type sweep[V any] struct {
	group  *index.Group[entry[V]]
	listed *list.Element
	now    int64 // when the group was revoked: what had expired by then was not revoked
	count  int   // under the group's lock: sessions that the revocation ended

	// inHand says that DeletePartial has taken a session out of the group whose room it has not given back yet. It is
	// raised under the group's lock: who finds the group empty sees it.
	inHand atomic.Bool
}

// revoke revokes the sessions of a partial key, all at once, and returns the sweep that is to free
// them; nil if there are none.
func (c *Cache[V]) revoke(partial string) *sweep[V] {
	h, ok := c.index.HoldExisting(c.partialDigest(partial), partial)
	if !ok {
		return nil
	}
	sw := &sweep[V]{group: h.Group(), now: c.now()}
	// Under the group's lock, before it is revoked: an Update that finds the sweep waits for that, and none
	// evicts between the two.
	c.sweeps.mu.Lock()
	sw.listed = c.sweeps.mu.oldest.PushBack(sw)
	c.revoking.Add(1) // before the group is revoked: see Lookup
	c.sweeps.mu.Unlock()
	c.index.Revoke(sw.group)
	return sw
}

// endSweep takes a sweep that has come to its end off the list, if it is there. Every session of its group has
// been killed.
func (c *Cache[V]) endSweep(sw *sweep[V]) {
	c.sweeps.mu.Lock()
	before := c.sweeps.mu.oldest.Len()
	c.sweeps.mu.oldest.Remove(sw.listed)
	c.revoking.Add(int32(c.sweeps.mu.oldest.Len() - before))
	c.sweeps.mu.Unlock()
}

// oldestSweep returns the sweep that began first, or nil.
func (c *Cache[V]) oldestSweep() *sweep[V] {
	c.sweeps.mu.Lock()
	defer c.sweeps.mu.Unlock()
	if first := c.sweeps.mu.oldest.Front(); first != nil {
		return first.Value.(*sweep[V])
	}
	return nil
}

// drain takes one session out of a revoked group, and kills it; nil if none is left. inHand says that
// DeletePartial takes it.
func (sw *sweep[V]) drain(inHand bool) (next *node[V]) {
	sw.group.Drain(func(n *node[V]) {
		if inHand {
			sw.inHand.Store(true)
		}
		kill(n, Revoked, sw.now) // false: an Update or the timer came first, and found it revoked
		if removalReason(n) == Revoked {
			sw.count++
		}
		next = n
	})
	return next
}

// freeNext removes one session of a revoked group, and gives its room back: it is for DeletePartial. False says that
// the group has no more.
func (c *Cache[V]) freeNext(sw *sweep[V]) bool {
	n := sw.drain(true)
	if n == nil {
		return false
	}
	c.giveBack(c.removeNode(n, Revoked))
	sw.inHand.Store(false)
	return true
}

// sweepNext removes one session of a revoked group and returns its room, none if another caller has
// removed it. False says that the group has no more.
func (c *Cache[V]) sweepNext(sw *sweep[V]) (room, bool) {
	n := sw.drain(false)
	if n == nil {
		return room{}, false
	}
	return c.removeNode(n, Revoked), true
}

// everyLookup is a bit of Cache.revoking that is set in a clocked cache, so that every Lookup of it goes the slow way. It counts no sweep.
const everyLookup = math.MinInt32

// sweeping reports whether a sweep is under way.
func (c *Cache[V]) sweeping() bool { return c.revoking.Load()&^everyLookup != 0 }

// sweepRevoked removes one session that DeletePartial has revoked and not come to yet, and returns
// its room; false if there is none. True without any room says that another call has removed the session, or that
// DeletePartial is about to give room back. After each session the caller tries its claim again before it
// evicts. It needs to hold no lock but overflow.
func (c *Cache[V]) sweepRevoked() (room, bool) {
	for c.sweeping() {
		sw := c.oldestSweep()
		if sw == nil {
			break
		}
		if got, more := c.sweepNext(sw); more {
			return got, true
		}
		if sw.inHand.Load() {
			runtime.Gosched()
			return room{}, true
		}
		c.endSweep(sw) // its DeletePartial may be far behind
	}
	return room{}, false
}
