// Package buckets is a hash table of pointers that is read without a lock: linear probing over
// buckets of one cache line, no tombstones, no moves. The session table of a shard is one, and so
// is a map of the index.
//
// One writer at a time, under a lock of its owner, changes a table so that a node that is present
// is always found:
//
//   - Insert counts the overflow, sets the tag and then publishes the node, by one store: a reader may
//     come by a tag that an earlier node of this place has left it, and from there on all must find it;
//   - a store to At(place) puts a node of the same hash over another;
//   - to grow, the owner fills a new table and then publishes it; a reader of the old one
//     sees the nodes as they were.
//
// The owner knows a node's hash and place, compares keys, and says how many fit (For). Where hashes are
// not secret, it also sees to it that no search is long (Reach).
package buckets

import (
	"iter"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	// PerBucket nodes and their tags fill one cache line of 64 bytes, where pointers have 64 bits.
	PerBucket = 7

	pointerSize = 4 << (^uintptr(0) >> 63)
	wordSize    = 8

	// loadNum/loadDen is the share of a table's places that may be in use. At 2/3, one search
	// in twelve for a missing key must look at a second bucket; at 4/5, one in four.
	loadNum, loadDen = 2, 3

	lowBits  = 0x0001010101010101 // the lowest bit of each tag
	highBits = 0x0080808080808080 // the highest bit of each tag

	overflowShift = 56
	overflowOne   = 1 << overflowShift
	overflowFull  = 0xff
)

// A Bucket holds up to seven nodes. Its word has a tag of eight hash bits per node, zero
// for an empty place, and in the top byte the number of nodes that were placed in a later
// bucket because this one was full: readers probe on while it is not zero. A count that
// reached overflowFull stays, since it no longer knows how many there are.
type Bucket[N any] struct {
	word  atomic.Uint64
	nodes [PerBucket]atomic.Pointer[N]
}

// A Table is a fixed number of buckets. Readers take no lock.
type Table[N any] struct {
	buckets []Bucket[N]
}

// New returns an empty table of so many buckets.
func New[N any](buckets int) *Table[N] { return &Table[N]{make([]Bucket[N], buckets)} }

// Touch writes to all of a table that is empty and not published, so that the system gives it its memory now.
func (t *Table[N]) Touch() {
	for i := range t.buckets {
		t.buckets[i].word.Store(0)
	}
}

// For returns how many buckets have room for a number of nodes.
func For(nodes int) int {
	return (nodes*loadDen + PerBucket*loadNum - 1) / (PerBucket * loadNum)
}

// A Place names one of a table's places for a node: eight times the bucket's number, plus
// the node's in it. Nodes do not move, so the owner remembers where each is.
type Place uint32

// NoPlace is none of them.
const NoPlace = ^Place(0)

// At returns a place.
func (t *Table[N]) At(p Place) *atomic.Pointer[N] { return &t.buckets[p>>3].nodes[p&7] }

// home returns the number of the bucket where the search for a hash begins: the high bits scaled
// to the number of buckets, which need not be a power of two.
func (t *Table[N]) home(hash uint32) int {
	return int(uint64(hash) * uint64(len(t.buckets)) >> 32)
}

// first returns the lowest place of a mask.
func first(mask uint64) int { return bits.TrailingZeros64(mask) >> 3 }

// Home returns the bucket where the search for a hash begins.
func (t *Table[N]) Home(hash uint32) *Bucket[N] {
	// home is in range, which the compiler cannot know.
	return (*Bucket[N])(unsafe.Add(unsafe.Pointer(unsafe.SliceData(t.buckets)), t.home(hash)*int(unsafe.Sizeof(Bucket[N]{}))))
}

// tag returns the low hash bits as a tag; zero means empty, so it becomes one.
func (*Bucket[N]) tag(hash uint32) uint64 {
	tag := uint64(hash & 0xff)
	if tag == 0 {
		tag = 1
	}
	return tag
}

// Word returns what Match and Overflowed decide by.
func (b *Bucket[N]) Word() uint64 { return b.word.Load() }

// Match returns a mask of the places that may hold a hash, by the bucket's word. A place
// above a true match may be marked falsely; the caller compares keys anyway.
//
// Like tag and Overflowed it is a method so that it is inlined: of generic code that a third package
// instantiates, the compiler does not inline calls of plain functions of this one.
func (b *Bucket[N]) Match(word uint64, hash uint32) (mask uint64) {
	x := word ^ b.tag(hash)*lowBits
	return (x - lowBits) &^ x & highBits
}

// Overflowed reports, by the bucket's word, whether a node that is not here may be in a later bucket.
func (*Bucket[N]) Overflowed(word uint64) bool { return word>>overflowShift != 0 }

// Node returns the node at the first place of a mask, or nil if it is not there yet or no more.
func (b *Bucket[N]) Node(mask uint64) *N {
	offset := bits.TrailingZeros64(mask) + 1 // of place 0 it is bit 7, and so on: no shifts needed
	if pointerSize != 8 {
		offset = wordSize + bits.TrailingZeros64(mask)>>3*pointerSize
	}
	return (*atomic.Pointer[N])(unsafe.Add(unsafe.Pointer(b), offset)).Load()
}

// Find returns the first node with a hash for which is returns true, or nil. It takes no lock and
// does not allocate. Other nodes may be tried, too.
func (t *Table[N]) Find(hash uint32, is func(*N) bool) *N {
	n, _ := t.Seek(hash, is)
	return n
}

// Seek is Find that also returns the node's place, NoPlace for none.
func (t *Table[N]) Seek(hash uint32, is func(*N) bool) (*N, Place) {
	i := t.home(hash)
	for range t.buckets {
		b := &t.buckets[i]
		word := b.word.Load()
		for m := b.Match(word, hash); m != 0; m &= m - 1 {
			if n := b.Node(m); n != nil && is(n) {
				return n, Place(i<<3 | first(m))
			}
		}
		if !b.Overflowed(word) {
			break
		}
		if i++; i == len(t.buckets) {
			i = 0
		}
	}
	return nil, NoPlace
}

// Insert adds a node and returns its place. The table must have room, and no node that the
// owner takes for the same. It goes into the first bucket with an empty place, however far that is; who
// bounds that asks HasRoom before.
func (t *Table[N]) Insert(hash uint32, n *N) Place {
	for i := t.home(hash); ; i = (i + 1) % len(t.buckets) {
		b := &t.buckets[i]
		word := b.word.Load()
		if free := emptyPlaces(word); free != 0 {
			j := first(free)
			// A tag without a node is skipped. The other way round, a reader that has loaded the word
			// when another node was here finds this one before its tag leads the next reader to it.
			b.word.Store(word | b.tag(hash)<<(8*j))
			b.nodes[j].Store(n) // publishes: from here on every search finds it
			return Place(i<<3 | j)
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

// Remove takes out the node with a hash from its place.
func (t *Table[N]) Remove(hash uint32, p Place) {
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

// All yields every node. What is inserted or removed meanwhile may be yielded or not.
func (t *Table[N]) All() iter.Seq[*N] {
	return func(yield func(*N) bool) {
		for i := range t.buckets {
			for j := range t.buckets[i].nodes {
				if n := t.buckets[i].nodes[j].Load(); n != nil && !yield(n) {
					return
				}
			}
		}
	}
}
