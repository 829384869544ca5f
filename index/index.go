// Package index finds the sessions of a partial key, newest first.
//
// An Index maps a partial key (a host, a user, a tenant) to a Group: a doubly linked list
// of nodes that the caller allocates, embeds its sessions in and owns. Linking and
// unlinking cost O(1) in a group of any size; a group vanishes with its last node.
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
// # Writers
//
// Writers change a group only between Lock and Unlock, so that the caller can publish a
// session elsewhere in the same critical section: no reader then finds a session in one
// place that it can never find in the other.
//
// # Revocation
//
// Revoke takes a whole group out of the map and marks it with one store, whatever its
// size. Whoever holds a node sees the mark through the node's group, and the list stays as
// it was, frozen, for the revoker to sweep without a lock. A later Lock makes a new group.
//
// # Hashes
//
// The caller hashes partial keys itself, with a secret seed, since peers choose them. Equal
// partial keys must have equal digests; unequal ones may collide at the cost of time only.
package index

import (
	"math/bits"

	"github.com/puzpuzpuz/xsync/v3"
)

// groupsPerMap is how many groups one map is meant to hold. An xsync v3 map stalls all its
// writers while one goroutine copies it to twice the size: 180 ms near 2^20 keys, below
// 0.2 ms at this size.
const groupsPerMap = 4096

// An Index maps partial keys to groups. All methods are safe for concurrent use. The zero
// Index is not usable; call New. It must not be copied.
type Index[T any] struct {
	maps  []*xsync.MapOf[groupKey, *Group[T]] // by the top bits of the digest
	shift uint                                // 64 - log2(len(maps))
}

// A groupKey carries its digest, so that the map need not hash the partial key again.
type groupKey struct {
	digest  uint64
	partial string
}

// New returns an empty index that stays fast up to about the given number of partial keys;
// beyond it, it works and grows.
func New[T any](groups int) *Index[T] {
	log := bits.Len(uint(max(groups-1, 0) / groupsPerMap))
	x := &Index[T]{shift: uint(64 - log)}
	for range 1 << log {
		x.maps = append(x.maps, xsync.NewMapOfWithHasher[groupKey, *Group[T]](spread))
	}
	return x
}

// spread mixes the digest for one table of a map. It depends on the table's seed, which
// changes at every resize. Both halves of the product are needed: xsync takes the low bits,
// and a difference in the digest's high bits reaches the low half's high bits only.
func spread(k groupKey, seed uint64) uint64 {
	high, low := bits.Mul64(k.digest^seed, 0x9e3779b97f4a7c15)
	return high ^ low
}

func (x *Index[T]) mapOf(digest uint64) *xsync.MapOf[groupKey, *Group[T]] {
	return x.maps[digest>>x.shift]
}

// Find returns the group of a partial key, or nil if it has no sessions. It takes no lock
// and does not allocate.
func (x *Index[T]) Find(digest uint64, partial string) *Group[T] {
	g, _ := x.mapOf(digest).Load(groupKey{digest, partial})
	return g
}

// Lock returns the locked group of a partial key and makes it if it is missing: two
// allocations up to inlinePartial bytes, three beyond. The group is mapped and not revoked.
// The partial key is copied.
func (x *Index[T]) Lock(digest uint64, partial string) *Group[T] {
	m := x.mapOf(digest)
	for {
		g, ok := m.Load(groupKey{digest, partial})
		if !ok {
			fresh := newGroup[T](digest, partial)
			// publishes: fresh is complete before it is mapped; on a lost race it is garbage.
			g, _ = m.LoadOrStore(groupKey{digest, fresh.partial}, fresh)
		}
		if g.lockMapped() {
			return g
		}
		// It was emptied or revoked before we had its lock, and left the map under it.
	}
}

// LockOf returns, locked, the group that n was linked in, which may have been emptied or
// revoked since. It spares the search in the map.
func (x *Index[T]) LockOf(n *Node[T]) *Group[T] {
	n.group.mu.Lock()
	return n.group
}

// LockExisting returns the locked group of a partial key, or nil if it has none. A group that
// another Lock has just made may still be empty.
func (x *Index[T]) LockExisting(digest uint64, partial string) *Group[T] {
	for {
		g := x.Find(digest, partial)
		if g == nil || g.lockMapped() {
			return g
		}
		// It was emptied or revoked before we had its lock; a newer one may be mapped.
	}
}

// Unlock releases a group. An empty one leaves the map first.
func (x *Index[T]) Unlock(g *Group[T]) {
	if g.mu.count == 0 && g.mu.mapped {
		x.unmapLocked(g)
	}
	g.mu.Unlock()
}

// Revoke marks a group that Lock or LockExisting returned, takes it out of the map and
// releases it. Its list no longer changes: walk it with Newest and Next.
func (x *Index[T]) Revoke(g *Group[T]) {
	// linearizes: every session of the group is gone here, all at once. Only then may the
	// group leave the map, or a new session could be seen beside the old ones and survive.
	g.revoked.Store(true)
	x.unmapLocked(g)
	g.mu.Unlock()
}

// unmapLocked takes a mapped group out of the map, for good.
//
// invariant: g.mu.mapped ⟺ the map holds g for its key. Only LoadOrStore adds to the map,
// which never displaces a group, so a plain Delete cannot hit a successor.
func (x *Index[T]) unmapLocked(g *Group[T]) {
	g.mu.mapped = false
	x.mapOf(g.digest).Delete(groupKey{g.digest, g.partial})
}

// Len returns the number of partial keys that have a group. It is exact when no writer is
// under way.
func (x *Index[T]) Len() int {
	n := 0
	for _, m := range x.maps {
		n += m.Size()
	}
	return max(n, 0) // a map counts after the fact, and may be below zero for an instant
}

// All calls yield with every mapped group until it returns false. It is weakly consistent
// and meant for diagnosis: it briefly locks the map's buckets in turn.
func (x *Index[T]) All(yield func(*Group[T]) bool) {
	for _, m := range x.maps {
		more := true
		m.Range(func(_ groupKey, g *Group[T]) bool {
			more = yield(g)
			return more
		})
		if !more {
			return
		}
	}
}
