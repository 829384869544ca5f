package buckets

// A peer that knows the hash of a table can make keys whose searches all begin in one bucket, or in neighbours.
// Each search would then walk over all of them. An owner with such a hash therefore places a node
// within reach or not at all: it asks HasRoom before each Insert, and if the answer is no it removes a node that is
// within reach. A node never moves, so one that is within reach stays so.

// Reach is by how many buckets a node may lie ahead of the one where the search for it begins, where the owner
// bounds that. All nodes of 36 buckets are fewer than a bucket's count of overflows can say: so no count
// is ever full, and searches are short again once a flood is gone.
const Reach = (overflowFull - 1) / PerBucket

// Len returns the number of buckets.
func (t *Table[N]) Len() int { return len(t.buckets) }

// Number returns the number of the bucket where the search for a hash begins.
func (t *Table[N]) Number(hash uint32) int { return t.home(hash) }

// Ahead returns by how many buckets a place lies ahead of a bucket.
func (t *Table[N]) Ahead(bucket int, p Place) int {
	ahead := int(p>>3) - bucket
	if ahead < 0 {
		ahead += len(t.buckets)
	}
	return ahead
}

// Displaced returns how many nodes were placed ahead of the bucket where the search for a hash begins, because
// that one was full. At most PerBucket more have their searches begin there.
func (t *Table[N]) Displaced(hash uint32) int {
	return int(t.buckets[t.home(hash)].word.Load() >> overflowShift)
}

// HasRoom reports whether Insert would place a node with this hash within reach.
func (t *Table[N]) HasRoom(hash uint32) bool {
	i := t.home(hash)
	for range min(Reach+1, len(t.buckets)) {
		if emptyPlaces(t.buckets[i].word.Load()) != 0 {
			return true
		}
		if i++; i == len(t.buckets) {
			i = 0
		}
	}
	return false
}
