package fastcache

import (
	"github.com/sessioncache/sessioncache/internal/buckets"
	"github.com/sessioncache/sessioncache/internal/eviction"
	"github.com/sessioncache/sessioncache/timerwheel"
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
	// split takes 0.35 ms with them, half of it in the steps before (ADR 22).
	splitSessions = 2048

	// A cache without a bound on the count has so many entries, which take 128 KB. Its shards are of one entry each
	// from 16 million sessions on, and grow by doubling from there.
	unboundedEntries = 1 << 13

	// With a bound there are so many for each shard, and so many at least, for a bound that is raised.
	shardEntries = 4
	minEntries   = 64

	// splitAhead is how many free slots a shard has left when it begins to prepare its split, if no bound lets it expect
	// fewer sessions: enough for all steps. A cache with a bound does not prepare what hardly ever comes.
	splitAhead = 128

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

// A parting is what a split needs, prepared in steps: each new session of a shard that is nearly full takes one. So no Update
// allocates much at once; the collector would make it help with marking in proportion.
type parting[V any] struct {
	twin        *shard[V]
	mine, other *table[V] // of the shard and of its twin
	upper       []bool    // by slot below known, and of newer sessions: whether the digest is one of the twin's
	known       int
	step        int
}

// splitLocked takes a step towards splitting a shard that is large and nearly full, all of them if it has no free slot, and
// reports whether it has split now. Both halves have free slots then. A shard whose digests are too much alike does not split.
func (s *shard[V]) splitLocked() bool {
	full := s.mu.free == noSlot
	switch free := len(s.mu.place) - s.mu.resident; {
	case free > 2*s.cache.splitAhead: // twice, so that a shard that hovers does not begin again and again
		s.mu.parting = nil
		return false
	case s.mu.parting == nil:
		if free > s.cache.splitAhead {
			return false
		}
		span := int(s.span.Load()) / 2
		if span == 0 || len(s.mu.place) < s.cache.splitSlots || s.mu.alike {
			return false
		}
		s.mu.parting = &parting[V]{twin: new(shard[V]), upper: make([]bool, len(s.mu.place))}
		s.mu.parting.twin.init(s.cache, s.first+span, span, s.reporter)
	}
	for s.prepareLocked() {
		if !full {
			return false
		}
	}
	p := s.mu.parting
	s.mu.parting = nil
	if s.mu.alike = s.alikeLocked(p.upper); !s.mu.alike {
		s.partLocked(p)
	}
	return !s.mu.alike
}

// prepareLocked takes the next step of a parting: it makes one of the arrays, or hashes some keys. It reports whether there was
// one. An array is also written here: its pages come from the system when they are first touched, each in some microseconds.
func (s *shard[V]) prepareLocked() bool {
	p := s.mu.parting
	switch {
	case p.step < twinParts:
		s.copyLocked(p.twin, p.step)
	case p.mine == nil:
		p.mine = buckets.New[node[V]](s.table.Load().Len())
		p.mine.Touch()
	case p.other == nil:
		p.other = buckets.New[node[V]](s.table.Load().Len())
		p.other.Touch()
	case p.known < len(p.upper):
		s.sortLocked(p)
	default:
		return false
	}
	p.step++
	return true
}

// sortLocked finds out for some more slots to which half their sessions belong.
func (s *shard[V]) sortLocked(p *parting[V]) {
	from, to := p.known, min(p.known+foresight, len(p.upper))
	for slot := from; slot < to; slot++ { // as prefetchDueLocked does
		if n := s.nodeLocked(uint32(slot)); n != nil {
			prefetch(n)
		}
	}
	for slot := from; slot < to; slot++ {
		if n := s.nodeLocked(uint32(slot)); n != nil {
			p.upper[slot] = p.has(s.cache.digest(keyOf(n)))
		}
	}
	p.known = to
}

// has reports whether a digest is one of the twin's.
func (p *parting[V]) has(digest uint64) bool {
	return digest>>p.twin.cache.shardShift >= uint64(p.twin.first)
}

// alikeLocked reports whether one of the halves would have hardly any of the sessions.
func (s *shard[V]) alikeLocked(upper []bool) bool {
	n := 0
	for slot, p := range s.mu.place {
		if p != buckets.NoPlace && upper[slot] {
			n++
		}
	}
	return min(n, s.mu.resident-n) <= s.mu.resident/minSplit
}

// partLocked does what a parting was made for.
func (s *shard[V]) partLocked(p *parting[V]) {
	s.cancelLooseLocked()
	for part := range twinParts {
		s.copyLocked(p.twin, part)
	}
	old := s.table.Load()
	for _, slot := range s.byHomeLocked(old) {
		n, hash := old.At(s.mu.place[slot]).Load(), s.mu.hash[slot]
		if p.upper[slot] {
			s.dropLocked(slot)
			p.twin.mu.place[slot] = p.other.Insert(hash, n)
		} else {
			p.twin.dropLocked(slot)
			s.mu.place[slot] = p.mine.Insert(hash, n)
		}
	}
	s.partLeasesLocked(p.twin)
	p.twin.storeTableLocked(p.other)
	span := p.twin.span.Load()
	for i := range int(span) {
		s.cache.tables[s.first+i].Store(p.mine)
	}
	p.twin.listLocked()
	s.span.Store(span) // after that: see eachShard
}

// twinParts is how many parts a twin is copied in.
const twinParts = 4

// copyLocked makes a part of what a twin knows of its slots a copy of what the shard does. A second time it allocates nothing.
func (s *shard[V]) copyLocked(twin *shard[V], part int) {
	switch to, from := &twin.mu, &s.mu; part {
	case 0:
		to.place = append(to.place[:0], from.place...)
		to.hash = append(to.hash[:0], from.hash...)
		to.free, to.resident, to.loose = from.free, from.resident, from.loose
		twin.next.Store(s.next.Load())
	case 1:
		to.weight = append(to.weight[:0], from.weight...)
	case 2:
		if to.wheel == nil {
			to.wheel = timerwheel.New(0)
		}
		to.wheel.CopyFrom(from.wheel)
	case 3:
		to.policy.CopyFrom(&from.policy)
		to.probation.CopyFrom(&from.probation)
		if from.crowds != nil {
			if to.crowds == nil {
				to.crowds = new(eviction.Lists)
			}
			to.crowds.CopyFrom(from.crowds)
		}
	}
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
