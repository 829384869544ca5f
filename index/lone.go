package index

import (
	"iter"
	"unsafe"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

// Most partial keys of a cache may have one session each, and a group takes more memory than that. An index made by NewLone
// therefore maps such a node itself; the lock of its map is its lock. A second node makes a group, which stays until it is empty.

// LoneKeys says what the index cannot know of a lone node. Both functions are called with locks held and must not
// use the index.
type LoneKeys[T any] struct {
	Partial func(*Node[T]) string // the partial key, under which the node was pushed
	Digest  func(*Node[T]) uint64 // its digest
}

// NewLone returns an empty index whose partial keys with one node have no group, if the node was pushed under
// Hold. Its readers use Walk. It begins with what a number of partial keys needs, and stays fast up to the most that there
// may be; each is up to 2^30.
func NewLone[T any](partialKeys, most int, keys LoneKeys[T]) *Index[T] {
	return newIndex(mapsFor(partialKeys), mapsFor(most), &keys)
}

// node returns the node of a link that is not a group's.
func (l *link[T]) node() *Node[T] { return (*Node[T])(unsafe.Pointer(l)) } // a Node begins with its link

// A Held is a partial key whose lock is held: a group's, or that of the map where the partial key has a lone node or none.
// It is for one goroutine, until Release, or Index.Revoke of its Group. Its methods are those of a Group.
type Held[T any] struct {
	index *Index[T]
	group *Group[T] // or nil, and then:

	m      *groups[T]
	digest uint64
	lone   *Node[T] // nil: none
	place  buckets.Place
}

// Hold locks a partial key, whether it has nodes or not. It does not allocate, nor keep the string beyond Release.
func (x *Index[T]) Hold(digest uint64, partial string) Held[T] {
	for {
		l, _ := x.mapOf(digest).find(digest, partial)
		if h, ok := x.holdGroup(l); ok {
			return h
		}
		m := x.lockMap(digest)
		l, p := m.find(digest, partial)
		switch {
		case l == nil:
			return Held[T]{index: x, m: m, digest: digest}
		case l.group.Load() == nil:
			return Held[T]{index: x, m: m, digest: digest, lone: l.node(), place: p}
		}
		m.mu.Unlock() // a group's lock comes before a map's
	}
}

// HoldExisting is Hold for a partial key that has nodes, false if it has none. A group that a Lock has just made may
// still be empty.
func (x *Index[T]) HoldExisting(digest uint64, partial string) (Held[T], bool) {
	l, _ := x.mapOf(digest).find(digest, partial)
	if l == nil {
		return Held[T]{}, false
	}
	if h, ok := x.holdGroup(l); ok {
		return h, true
	}
	h := x.Hold(digest, partial)
	if h.Newest() == nil {
		h.Release()
		return Held[T]{}, false
	}
	return h, true
}

// HoldOf locks the partial key of a node that is or was linked. What it holds may be the node's former group.
func (x *Index[T]) HoldOf(n *Node[T]) Held[T] {
	for {
		if g := n.group.Load(); g != nil {
			g.mu.Lock()
			return Held[T]{index: x, group: g}
		}
		digest := x.lone.Digest(n)
		m := x.lockMap(digest)
		if n.group.Load() == nil { // a lone node gets its group under this lock
			h := Held[T]{index: x, m: m, digest: digest}
			if n.prev != n {
				_, h.place = m.table.Load().Seek(hashOf(digest), func(l *link[T]) bool { return l == &n.link })
				h.lone = n
			}
			return h
		}
		m.mu.Unlock()
	}
}

// holdGroup locks what a map has for a partial key if it is a group and still mapped.
func (x *Index[T]) holdGroup(l *link[T]) (h Held[T], ok bool) {
	if l == nil {
		return h, false
	}
	g := l.group.Load()
	if g == nil || !g.lockMapped() {
		return h, false
	}
	return Held[T]{index: x, group: g}, true
}

// Release ends the hold. An empty group leaves the map first.
func (h *Held[T]) Release() {
	if h.group != nil {
		h.index.Unlock(h.group)
	} else {
		h.m.mu.Unlock()
	}
}

// Len returns the number of nodes.
func (h *Held[T]) Len() int {
	switch {
	case h.group != nil:
		return h.group.Len()
	case h.lone != nil:
		return 1
	}
	return 0
}

// Newest returns the newest node, or nil.
func (h *Held[T]) Newest() *Node[T] {
	if h.group != nil {
		return h.group.Newest()
	}
	return h.lone
}

// Oldest returns the node that was linked first, or nil.
func (h *Held[T]) Oldest() *Node[T] {
	if h.group != nil {
		return h.group.Oldest()
	}
	return h.lone
}

// Revoked reports whether the nodes' group is revoked.
func (h *Held[T]) Revoked() bool { return h.group != nil && h.group.Revoked() }

// PushNewest links n, which must never have been linked, as the newest.
func (h *Held[T]) PushNewest(n *Node[T]) {
	if h.group == nil && h.lone == nil {
		if n.group.Load() != nil || n.prev != nil {
			panic("index: a node is linked at most once; readers may still stand on it")
		}
		h.lone = n
		h.m, h.place = h.m.insertLocked(h.digest, &n.link)
		return
	}
	h.Group().PushNewest(n)
}

// PushOldest links n, which must never have been linked, as the oldest.
func (h *Held[T]) PushOldest(n *Node[T]) {
	if h.group == nil && h.lone == nil {
		h.PushNewest(n) // it is the only one
		return
	}
	h.Group().PushOldest(n)
}

// Group returns the group whose lock is held. A lone node gets one, which is locked in place of its map. It needs a node.
func (h *Held[T]) Group() *Group[T] {
	if h.group == nil {
		lone := h.lone
		if lone == nil {
			h.Release()
			panic("index: Group of a partial key that has no nodes")
		}
		g := &Group[T]{lone: h.index.lone}
		g.init(h.digest)
		g.mu.Lock()
		g.mu.count, g.place, g.prev = 1, h.place, lone
		g.next.Store(lone)
		// publishes: the group is complete before anyone can find it, by the node or by the map.
		lone.group.Store(g)
		h.m.table.Load().At(h.place).Store(&g.link)
		h.m.mu.Unlock()
		*h = Held[T]{index: h.index, group: g}
	}
	return h.group
}

// Unlink takes n out if it is linked here and cuts it off from the others (Group.Retire), and reports whether it was. A
// node of a revoked group stays where it is.
func (h *Held[T]) Unlink(n *Node[T]) bool {
	if h.group != nil {
		if !h.group.Unlink(n) {
			return false
		}
		h.group.Retire(n)
		if h.group.Len() == 0 {
			h.leave()
		}
		return true
	}
	if n != h.lone {
		return false
	}
	h.m.removeLocked(h.digest, h.place)
	n.prev = n
	h.lone = nil
	return true
}

// leave takes an empty group out of the map at once, and holds the map in its place. The group's partial key has gone with
// its nodes, so no search would find it.
func (h *Held[T]) leave() {
	g := h.group
	g.mu.mapped = false
	m := h.index.lockMap(g.digest)
	m.removeLocked(g.digest, g.place)
	g.mu.Unlock()
	*h = Held[T]{index: h.index, m: m, digest: g.digest}
}

// Replace links fresh as the newest and unlinks old, which must be linked here.
func (h *Held[T]) Replace(old, fresh *Node[T]) {
	if h.group != nil {
		h.group.Replace(old, fresh)
		h.group.Retire(old)
		return
	}
	// publishes: a reader finds the one or the other.
	h.m.table.Load().At(h.place).Store(&fresh.link)
	old.prev = old
	h.lone = fresh
}

// A Walk goes over the nodes of a partial key, newest first, without a lock.
type Walk[T any] struct {
	lone  *Node[T]
	group *Group[T]
}

// Walk begins a walk. Call End when it is over.
func (x *Index[T]) Walk(digest uint64, partial string) (w Walk[T]) {
	if l, _ := x.mapOf(digest).find(digest, partial); l != nil {
		w = l.begin()
	}
	return w
}

// Newest returns the node to begin with, or nil.
func (w Walk[T]) Newest() *Node[T] {
	if w.group != nil {
		return w.group.Newest()
	}
	return w.lone
}

// Next returns the node that follows one of the walk, or nil.
func (w Walk[T]) Next(n *Node[T]) *Node[T] {
	if w.group != nil {
		return n.Next()
	}
	return nil // it was alone, and the walk does not count in the group that it may have by now
}

// End ends the walk.
func (w Walk[T]) End() {
	if w.group != nil {
		w.group.Leave()
	}
}

// Walks begins a walk of every partial key in turn, yields it and ends it. It takes no lock and is weakly consistent: a partial
// key that has nodes throughout is met once, others perhaps.
func (x *Index[T]) Walks() iter.Seq[Walk[T]] {
	return func(yield func(Walk[T]) bool) {
		for m := range x.eachMap {
			for l := range m.table.Load().All() {
				if !l.walk(yield) {
					return
				}
			}
		}
	}
}

// walk yields a walk of a partial key.
func (l *link[T]) walk(yield func(Walk[T]) bool) bool {
	w := l.begin()
	defer w.End()
	return yield(w)
}

// begin begins a walk.
func (l *link[T]) begin() (w Walk[T]) {
	if w.group = l.group.Load(); w.group == nil {
		w.lone = l.node()
	} else {
		w.group.Enter()
	}
	return w
}

// Prefetch loads memory that Unlink of a node will need, and drops it.
func (x *Index[T]) Prefetch(n *Node[T]) {
	if g := n.group.Load(); g != nil {
		g.next.Load()
		return
	}
	digest := x.lone.Digest(n)
	x.mapOf(digest).table.Load().Home(hashOf(digest)).Word()
}
