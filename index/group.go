package index

import (
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

// inlinePartial is how many bytes of partial key a Group stores in itself. A host name with
// a port fits, and so is read from the cache line that follows the group's header.
const inlinePartial = 40

// A Group is the sessions of one partial key, newest first. It is made by Index.Lock and
// must not be copied. Partial, Revoked, Newest, Enter, Leave and Drain are for everyone; the
// other methods need the group's lock, which
// Index.Lock, Index.LockExisting and Index.LockOf take.
type Group[T any] struct {
	partial string
	revoked atomic.Bool // set once, under mu; beside partial, since Lookup reads both
	buf     [inlinePartial]byte
	// The line ends here: a reader that only compares the partial key loads no other.

	digest  uint64
	place   buckets.Place                // under the map's lock: where the table has this group
	walkers atomic.Int32                 // walks that Enter began and Leave has not ended
	newest  atomic.Pointer[Node[T]]      // stored under mu, loaded by everyone
	late    atomic.Pointer[lateNodes[T]] // stored under mu: unlinked nodes that Leave is to retire, or nil

	mu struct {
		sync.Mutex // taken after a shard's lock, never before
		oldest     *Node[T]
		count      int  // linked nodes
		mapped     bool // the index holds this group; once false, it stays so
	}
	// A Group fills the 128-byte size class, whose objects begin with a cache line.
}

// A Node carries one session, in Item, through the list of its group. It must not be copied
// once linked. A node is linked at most once in its life.
type Node[T any] struct {
	next  atomic.Pointer[Node[T]] // the next older; kept after unlinking, for readers, until it is retired
	prev  *Node[T]                // under the group's lock: the next newer, or the node itself: unlinked
	group *Group[T]               // constant once linked

	Item T // the caller's; the index never touches it
}

func newGroup[T any](digest uint64, partial string) *Group[T] {
	g := &Group[T]{digest: digest}
	switch {
	case partial == "": // no byte to point at
	case len(partial) <= inlinePartial:
		copy(g.buf[:], partial)
		// The bytes are never written again, so a string may alias them.
		g.partial = unsafe.String(&g.buf[0], len(partial))
	default:
		g.partial = strings.Clone(partial)
	}
	g.mu.mapped = true
	return g
}

// Partial returns the partial key; it aliases the group.
func (g *Group[T]) Partial() string { return g.partial }

// Digest returns the digest that the group was made with.
func (g *Group[T]) Digest() uint64 { return g.digest }

// Revoked reports whether Index.Revoke took the group away. Once true, it stays true.
func (g *Group[T]) Revoked() bool { return g.revoked.Load() }

// Newest returns the newest node, or nil.
func (g *Group[T]) Newest() *Node[T] { return g.newest.Load() }

// Group returns the group that n is or was linked in, nil before that.
func (n *Node[T]) Group() *Group[T] { return n.group }

// Next returns the next older node of the group, or nil. It also works on a node that was
// unlinked, and leads to nodes that were linked when it was, until the node is retired.
func (n *Node[T]) Next() *Node[T] { return n.next.Load() }

// lockMapped takes the lock if the group is still mapped.
func (g *Group[T]) lockMapped() bool {
	g.mu.Lock()
	if g.mu.mapped {
		return true
	}
	g.mu.Unlock()
	return false
}

// Len returns the number of linked nodes. It needs the lock.
func (g *Group[T]) Len() int { return g.mu.count }

// Oldest returns the node that was linked first, or nil. It needs the lock.
func (g *Group[T]) Oldest() *Node[T] { return g.mu.oldest }

// PushNewest links n, which must never have been linked, as the newest. It needs the lock.
func (g *Group[T]) PushNewest(n *Node[T]) {
	if n.group != nil {
		panic("index: a node is linked at most once; readers may still stand on it")
	}
	if !g.mu.mapped {
		panic("index: a node is linked into a group that has left the map; no lookup would find it")
	}
	head := g.newest.Load()
	n.group = g
	// No reader sees n yet: a plain store, which the one to newest publishes, spares a locked one.
	*(**Node[T])(unsafe.Pointer(&n.next)) = head
	if head == nil {
		g.mu.oldest = n
	} else {
		head.prev = n
	}
	g.mu.count++
	// publishes: n and its links are complete before readers can find it.
	g.newest.Store(n)
}

// Unlink takes n out of the list if it is linked in this group, and reports whether it
// was. A node of a revoked group stays where it is. It needs the lock.
func (g *Group[T]) Unlink(n *Node[T]) bool {
	if n.group != g || n.prev == n || !g.mu.mapped {
		return false
	}
	older := n.next.Load()
	if n.prev == nil {
		g.newest.Store(older)
	} else {
		n.prev.next.Store(older)
	}
	if older == nil {
		g.mu.oldest = n.prev
	} else {
		older.prev = n.prev
	}
	n.prev = n // n.next stays: a reader that stands on n walks on
	g.mu.count--
	return true
}

// Replace links fresh as the newest and unlinks old, and reports whether old was linked. It needs
// the lock.
func (g *Group[T]) Replace(old, fresh *Node[T]) bool {
	// First the links of old's neighbours are loaded side by side. One by one, each of the
	// locked stores below would wait for the one that it needs.
	if older := old.next.Load(); older != nil {
		older.next.Load()
	}
	if newer := old.prev; newer != nil {
		newer.next.Load()
	}
	g.PushNewest(fresh)
	return g.Unlink(old)
}
