package fastcache

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	// bucketNodes entries and their tags fill one cache line of 64 bytes.
	bucketNodes = 7
	bucketSize  = 64

	// loadNum/loadDen is the share of a table's places that may be in use. At 2/3, one search
	// in twelve for a missing key must look at a second bucket; at 4/5, one in four.
	loadNum, loadDen = 2, 3

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

// bucketsFor returns how many buckets have room for a number of nodes.
func bucketsFor(nodes int) int {
	return (nodes*loadDen + bucketNodes*loadNum - 1) / (bucketNodes * loadNum)
}

// A place names one of a table's places for a node: eight times the bucket's number, plus
// the node's in it. Nodes do not move, so a shard remembers where each session is.
type place uint32

const noPlace = ^place(0)

// at returns a place.
func (t *table[V]) at(p place) *atomic.Pointer[node[V]] { return &t.buckets[p>>3].nodes[p&7] }

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

// homeOf returns the bucket where the search for a hash begins.
func (t *table[V]) homeOf(hash uint32) *bucket[V] {
	// home is in range, which the compiler cannot know.
	return (*bucket[V])(unsafe.Add(unsafe.Pointer(unsafe.SliceData(t.buckets)), t.home(hash)*bucketSize))
}

// node returns the first place of a mask.
func (b *bucket[V]) node(mask uint64) *atomic.Pointer[node[V]] {
	// The mask's lowest bit is bit 7 of place 0, which follows a word of eight bytes.
	return (*atomic.Pointer[node[V]])(unsafe.Add(unsafe.Pointer(b), bits.TrailingZeros64(mask)+1))
}

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

// replace stores n in the place of a node with the same key.
func (t *table[V]) replace(p place, n *node[V]) {
	// publishes: n is complete, and a reader finds the one or the other.
	// linearizes: Update of a key that is present takes effect here.
	t.at(p).Store(n)
}

// insert adds a node whose key is not in the table and returns its place. The table must
// have room.
func (t *table[V]) insert(hash uint32, n *node[V]) place {
	for i := t.home(hash); ; i = (i + 1) % len(t.buckets) {
		b := &t.buckets[i]
		word := b.word.Load()
		if free := emptyPlaces(word); free != 0 {
			j := first(free)
			b.nodes[j].Store(n)
			// publishes: the node is in place before its tag leads a reader to it.
			// linearizes: Update of a new key takes effect here.
			b.word.Store(word | tagOf(hash)<<(8*j))
			return place(i<<3 | j)
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

// remove takes out the node with a hash from its place.
func (t *table[V]) remove(hash uint32, p place) {
	last := int(p >> 3)
	// The node is one of those that the overflow of each bucket before its own counts.
	for i := t.home(hash); i != last; i = (i + 1) % len(t.buckets) {
		b := &t.buckets[i]
		if word := b.word.Load(); word>>overflowShift != overflowFull {
			b.word.Store(word - overflowOne)
		}
	}
	b, j := &t.buckets[last], p&7
	b.word.Store(b.word.Load() &^ (0xff << (8 * j)))
	b.nodes[j].Store(nil)
}
