package fastcache

import (
	"math/bits"
	"sync/atomic"
)

const (
	// bucketNodes entries and their tags fill one cache line of 64 bytes.
	bucketNodes = 7

	// loadNum/loadDen is the largest share of a table's places in use. At 4/5 one bucket in
	// eight has overflowed; fuller, misses begin to probe a second line more often.
	loadNum, loadDen = 4, 5

	lowBits  = 0x0001010101010101 // the lowest bit of each tag
	highBits = 0x0080808080808080 // the highest bit of each tag

	overflowShift = 56
	overflowOne   = 1 << overflowShift
	overflowFull  = 0xff
)

// A bucket holds up to seven nodes. Its word has a tag of eight hash bits per node, zero
// for an empty place, and in the top byte the number of nodes that were placed in a later
// bucket because this one was full: readers probe on while it is not zero. A count that
// reached overflowFull stays, since it no longer knows how many there are.
type bucket[V any] struct {
	word  atomic.Uint64
	nodes [bucketNodes]atomic.Pointer[node[V]]
}

// A table is the hash map of one shard: linear probing over buckets of one cache line, no
// tombstones, no moves. Readers take no lock; one writer at a time, under the shard's lock,
// changes it so that a key that is present is always found:
//
//   - insert publishes the node before its tag, and counts the overflow before both;
//   - replace stores the new node over the old one;
//   - growth fills a new table and then publishes it; a reader of the old one sees the
//     sessions as they were, and their until says which are gone by now.
type table[V any] struct {
	buckets []bucket[V]
}

func newTable[V any](buckets int) *table[V] { return &table[V]{make([]bucket[V], buckets)} }

// room returns how many nodes the table takes before it must grow.
func (t *table[V]) room() int { return len(t.buckets) * bucketNodes * loadNum / loadDen }

// home returns the bucket where the search for a hash begins: the high bits scaled to the
// number of buckets, which need not be a power of two.
func (t *table[V]) home(hash uint32) int {
	return int(uint64(hash) * uint64(len(t.buckets)) >> 32)
}

// tagOf returns the low hash bits as a tag; zero means empty, so it becomes one.
func tagOf(hash uint32) uint64 {
	tag := uint64(hash & 0xff)
	if tag == 0 {
		tag = 1
	}
	return tag
}

// places returns a mask with the high bit of each place that may hold the tag. A place
// above a true match may be marked falsely; the caller compares keys anyway.
func places(word, tag uint64) uint64 {
	x := word ^ tag*lowBits
	return (x - lowBits) &^ x & highBits
}

// first returns the lowest place of a mask.
func first(mask uint64) int { return bits.TrailingZeros64(mask) >> 3 }

// find returns the node with the key, or nil. It takes no lock and does not allocate.
func (t *table[V]) find(hash uint32, key Key) *node[V] {
	tag := tagOf(hash)
	i := t.home(hash)
	for range t.buckets {
		b := &t.buckets[i]
		word := b.word.Load()
		for m := places(word, tag); m != 0; m &= m - 1 {
			if n := b.nodes[first(m)].Load(); n != nil && hasKey(n, key) {
				return n
			}
		}
		if word>>overflowShift == 0 {
			return nil
		}
		if i++; i == len(t.buckets) {
			i = 0
		}
	}
	return nil
}

// place returns the place of a node that is in the table.
func (t *table[V]) place(hash uint32, n *node[V]) *atomic.Pointer[node[V]] {
	tag := tagOf(hash)
	for i := t.home(hash); ; i = (i + 1) % len(t.buckets) {
		b := &t.buckets[i]
		for m := places(b.word.Load(), tag); m != 0; m &= m - 1 {
			if p := &b.nodes[first(m)]; p.Load() == n {
				return p
			}
		}
	}
}

// replace stores n in the place of old, which has the same key.
func (t *table[V]) replace(hash uint32, old, n *node[V]) {
	// publishes: n is complete, and a reader finds the one or the other.
	// linearizes: Update of a key that is present takes effect here.
	t.place(hash, old).Store(n)
}

// insert adds a node whose key is not in the table. The table must have room.
func (t *table[V]) insert(hash uint32, n *node[V]) {
	for i := t.home(hash); ; i = (i + 1) % len(t.buckets) {
		b := &t.buckets[i]
		word := b.word.Load()
		if free := emptyPlaces(word); free != 0 {
			j := first(free)
			b.nodes[j].Store(n)
			// publishes: the node is in place before its tag leads a reader to it.
			// linearizes: Update of a new key takes effect here.
			b.word.Store(word | tagOf(hash)<<(8*j))
			return
		}
		if word>>overflowShift != overflowFull {
			b.word.Store(word + overflowOne)
		}
	}
}

// emptyPlaces returns a mask with the high bit of each empty place, exactly: a byte is
// empty if neither its high bit nor any of the others is set.
func emptyPlaces(word uint64) uint64 {
	return ^((word & (highBits - lowBits)) + (highBits - lowBits) | word) & highBits
}

// remove takes out a node that is in the table.
func (t *table[V]) remove(hash uint32, n *node[V]) {
	tag := tagOf(hash)
	for i := t.home(hash); ; i = (i + 1) % len(t.buckets) {
		b := &t.buckets[i]
		word := b.word.Load()
		for m := places(word, tag); m != 0; m &= m - 1 {
			if j := first(m); b.nodes[j].Load() == n {
				b.word.Store(word &^ (0xff << (8 * j)))
				b.nodes[j].Store(nil)
				return
			}
		}
		// n lies beyond: it is one of those that this bucket's overflow counts.
		if full := word >> overflowShift; full != overflowFull {
			b.word.Store(word - overflowOne)
		}
	}
}
