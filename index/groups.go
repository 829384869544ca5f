package index

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

// smallGroups is how many groups an empty map keeps room for.
const smallGroups = 14

// groups is a map from partial keys to groups, or to lone nodes, that readers search without a lock. It doubles when
// it is full, and halves when a quarter of it is in use, each time by a copy that the lock covers.
//
// A reader of a table that was replaced meanwhile may find a group that has left the map; that
// group says so itself (lockMapped), or links nothing.
type groups[T any] struct {
	table atomic.Pointer[buckets.Table[link[T]]] // swapped under mu, loaded by everyone
	lone  *LoneKeys[T]                           // nil: no node is alone; constant
	_     [48]byte                               // what writers touch lies on a line of its own

	mu struct {
		sync.Mutex // taken last, with a group's lock held or without
		count      int
		room       int // count that the table has room for
	}
	_ [40]byte
}

func (m *groups[T]) init(lone *LoneKeys[T]) {
	m.lone = lone
	m.resizeLocked(smallGroups)
}

// find returns what the map has for a partial key, a group or a lone node, or nil; and where. It takes no lock.
func (m *groups[T]) find(digest uint64, partial string) (*link[T], buckets.Place) {
	return m.table.Load().Seek(hashOf(digest), func(l *link[T]) bool {
		if g := l.group.Load(); g != nil {
			return g.has(digest, partial)
		}
		return m.lone.Partial(l.node()) == partial
	})
}

// add maps a group and returns it, or what its partial key has meanwhile.
func (m *groups[T]) add(g *Group[T]) *link[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	if other, _ := m.find(g.digest, g.Partial()); other != nil {
		return other
	}
	g.place = m.insertLocked(g.digest, &g.link)
	return &g.link
}

// insertLocked maps what its partial key has not yet.
func (m *groups[T]) insertLocked(digest uint64, l *link[T]) buckets.Place {
	if m.mu.count == m.mu.room {
		m.resizeLocked(2 * m.mu.room)
	}
	m.mu.count++
	// publishes: the group, or the node, is complete before a reader can find it.
	return m.table.Load().Insert(hashOf(digest), l)
}

// remove takes out a group that is mapped.
func (m *groups[T]) remove(g *Group[T]) {
	m.mu.Lock()
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
			if g := l.group.Load(); g != nil {
				g.place = t.Insert(hashOf(g.digest), l)
			} else {
				t.Insert(hashOf(m.lone.Digest(l.node())), l)
			}
		}
	}
	m.mu.room = room
	m.table.Store(t) // publishes: the new table is complete
}

// size returns the number of groups and lone nodes.
func (m *groups[T]) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.count
}

// hashOf mixes the bits of a digest, of which the caller may know that they are not random. Both halves
// of the product are needed: a difference in the digest's high bits reaches the low half's high
// bits only.
func hashOf(digest uint64) uint32 {
	high, low := bits.Mul64(digest, 0x9e3779b97f4a7c15)
	mixed := high ^ low
	return uint32(mixed>>32) ^ uint32(mixed)
}
