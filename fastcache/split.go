package fastcache

import (
	"slices"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

// A shard that has become too large splits, so that growth holds no lock for longer, however many sessions a cache
// comes to hold. The sessions are shared out by the next bit of their digests, and keep their slots. Both halves begin
// with a copy of everything that knows sessions by their slots, and free the slots of the other half in it. One half is
// the shard itself. The other, its twin, is new. It is complete before its entries in Cache.shards lead to it, and the
// entries of its table come before those. So a writer that finds it there changes a table that every Lookup sees.
//
// Shards do not merge again: one that has become empty takes some 700 bytes.
//
// invariant: the entries of a shard are those from first on, as many as span, a power of two; they lead to it and to its table.

const (
	// splitSessions is how many sessions a shard has when it splits, if no bound on the count lets it expect more. To
	// split takes 0.35 ms with them, half of it to hash their keys, which lie in no cache (ADR 22).
	splitSessions = 2048

	// A cache without a bound on the count has so many entries, which take 128 KB. Its shards are of one entry each
	// from 16 million sessions on, and grow by doubling from there.
	unboundedEntries = 1 << 13

	// With a bound there are so many for each shard, and so many at least, for a bound that is raised.
	shardEntries = 4
	minEntries   = 64

	// A split that leaves a part of the sessions smaller than this is none: digests that collide stay together.
	minSplit = 8
)

// entriesFor returns the number of entries, a power of two, for a bound on the count.
func entriesFor(maxSessions, shards int) int {
	if maxSessions == 0 {
		return unboundedEntries
	}
	return max(shards*shardEntries, minEntries)
}

// shardOf returns the shard of a digest at this instant. It has split if it is another one once its lock is taken.
func (c *Cache[V]) shardOf(digest uint64) *shard[V] { return c.shards[digest>>c.shardShift].Load() }

// lockShardOf returns the shard of a digest, locked.
func (c *Cache[V]) lockShardOf(digest uint64) *shard[V] {
	for {
		s := c.shardOf(digest)
		s.mu.Lock()
		if s == c.shardOf(digest) {
			return s
		}
		s.mu.Unlock()
	}
}

// eachShard yields every shard, in the order of their digests.
func (c *Cache[V]) eachShard(yield func(*shard[V]) bool) {
	for at := 0; at < len(c.shards); {
		s := c.shards[at].Load()
		if !yield(s) {
			return
		}
		// Last: it has not split before if it has as many entries as ever, and was yielded in whole. Else its
		// twin has been listed, and comes next.
		at += int(s.span.Load())
	}
}

// manyShards reports whether there is more than one shard.
func (c *Cache[V]) manyShards() bool { return int(c.shards[0].Load().span.Load()) < len(c.shards) }

// listLocked makes the shard's entries lead to it.
func (s *shard[V]) listLocked() {
	for i := range s.span.Load() {
		s.cache.shards[s.first+int(i)].Store(s) // publishes: the shard is complete
	}
}

// splitLocked splits a shard without a free slot if it has become too large, and reports whether it has. Both halves have
// free slots then.
func (s *shard[V]) splitLocked() bool {
	span := int(s.span.Load()) / 2
	if span == 0 || len(s.mu.place) < s.cache.splitSlots {
		return false
	}
	goes, n := s.upperLocked(uint64(s.first + span))
	if most := len(goes) - len(goes)/minSplit; n > most || len(goes)-n > most {
		return false
	}
	s.cancelLooseLocked()
	twin := s.twinLocked(s.first+span, span)
	old := s.table.Load()
	mine, other := buckets.New[node[V]](old.Len()), buckets.New[node[V]](old.Len())
	for _, slot := range s.byHomeLocked(old) {
		n, hash := old.At(s.mu.place[slot]).Load(), s.mu.hash[slot]
		if goes[slot] {
			s.dropLocked(slot)
			twin.mu.place[slot] = other.Insert(hash, n)
		} else {
			twin.dropLocked(slot)
			s.mu.place[slot] = mine.Insert(hash, n)
		}
	}
	s.partLeasesLocked(twin)
	twin.storeTableLocked(other)
	for i := range span {
		s.cache.tables[s.first+i].Store(mine)
	}
	twin.listLocked()
	s.span.Store(int32(span)) // after that: see eachShard
	return true
}

// upperLocked returns which slots have sessions with digests from an entry on, and how many.
func (s *shard[V]) upperLocked(entry uint64) (goes []bool, n int) {
	c := s.cache
	goes = make([]bool, len(s.mu.place))
	for slot := range goes {
		if slot%foresight == 0 { // as prefetchDueLocked does
			for ahead := slot; ahead < min(slot+foresight, len(goes)); ahead++ {
				prefetch(s.nodeLocked(uint32(ahead)))
			}
		}
		if c.digest(keyOf(s.nodeLocked(uint32(slot))))>>c.shardShift >= entry {
			goes[slot] = true
			n++
		}
	}
	return goes, n
}

// twinLocked returns a shard for some of the entries that has the slots, the wheel and the queues of this one.
func (s *shard[V]) twinLocked(first, span int) *shard[V] {
	twin := &shard[V]{}
	twin.init(s.cache, first, span, s.reporter)
	twin.next.Store(s.next.Load())
	twin.mu.slots = s.mu.slots
	twin.mu.place, twin.mu.hash, twin.mu.weight = slices.Clone(s.mu.place), slices.Clone(s.mu.hash), slices.Clone(s.mu.weight)
	twin.mu.wheel, twin.mu.loose = s.mu.wheel.Clone(), s.mu.loose
	twin.mu.policy, twin.mu.probation = s.mu.policy.Clone(), s.mu.probation.Clone()
	if s.mu.crowds != nil {
		twin.mu.crowds = s.mu.crowds.Clone()
	}
	return twin
}

// dropLocked frees a slot whose session is in the other half of a split.
func (s *shard[V]) dropLocked(slot uint32) {
	s.leaveCrowdLocked(slot)
	s.mu.wheel.Cancel(slot)
	s.mu.policy.Remove(slot)
	if s.mu.probation.Has(slot) {
		s.mu.probation.Remove(slot)
	}
	s.freeLocked(slot)
}
