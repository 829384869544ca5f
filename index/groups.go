package index

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

const (
	// smallGroups is how many groups an empty map keeps room for.
	smallGroups = 14

	// A split that leaves a part of the groups smaller than this is none: digests that collide stay together.
	minSplit = 8

	// foresight is how many groups or nodes a split looks ahead.
	foresight = 32
)

// groups is a map from partial keys to groups, or to lone nodes, that readers search without a lock. It doubles when
// it is full, and halves when a quarter of it is in use, each time by a copy that the lock covers. When it has become
// large, two new ones take its place, so that no copy takes long.
//
// A reader of a table or a map that was replaced meanwhile may find a group that has left the map; that
// group says so itself (lockMapped), or links nothing.
type groups[T any] struct {
	table       atomic.Pointer[buckets.Table[link[T]]] // swapped under mu, loaded by everyone
	index       *Index[T]                              // this and the next two are constant
	first, span int                                    // its entries in Index.maps: from where on, and how many, a power of two
	_           [32]byte                               // what writers touch lies on a line of its own

	mu struct {
		sync.Mutex // taken last, with a group's lock held or without; see lockMap
		count      int
		room       int  // count that the table has room for
		split      bool // two others have taken its place
	}
	_ [32]byte
}

// newMap returns a map for a run of entries, which does not lead to it yet.
func (x *Index[T]) newMap(first, span, room int) *groups[T] {
	m := &groups[T]{index: x, first: first, span: span}
	m.resizeLocked(room)
	return m
}

// list makes the map's entries lead to it.
func (m *groups[T]) list() {
	for i := range m.span {
		m.index.maps[m.first+i].Store(m) // publishes: the map is complete
	}
}

// lockMap returns the map of a digest, locked.
func (x *Index[T]) lockMap(digest uint64) *groups[T] {
	for {
		m := x.mapOf(digest)
		if m.mu.Lock(); !m.mu.split {
			return m
		}
		m.mu.Unlock()
	}
}

// find returns what the map has for a partial key, a group or a lone node, or nil; and where. It takes no lock.
func (m *groups[T]) find(digest uint64, partial string) (*link[T], buckets.Place) {
	return m.table.Load().Seek(hashOf(digest), func(l *link[T]) bool {
		if g := l.group.Load(); g != nil {
			return g.has(digest, partial)
		}
		return m.index.lone.Partial(l.node()) == partial
	})
}

// add maps a group and returns it, or what its partial key has meanwhile.
func (x *Index[T]) add(g *Group[T]) *link[T] {
	m := x.lockMap(g.digest)
	l, _ := m.find(g.digest, g.Partial())
	if l == nil {
		l = &g.link
		m, g.place = m.insertLocked(g.digest, l)
	}
	m.mu.Unlock()
	return l
}

// insertLocked maps what its partial key has not yet, and returns where. The map may split: then it is released, and the
// half that is returned is locked in its place.
func (m *groups[T]) insertLocked(digest uint64, l *link[T]) (*groups[T], buckets.Place) {
	if m.mu.count == m.mu.room {
		if half := m.splitLocked(digest); half != nil {
			m = half
		} else {
			m.resizeLocked(2 * m.mu.room)
		}
	}
	m.mu.count++
	// publishes: the group, or the node, is complete before a reader can find it.
	return m, m.table.Load().Insert(hashOf(digest), l)
}

// remove takes out a group that is mapped.
func (x *Index[T]) remove(g *Group[T]) {
	m := x.lockMap(g.digest)
	m.removeLocked(g.digest, g.place)
	m.mu.Unlock()
}

// removeLocked takes out what is mapped at a place.
func (m *groups[T]) removeLocked(digest uint64, p buckets.Place) {
	m.table.Load().Remove(hashOf(digest), p)
	if m.mu.count--; m.mu.room > smallGroups && m.mu.count <= m.mu.room/4 {
		m.resizeLocked(m.mu.room / 2)
	}
}

// resizeLocked publishes a table that has room for so many groups.
func (m *groups[T]) resizeLocked(room int) {
	t := buckets.New[link[T]](buckets.For(room))
	if old := m.table.Load(); old != nil {
		for l := range old.All() {
			m.moveLocked(l, m.digestOf(l), t)
		}
	}
	m.mu.room = room
	m.table.Store(t) // publishes: the new table is complete
}

// digestOf returns the digest of the partial key of a mapped group or node.
func (m *groups[T]) digestOf(l *link[T]) uint64 {
	if g := l.group.Load(); g != nil {
		return g.digest
	}
	return m.index.lone.Digest(l.node())
}

// moveLocked inserts what is mapped into a table that is to take the place of the map's.
func (m *groups[T]) moveLocked(l *link[T], digest uint64, t *buckets.Table[link[T]]) {
	place := t.Insert(hashOf(digest), l)
	if g := l.group.Load(); g != nil {
		g.place = place
	}
}

// splitLocked puts two new maps in the place of one that is full and large, releases it, and returns, locked, the one that
// a digest belongs to. It returns nil, and does nothing, if the map is not large, has one entry alone, or its digests
// are too much alike.
func (m *groups[T]) splitLocked(digest uint64) *groups[T] {
	if m.span == 1 || m.mu.room < m.index.splitRoom {
		return nil
	}
	old, middle := m.table.Load(), uint64(m.first+m.span/2)
	upper := func(digest uint64) bool { return digest>>m.index.shift >= middle }
	links := slices.AppendSeq(make([]*link[T], 0, m.mu.count), old.All())
	digests := make([]uint64, len(links))
	var count [2]int
	for i, l := range links {
		if i%foresight == 0 {
			for _, ahead := range links[i:min(i+foresight, len(links))] {
				ahead.group.Load() // loads the memory of many at the same time
			}
		}
		digests[i] = m.digestOf(l)
		count[half(upper(digests[i]))]++
	}
	if min(count[0], count[1]) < m.mu.count/minSplit {
		return nil
	}
	var halves [2]*groups[T]
	for i := range halves {
		halves[i] = m.index.newMap(m.first+i*m.span/2, m.span/2, m.mu.room)
		halves[i].mu.count = count[i]
	}
	for i, l := range links {
		to := halves[half(upper(digests[i]))]
		to.moveLocked(l, digests[i], to.table.Load())
	}
	mine := halves[half(upper(digest))]
	mine.mu.Lock()
	halves[0].list()
	halves[1].list()
	m.mu.split = true // after that: who reads it finds the halves
	m.mu.Unlock()
	return mine
}

func half(upper bool) int {
	if upper {
		return 1
	}
	return 0
}

// size returns the number of groups and lone nodes, and whether the map has split.
func (m *groups[T]) size() (count int, split bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.count, m.mu.split
}

// hashOf mixes the bits of a digest, of which the caller may know that they are not random. Both halves
// of the product are needed: a difference in the digest's high bits reaches the low half's high
// bits only.
func hashOf(digest uint64) uint32 {
	high, low := bits.Mul64(digest, 0x9e3779b97f4a7c15)
	mixed := high ^ low
	return uint32(mixed>>32) ^ uint32(mixed)
}
