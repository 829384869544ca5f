// Package index finds the sessions of a partial key, newest first.
//
// An Index maps a partial key (a host, a user, a tenant) to a Group: a doubly linked list
// of nodes that the caller allocates, embeds its sessions in and owns. Linking and
// unlinking cost O(1) in a group of any size; a group vanishes with its last node. An index made by NewLone
// spares the group of a partial key with one node.
//
// # Readers
//
// Readers take no lock: they load the group with Find, its newest node with Newest and
// follow Next. An unlinked node keeps its Next and is never linked again, so a reader that
// stands on one still walks on to older nodes and to the end. A walk therefore sees every
// node that is linked throughout exactly once. It may see a node that was unlinked
// meanwhile: nodes are hints, and the caller decides by the node's own state whether its
// session is alive.
//
// An owner whose sessions' keys or values outlive them retires what it unlinks, so that a node which
// is still held keeps no others; then its walks count themselves (Enter, Leave).
//
// # Writers
//
// Writers change a group only between Lock and Unlock, so that the caller can publish a
// session elsewhere in the same critical section: no reader then finds a session in one
// place that it can never find in the other.
//
// # Revocation
//
// Revoke takes a whole group out of the map and marks it with one store, of whatever
// size. A reader that holds a node sees the mark through the node's group, and the list stays as
// it was, frozen, for the revoker to sweep: by Next without a lock, or by Drain, which several may
// call. A later Lock makes a new group.
//
// # Hashes
//
// The caller hashes partial keys itself, with a secret seed, since peers choose them. Equal
// partial keys must have equal digests; unequal ones may collide at the cost of time only.
package index

import (
	"fmt"
	"math/bits"
	"sync/atomic"
)

const (
	// groupsPerMap is how many groups one map is meant to hold: growth copies them under its lock.
	groupsPerMap = 1024

	// A map with room for so many groups splits when it is full: in 0.1 ms, with 20 KB of new memory. The fewer, the less an
	// Update does at once, and the sooner a map has one entry left and doubles.
	splitGroups = groupsPerMap / 4

	// An index made for a number of partial keys has so many entries for each of its maps, and so many at least: its
	// maps split until each has one entry.
	mapEntries = 4
	minEntries = 64

	// maxPartialKeys is the most that New makes maps for: 2^20 of them, which take 400 MB when they are empty.
	maxPartialKeys = 1 << 30
)

// An Index maps partial keys to groups. All methods are safe for concurrent use. The zero
// Index is not usable, and panics with these words; call New. It must not be copied.
type Index[T any] struct {
	maps      []atomic.Pointer[groups[T]] // by the top bits of the digest: each map has a run of entries
	shift     uint                        // 64 - log2(len(maps))
	splitRoom int                         // a full map with room for so many splits
	lone      *LoneKeys[T]                // nil: no node is alone
}

// New returns an empty index that stays fast up to about the given number of partial keys, which may be 0 to
// 2^30; beyond it, it works and grows. Another number panics.
func New[T any](partialKeys int) *Index[T] {
	maps := mapsFor(partialKeys)
	return newIndex[T](maps, mapEntries*maps, nil)
}

// mapsFor returns the number of maps, a power of two, for a number of partial keys.
func mapsFor(partialKeys int) int {
	if partialKeys < 0 || partialKeys > maxPartialKeys {
		panic(fmt.Sprintf("index: partialKeys is %d; want 0 to %d", partialKeys, maxPartialKeys))
	}
	return 1 << bits.Len(uint(max(partialKeys-1, 0)/groupsPerMap))
}

// newIndex returns an index with so many maps, which may split until each has one of the entries. Both are powers of two.
func newIndex[T any](maps, entries int, lone *LoneKeys[T]) *Index[T] {
	entries = max(entries, maps, minEntries)
	x := &Index[T]{
		maps:      make([]atomic.Pointer[groups[T]], entries),
		shift:     uint(64 - bits.TrailingZeros(uint(entries))),
		splitRoom: splitGroups,
		lone:      lone,
	}
	for i := range maps {
		x.newMap(i*(entries/maps), entries/maps, smallGroups).list()
	}
	return x
}

