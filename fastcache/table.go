package fastcache

import "github.com/sessioncache/sessioncache/internal/buckets"

// A table is the hash map of one shard. Readers take no lock; the shard's lock covers its changes.
// A reader of a table that growth has replaced sees the sessions as they were, and their
// until says which are gone by now.
type table[V any] = buckets.Table[node[V]]

// find returns the node with the key, or nil. It takes no lock and does not allocate.
func find[V any](t *table[V], hash uint32, key Key) *node[V] {
	return t.Find(hash, func(n *node[V]) bool { return hasKey(n, key) })
}

// A shard's tables grow by doubling alone, so that the sessions of one bucket go to two of the next table and
// those of two never meet in one: a crowd that was small enough stays so.

const (
	// unboundedTable buckets, doubled any number of times, are what buckets.For asks for a power of two of
	// sessions, where no bound says how many there will be.
	unboundedTable = 7

	// wasteOf is the part of a full shard's table that may be more than it needs, so that its first table
	// is small.
	wasteOf = 16
)

// firstTable returns the size of a shard's first table, in buckets, for the number of sessions that it is
// meant to hold; 0 is any number.
func firstTable(sessions int) int {
	if sessions == 0 {
		return unboundedTable
	}
	full := buckets.For(sessions)
	first := full
	for k := 1; full>>k >= buckets.For(smallShard); k++ {
		if n := (full + 1<<k - 1) >> k; n<<k <= full+full/wasteOf {
			first = n
		}
	}
	return first
}

// fitTableLocked makes the table large enough for all slots.
func (s *shard[V]) fitTableLocked() {
	n := s.table.Load().Len()
	if s.mu.resident == 0 {
		n = s.cache.firstTable
	}
	for n < buckets.For(len(s.mu.place)) {
		n *= 2
	}
	if n != s.table.Load().Len() {
		s.growTableLocked(n)
	}
}

// growTableLocked publishes a table of n buckets with all residents. It
// reads the slots' hashes, not the entries.
func (s *shard[V]) growTableLocked(n int) {
	old, t := s.table.Load(), buckets.New[node[V]](n)
	for _, slot := range s.byHomeLocked(t) {
		s.mu.place[slot] = t.Insert(s.mu.hash[slot], old.At(s.mu.place[slot]).Load())
	}
	s.rehomeLocked(t)
	s.storeTableLocked(t)
}

// storeTableLocked makes a table that of the shard.
func (s *shard[V]) storeTableLocked(t *table[V]) {
	for i := range s.span.Load() {
		s.cache.tables[s.first+int(i)].Store(t) // publishes: the new table is complete
	}
}

// byHomeLocked returns the slots of all residents by the bucket of a table where their search will begin,
// from one on into which no bucket before it overflows. Inserted in this order they lie as near to that
// bucket as they can: after a doubling at most 33 buckets ahead if they were within reach before. In the order
// of the slots, one could find all places within reach taken by sessions of the buckets behind.
//
// Why 33: the sessions of k buckets in a row lay in k+36, so there were 7(k+36) at most; and 64k at most, where
// crowds are bounded. The sessions of m buckets in a row of the new table are among those of m/2+1 of the old
// one. So they fill its next n buckets at most, where 7n is the smaller of the two numbers with k = m/2+1,
// and the last of them lies n-m buckets ahead. That is most for m = 8: k = 5, 287 sessions, n = 41.
func (s *shard[V]) byHomeLocked(t *table[V]) []uint32 {
	next := make([]int, t.Len()) // by bucket: how many sessions it has; then where its next one goes
	for slot, p := range s.mu.place {
		if p != buckets.NoPlace {
			next[t.Number(s.mu.hash[slot])]++
		}
	}
	first, waiting, least := 0, 0, 0
	for i, sessions := range next {
		if waiting += sessions - buckets.PerBucket; waiting < least {
			first, least = i+1, waiting
		}
	}
	before := 0
	for i := range next {
		bucket := &next[(first+i)%len(next)]
		before, *bucket = before+*bucket, before
	}
	order := make([]uint32, s.mu.resident)
	for slot, p := range s.mu.place {
		if p != buckets.NoPlace {
			bucket := &next[t.Number(s.mu.hash[slot])]
			order[*bucket] = uint32(slot)
			*bucket++
		}
	}
	return order
}
