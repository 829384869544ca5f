package fastcache

import (
	"github.com/sessioncache/sessioncache/internal/buckets"
	"github.com/sessioncache/sessioncache/internal/eviction"
)

// The sessions whose search begins in a bucket are the crowd of that bucket. A peer that knows the hash can make
// keys whose searches all begin in one bucket, or in neighbours. Under XXHash a crowd is therefore bounded,
// and a session lies within buckets.Reach of its bucket. So a search compares at most 64 keys of one hash
// and loads at most 37 buckets, with any keys.
//
// One session more for a full crowd removes the oldest of that crowd. A session that finds no place within reach
// removes the oldest of its own crowd if that fills a bucket already, unless another crowd with a session
// there is more than twice as large. Otherwise it removes the oldest of the largest crowd. So the crowds that fill
// more than their share pay for it, and flooding a few buckets takes nothing from their neighbours.
//
// Neither happens by chance, so crowds are not listed until a bucket is suspect. From then on its shard
// lists them all, until it is empty. The sessions from before are listed in the order of the eviction queues, which is
// that of their Updates until the cache is full.
//
// invariant: under XXHash no crowd exceeds Cache.maxCrowd, and no session lies beyond buckets.Reach. Growth
// keeps that: see table.go.

const (
	// crowdLimit is the largest crowd. A full shard has 14 sessions for 3 buckets, so by chance a crowd is
	// larger with a probability of 3e-50, the sum of the Poisson distribution of mean 14/3 beyond 64.
	crowdLimit = 64

	// suspectAhead sessions that lie ahead of a bucket make it suspect: its crowd has at most 7 more. By chance
	// one bucket in 10^11 has so many at once.
	suspectAhead = 32
)

// uncrowdLocked removes a session if the one to be stored, which is not there yet, would be one too many for
// its bucket, and takes over its room. What has expired goes first.
func (s *shard[V]) uncrowdLocked(u *update[V]) outcome {
	for {
		slot := s.crowdVictimLocked(uint32(u.digest))
		if slot == noSlot {
			return goOn
		}
		if s.batchUsedUpLocked() {
			return again
		}
		more, ok := s.expireOneLocked(u.now)
		if !ok {
			more, _ = s.removeLocked(s.nodeLocked(slot), Crowded, u.now)
		}
		u.room.add(more)
	}
}

// crowdVictimLocked returns the slot of the session that must go before one with a hash that is not there
// yet is stored; noSlot if none must.
func (s *shard[V]) crowdVictimLocked(hash uint32) uint32 {
	c := s.cache
	if c.maxCrowd == 0 {
		return noSlot
	}
	t := s.table.Load()
	hasRoom := t.HasRoom(hash)
	if s.mu.crowds == nil {
		if hasRoom && t.Displaced(hash) < suspectAhead {
			return noSlot
		}
		s.listCrowdsLocked()
	}
	home := t.Number(hash)
	switch {
	case s.mu.crowds.Len(home) >= c.maxCrowd:
		return s.mu.crowds.Oldest(home)
	case hasRoom:
		return noSlot
	}
	return s.neighbourLocked(t, home)
}

// neighbourLocked returns the session within reach of a bucket that makes room for one more of its crowd, where
// no place is left there. It looks at no more sessions than lie around it.
func (s *shard[V]) neighbourLocked(t *table[V], home int) uint32 {
	victim, most := s.mu.crowds.Oldest(home), s.mu.crowds.Len(home)
	if most >= buckets.PerBucket {
		most *= 2
	}
	for i := 1; i < min(2*buckets.Reach+1, t.Len()); i++ {
		bucket := home + i
		if i > buckets.Reach {
			bucket = home - (i - buckets.Reach) + t.Len()
		}
		bucket %= t.Len()
		if s.mu.crowds.Len(bucket) <= most {
			continue
		}
		for slot := range s.mu.crowds.Slots(bucket) {
			if t.Ahead(home, s.mu.place[slot]) <= buckets.Reach {
				victim, most = slot, s.mu.crowds.Len(bucket)
				break
			}
		}
	}
	return victim
}

// listCrowdsLocked lists the crowds of all buckets.
func (s *shard[V]) listCrowdsLocked() {
	t := s.table.Load()
	s.mu.crowds = eviction.NewLists(t.Len())
	for slot := range s.mu.policy.All() {
		s.mu.crowds.Add(t.Number(s.mu.hash[slot]), slot, len(s.mu.place))
	}
}

// rehomeLocked lists the crowds of a table that will be the shard's, if they are listed, each in its order.
func (s *shard[V]) rehomeLocked(t *table[V]) {
	if s.mu.crowds == nil {
		return
	}
	old := s.mu.crowds
	s.mu.crowds = eviction.NewLists(t.Len())
	for bucket := range s.table.Load().Len() {
		for slot := range old.Slots(bucket) {
			s.mu.crowds.Add(t.Number(s.mu.hash[slot]), slot, len(s.mu.place))
		}
	}
}

// joinCrowdLocked notes a resident as the newest of its crowd, if these are listed.
func (s *shard[V]) joinCrowdLocked(slot uint32) {
	if s.mu.crowds != nil {
		s.mu.crowds.Add(s.table.Load().Number(s.mu.hash[slot]), slot, len(s.mu.place))
	}
}

// leaveCrowdLocked takes a resident off the list of its crowd, if it is on one.
func (s *shard[V]) leaveCrowdLocked(slot uint32) {
	if s.mu.crowds != nil {
		s.mu.crowds.Remove(s.table.Load().Number(s.mu.hash[slot]), slot)
	}
}
