package fastcache

import (
	"iter"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/internal/eviction"
)

// Restoring is storing a session of a snapshot. It takes room that is free and none else, and it never overrides what the
// cache knows better: a session that is there, or that was removed while the snapshot was read.

const (
	removalBits  = 21 // 256 KiB
	removalMarks = 4
)

// removedKeys are the keys and partial keys of which sessions were removed while snapshots are read. They take constant memory: a
// Bloom filter. What was not removed is taken for removed, once in 10^7 times after 10 000 removals and once in 1000 after
// 100 000. One mark for each would not do: a partial key that is mistaken loses all its sessions.
type removedKeys struct {
	clears atomic.Uint64 // Clear and its like; before they begin
	bits   [1 << removalBits / 64]atomic.Uint64
}

// marksOf yields where the marks of a digest are: the first numbers of SplitMix64, seeded with it.
func (r *removedKeys) marksOf(digest uint64) iter.Seq2[*atomic.Uint64, uint64] {
	return func(yield func(word *atomic.Uint64, mark uint64) bool) {
		for range removalMarks {
			digest += 0x9e3779b97f4a7c15
			at := (digest ^ digest>>30) * 0xbf58476d1ce4e5b9
			at = (at ^ at>>27) * 0x94d049bb133111eb
			at = (at ^ at>>31) >> (64 - removalBits)
			if !yield(&r.bits[at/64], 1<<(at%64)) {
				return
			}
		}
	}
}

func (r *removedKeys) note(digest uint64) {
	for word, mark := range r.marksOf(digest) {
		word.Or(mark)
	}
}

func (r *removedKeys) has(digest uint64) bool {
	for word, mark := range r.marksOf(digest) {
		if word.Load()&mark == 0 {
			return false
		}
	}
	return true
}

// watchRemovals has removals noted until end is called. Calls that overlap share what is noted.
func (c *Cache[V]) watchRemovals() (r *removedKeys, end func()) {
	c.watches.Lock()
	defer c.watches.Unlock()
	if c.watches.running++; c.watches.running == 1 {
		c.removals.Store(new(removedKeys))
	}
	return c.removals.Load(), func() {
		c.watches.Lock()
		defer c.watches.Unlock()
		if c.watches.running--; c.watches.running == 0 {
			c.removals.Store(nil)
		}
	}
}

// noteRemoval notes that a session with this digest of its key is removed, or is not to be there. It is called under the lock of
// the digest's shard, or before that is taken, and insertLocked asks under it: so a session is either stored before, and
// removed, or not stored.
func (c *Cache[V]) noteRemoval(digest uint64) {
	if r := c.removals.Load(); r != nil {
		r.note(digest)
	}
}

// noteRevocation notes a DeletePartial, before it looks for the sessions. insertLocked asks under the lock under which it links a
// session; so once that lock was free, the session can be found, or will not be stored. DeletePartial itself
// takes no lock where it finds nothing.
func (c *Cache[V]) noteRevocation(partial string) {
	r := c.removals.Load()
	if r == nil {
		return
	}
	digest := c.partialDigest(partial)
	r.note(digest)
	if c.index != nil {
		h := c.index.Hold(digest, partial)
		h.Release()
	}
}

// noteClear notes that all sessions are removed, before the first one is.
func (c *Cache[V]) noteClear() {
	if r := c.removals.Load(); r != nil {
		r.clears.Add(1)
	}
}

// restored is what an update that restores a session knows besides.
type restored struct {
	removals        *removedKeys
	clears          uint64 // when the snapshot's reading began
	until, deadline int64
	uses            uint32
	standing        eviction.Standing
}

// forbidden reports whether an update restores a session that must not be stored any more.
func (u *update[V]) forbidden(c *Cache[V]) bool {
	if u.restored == nil {
		return false
	}
	r := u.restored.removals
	return r.clears.Load() != u.restored.clears || r.has(u.digest) || r.has(c.partialDigest(u.key.Partial))
}

// A fate is what has become of a session that was to be restored.
type fate uint8

const (
	isStored fate = iota
	isPresent
	isRemoved
	isExpired
	hasNoRoom
	isClosed // the cache is
)

// restore stores a session unless the cache knows better. The update's key may alias a buffer.
func (c *Cache[V]) restore(u *update[V]) fate {
	c.begin(u)
	u.next = never
	s := c.lockShardOf(u.digest)
	for s.splitLocked() { // before room is claimed, for the session may belong to the other half
		s.unlock()
		s = c.lockShardOf(u.digest)
	}
	is := s.restoreLocked(u)
	s.unlock()
	if is != isStored {
		u.room.probation.add(u.own())
	}
	c.giveBack(u.room)
	if u.victim != nil { // concurrent Updates have filled the quota: most likely it is this one
		c.giveBack(c.removeNode(u.victim, Quota))
	}
	c.wakeBy(u.next)
	return is
}

// restoreLocked is restore under the shard's lock.
func (s *shard[V]) restoreLocked(u *update[V]) fate {
	c := s.cache
	u.now = c.now()
	switch {
	case s.mu.closed:
		return isClosed
	case u.restored.until <= u.now:
		return isExpired
	}
	if old := find(s.table.Load(), uint32(u.digest), u.key); old != nil {
		if !settle(old, u.now) {
			return isPresent
		}
		u.room.add(s.removeOverLocked(old, u.now))
		return isRemoved
	}
	if !s.claimFreeLocked(u) {
		return hasNoRoom
	}
	u.fresh.Item.setUntil(u.restored.until)
	if c.hits != nil {
		setBorn(u.fresh, u.now)
	}
	u.fresh.Item.setMeta(u.fresh.Item.meta.Load() | u.restored.uses)
	if c.cfg.IdleTTL > 0 {
		extraOf(u.fresh).setDeadline(u.restored.deadline)
	}
	s.mu.work++
	if !s.insertLocked(u) {
		return isRemoved
	}
	return isStored
}

// claimFreeLocked claims room that no session has to make, or returns false. What it has claimed is in u.room in either case.
func (s *shard[V]) claimFreeLocked(u *update[V]) bool {
	c := s.cache
	if c.cfg.MaxPerPartial > 0 {
		if h, ok := c.index.HoldExisting(c.partialDigest(u.key.Partial), u.key.Partial); ok {
			full := h.Len() >= c.cfg.MaxPerPartial
			h.Release()
			if full {
				return false
			}
		}
	}
	if s.crowdVictimLocked(uint32(u.digest)) != noSlot || !c.claimSession() {
		return false
	}
	u.room.sessions++
	if u.weight > 0 {
		if !c.claimWeight(u.weight) {
			return false
		}
		u.room.weight += u.weight
	}
	return true
}
