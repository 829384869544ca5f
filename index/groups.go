package index

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

// smallGroups is how many groups an empty map keeps room for.
const smallGroups = 14

// groups is a map from partial keys to groups that readers search without a lock. It doubles when
// it is full, and halves when a quarter of it is in use, each time by a copy that the lock covers.
//
// A reader of a table that was replaced meanwhile may find a group that has left the map; that
// group says so itself (lockMapped), or links nothing.
type groups[T any] struct {
	table atomic.Pointer[buckets.Table[Group[T]]] // swapped under mu, loaded by everyone
	_     [56]byte                                // what writers touch lies on a line of its own

	mu struct {
		sync.Mutex // taken last, with a group's lock held or without
		count      int
		room       int // count that the table has room for
	}
	_ [40]byte
}

func (m *groups[T]) init() { m.resizeLocked(smallGroups) }

// find returns the group of a partial key, or nil. It takes no lock.
func (m *groups[T]) find(digest uint64, partial string) *Group[T] {
	return m.table.Load().Find(hashOf(digest), func(g *Group[T]) bool {
		return g.digest == digest && g.partial == partial
	})
}

// add maps a group and returns it, or the one that its partial key has meanwhile.
func (m *groups[T]) add(g *Group[T]) *Group[T] {
	m.mu.Lock()
	g = m.addLocked(g)
	m.mu.Unlock()
	return g
}

func (m *groups[T]) addLocked(g *Group[T]) *Group[T] {
	if other := m.find(g.digest, g.partial); other != nil {
		return other
	}
	if m.mu.count == m.mu.room {
		m.resizeLocked(2 * m.mu.room)
	}
	m.mu.count++
	// publishes: the group is complete before a reader can find it.
	g.place = m.table.Load().Insert(hashOf(g.digest), g)
	return g
}

// remove takes out a group that is mapped.
func (m *groups[T]) remove(g *Group[T]) {
	m.mu.Lock()
	m.table.Load().Remove(hashOf(g.digest), g.place)
	if m.mu.count--; m.mu.room > smallGroups && m.mu.count <= m.mu.room/4 {
		m.resizeLocked(m.mu.room / 2)
	}
	m.mu.Unlock()
}

// resizeLocked publishes a table that has room for so many groups.
func (m *groups[T]) resizeLocked(room int) {
	t := buckets.New[Group[T]](buckets.For(room))
	if old := m.table.Load(); old != nil {
		for g := range old.All() {
			g.place = t.Insert(hashOf(g.digest), g)
		}
	}
	m.mu.room = room
	m.table.Store(t) // publishes: the new table is complete
}

// size returns the number of groups.
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
