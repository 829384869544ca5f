package index

import (
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

// inlinePartial is how many bytes of partial key a namedGroup stores in itself: a host name with a port fits.
const inlinePartial = 32

// A Group is the sessions of one partial key, newest first. It is made by Index.Lock and
// must not be copied. Partial, Revoked, Newest, Enter, Leave and Drain are for everyone; the
// other methods need the group's lock, which
// Index.Lock, Index.LockExisting and Index.LockOf take.
type Group[T any] struct {
	link[T]
	lone    *LoneKeys[T] // constant; nil: the Group is part of a namedGroup
	digest  uint64
	late    atomic.Pointer[lateNodes[T]] // stored under mu: unlinked nodes that Leave is to retire, or nil
	place   buckets.Place                // under the map's lock: where the table has this group
	walkers atomic.Int32                 // walks that Enter began and Leave has not ended
	revoked atomic.Bool                  // set once, under mu

	mu struct {
		sync.Mutex       // taken after a shard's lock, never before
		count      int32 // linked nodes
		mapped     bool  // the index holds this group; once false, it stays so
	}
	// A Group fills the 80-byte size class.
}

// A namedGroup has a copy of its partial key. Another group has the partial key of its nodes.
type namedGroup[T any] struct {
	Group[T]
	partial string
	buf     [inlinePartial]byte
}

// A Node carries one session, in Item, through the list of its group. It must not be copied
// once linked. A node is linked at most once in its life.
type Node[T any] struct {
	link[T]

	Item T // the caller's; the index never touches it
}

// A link is what Nodes and Groups have in common and both begin with, so that a map can hold either: of a partial
// key with one node, perhaps that node itself.
type link[T any] struct {
	next  atomic.Pointer[Node[T]]  // of a Node: the next older; kept after unlinking, for readers, until it is retired. Of a Group: the newest
	prev  *Node[T]                 // under the lock. Of a Node: the next newer, or the node itself: unlinked. Of a Group: the oldest
	group atomic.Pointer[Group[T]] // of a Node: its group, constant once there is one; nil of a lone node. Of a Group: itself
}

// newGroup returns a group with a copy of its partial key, which may be empty.
func newGroup[T any](digest uint64, partial string) *Group[T] {
	g := &namedGroup[T]{}
	g.init(digest)
	switch {
	case partial == "": // no byte to point at
	case len(partial) <= inlinePartial:
		copy(g.buf[:], partial)
		// The bytes are never written again, so a string may alias them.
		g.partial = unsafe.String(&g.buf[0], len(partial))
	default:
		g.partial = strings.Clone(partial)
	}
	return &g.Group
}

func (g *Group[T]) init(digest uint64) {
	g.digest = digest
	g.group.Store(g)
	g.mu.mapped = true
}

// Partial returns the partial key; it aliases the group, or its newest node. Of a group that was made of a lone node
// it is empty once the nodes have gone.
func (g *Group[T]) Partial() string {
	if g.lone == nil {
		return (*namedGroup[T])(unsafe.Pointer(g)).partial // of which g is the beginning
	}
	if n := g.Newest(); n != nil {
		return g.lone.Partial(n)
	}
	return ""
}

// has reports whether this is the group of a partial key. A group that takes its partial key from its nodes has none once they
// are gone; it is about to leave the map then.
func (g *Group[T]) has(digest uint64, partial string) bool {
	return g.digest == digest && (g.lone == nil || g.Newest() != nil) && g.Partial() == partial
}

// Digest returns the digest that the group was made with.
func (g *Group[T]) Digest() uint64 { return g.digest }

// Revoked reports whether Index.Revoke took the group away. Once true, it stays true.
func (g *Group[T]) Revoked() bool { return g.revoked.Load() }

// Newest returns the newest node, or nil.
func (g *Group[T]) Newest() *Node[T] { return g.next.Load() }

// Group returns the group that n is or was linked in, nil before that and while n is alone (NewLone).
func (n *Node[T]) Group() *Group[T] { return n.group.Load() }

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
func (g *Group[T]) Len() int { return int(g.mu.count) }

// Oldest returns the node that was linked first, or nil. It needs the lock.
func (g *Group[T]) Oldest() *Node[T] { return g.prev }

// PushNewest links n, which must never have been linked, as the newest. It needs the lock.
func (g *Group[T]) PushNewest(n *Node[T]) {
	g.checkPush(n)
	head := g.next.Load()
	// No reader sees n yet: plain stores, which the one to next publishes, spare locked ones.
	*(**Group[T])(unsafe.Pointer(&n.group)) = g
	*(**Node[T])(unsafe.Pointer(&n.next)) = head
	if head == nil {
		g.prev = n
	} else {
		head.prev = n
	}
	g.mu.count++
	// publishes: n and its links are complete before readers can find it.
	g.next.Store(n)
}

// PushOldest links n, which must never have been linked, as the oldest: for a session that is older than all
// that are there. It needs the lock.
func (g *Group[T]) PushOldest(n *Node[T]) {
	g.checkPush(n)
	tail := g.prev
	n.group.Store(g)
	n.prev = tail
	g.prev = n
	g.mu.count++
	// publishes: n and its links are complete before readers can find it. One that stands on the tail walks on to n.
	if tail == nil {
		g.next.Store(n)
	} else {
		tail.next.Store(n)
	}
}

// checkPush panics where n must not be linked.
func (g *Group[T]) checkPush(n *Node[T]) {
	if n.group.Load() != nil || n.prev != nil {
		panic("index: a node is linked at most once; readers may still stand on it")
	}
	if !g.mu.mapped || g.lone != nil && g.mu.count == 0 {
		panic("index: a node is linked into a group that has left the map; no lookup would find it")
	}
}

// Unlink takes n out of the list if it is linked in this group, and reports whether it
// was. A node of a revoked group stays where it is. It needs the lock.
func (g *Group[T]) Unlink(n *Node[T]) bool {
	if n.group.Load() != g || n.prev == n || !g.mu.mapped {
		return false
	}
	older := n.next.Load()
	if n.prev == nil {
		g.next.Store(older)
	} else {
		n.prev.next.Store(older)
	}
	if older == nil {
		g.prev = n.prev
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