// mapOf returns the map of a digest at this instant.
func (x *Index[T]) mapOf(digest uint64) *groups[T] {
	i := digest >> x.shift
	if i >= uint64(len(x.maps)) {
		panic("index: the zero Index is not usable; call New")
	}
	return x.maps[i].Load()
}

// eachMap yields every map, in the order of their digests. One that splits while it is yielded keeps its table as it was.
func (x *Index[T]) eachMap(yield func(*groups[T]) bool) {
	for at := 0; at < len(x.maps); {
		m := x.maps[at].Load()
		if !yield(m) {
			return
		}
		at += m.span
	}
}

// Find returns the group of a partial key, or nil if it has no sessions, or a lone one (see Walk). It takes no
// lock and does not allocate.
func (x *Index[T]) Find(digest uint64, partial string) *Group[T] {
	if l, _ := x.mapOf(digest).find(digest, partial); l != nil {
		return l.group.Load()
	}
	return nil
}

// Lock returns the locked group of a partial key and makes it if it is missing: one
// allocation up to inlinePartial bytes, two beyond. The group is mapped and not revoked.
// The partial key is copied. A lone node gets a group.
func (x *Index[T]) Lock(digest uint64, partial string) *Group[T] {
	for {
		l, _ := x.mapOf(digest).find(digest, partial)
		if l == nil {
			l = x.add(newGroup[T](digest, partial))
		}
		if g := l.group.Load(); g == nil {
			if h, ok := x.HoldExisting(digest, partial); ok {
				return h.Group()
			}
		} else if g.lockMapped() {
			return g
		}
		// It was emptied or revoked before we had its lock, and left the map under it.
	}
}

// LockOf returns, locked, the group that n was linked in, which may have been emptied or
// revoked since. It spares the search in the map. A lone node gets a group.
func (x *Index[T]) LockOf(n *Node[T]) *Group[T] {
	if x.lone == nil && n.group.Load() == nil {
		panic("index: LockOf of a node that was never linked")
	}
	h := x.HoldOf(n)
	return h.Group()
}

// LockExisting returns the locked group of a partial key, or nil if it has none. A group that
// another Lock has just made may still be empty. A lone node gets a group.
func (x *Index[T]) LockExisting(digest uint64, partial string) *Group[T] {
	h, ok := x.HoldExisting(digest, partial)
	if !ok {
		return nil
	}
	return h.Group()
}

// Unlock releases a group. An empty one leaves the map first.
func (x *Index[T]) Unlock(g *Group[T]) {
	if g.mu.count == 0 && g.mu.mapped {
		x.unmapLocked(g)
	}
	g.mu.Unlock()
}

// Revoke marks a group that Lock or LockExisting returned, takes it out of the map and
// releases it. Its list no longer changes but by Drain: walk it with Newest and Next.
func (x *Index[T]) Revoke(g *Group[T]) {
	if !g.mu.mapped {
		panic("index: Revoke of a group that has left the map; want one that Lock or LockExisting has returned")
	}
	// linearizes: every session of the group is gone here, all at once. Only then may the
	// group leave the map, or a new session could be seen beside the old ones and survive.
	g.revoked.Store(true)
	x.unmapLocked(g)
	g.mu.Unlock()
}

// unmapLocked takes a mapped group out of the map, for good.
//
// invariant: g.mu.mapped ⟺ its map holds g for its key. add never displaces what is there.
func (x *Index[T]) unmapLocked(g *Group[T]) {
	g.mu.mapped = false
	x.remove(g)
}

// Len returns the number of partial keys that have a group or a lone node. It is exact when no writer is
// under way, and takes the lock of each map in turn.
func (x *Index[T]) Len() int {
	n := 0
	for at := 0; at < len(x.maps); {
		m := x.maps[at].Load()
		if count, split := m.size(); !split {
			n += count
			at += m.span
		}
	}
	return n
}

// All calls yield with every mapped group until it returns false; lone nodes have none. It takes no lock and is
// weakly consistent: a group that is mapped throughout is met once, others perhaps.
func (x *Index[T]) All(yield func(*Group[T]) bool) {
	for m := range x.eachMap {
		for l := range m.table.Load().All() {
			if g := l.group.Load(); g != nil && !yield(g) {
				return
			}
		}
	}
}
