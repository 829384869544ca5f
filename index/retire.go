package index

import (
	"unsafe"
	"weak"
)

// A node that was unlinked still leads to older ones, which may have been unlinked since, and those to
// others: one node that its owner holds on to, perhaps by a string that points into it, would keep a
// chain of any length alive. So the owner retires what it unlinks, and a retired node leads nowhere.
//
// A reader may stand on such a node, though, and must walk on. So readers count themselves, and
// while there are any, nodes are retired late: by the last reader that leaves. Who enters after a
// node was unlinked cannot come to it: no linked node leads to it, nor does one unlinked later.

// Enter begins a walk that Retire must not cut short: call it before Newest, and Leave when the walk
// no longer calls Next. It takes no lock.
func (g *Group[T]) Enter() { g.walkers.Add(1) }

// Leave ends a walk that Enter began. The last to leave retires what was unlinked meanwhile, and
// takes the group's lock for that, for an instant; else it takes no lock.
func (g *Group[T]) Leave() {
	walkers := g.walkers.Add(-1)
	if walkers < 0 {
		panic("index: Leave without Enter")
	}
	if walkers > 0 || g.late.Load() == nil {
		return
	}
	g.mu.Lock()
	late := g.late.Load()
	if g.walkers.Load() > 0 {
		late = nil // some may stand on these nodes; the last of them will be here
	} else {
		g.late.Store(nil)
	}
	g.mu.Unlock()
	late.retire()
}

// Retire cuts the links of n, which Unlink or Replace has just unlinked, so that it keeps no other
// node from the garbage collector. Where walks are under way, the last of them does it. Every walk
// of an index whose nodes are retired must call Enter. It needs the lock, and takes constant time.
func (g *Group[T]) Retire(n *Node[T]) {
	if n.prev != n {
		panic("index: Retire of a node that is linked, or never was; want one that Unlink or Replace has unlinked")
	}
	if g.walkers.Load() == 0 {
		n.cut()
		return
	}
	if late := g.late.Load(); late != nil {
		late.add(n)
		return
	}
	late := &lateNodes[T]{}
	late.add(n)
	// A reader that leaves lowers walkers, then loads late; here it is the other way round. So
	// either it sees late, or we see that it has left.
	g.late.Store(late)
	if g.walkers.Load() == 0 {
		g.late.Store(nil)
		n.cut()
	}
}

// Drain takes the newest node out of a group that was revoked, calls visit with it under the group's
// lock and returns true; false if none is left. Its links are cut at once: walks of a revoked
// group may end early, for all of its sessions are gone. Several may drain a group together.
func (g *Group[T]) Drain(visit func(n *Node[T])) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.next.Load()
	if n == nil || !g.revoked.Load() {
		return false
	}
	older := n.next.Load()
	g.next.Store(older)
	if older == nil {
		g.prev = nil
	} else {
		older.prev = nil
	}
	g.mu.count--
	n.prev = n
	n.next.Store(nil)
	visit(n)
	return true
}

// cut makes an unlinked node lead nowhere. No walk is under way that could come to it: a plain store,
// for an atomic one costs as much as a mutex.
func (n *Node[T]) cut() { *(**Node[T])(unsafe.Pointer(&n.next)) = nil }

// lateNodes are unlinked nodes that wait for the end of all walks. The pointers are weak, so that
// a walk that takes long, or is never ended, keeps none of them alive.
type lateNodes[T any] struct{ nodes []weak.Pointer[Node[T]] }

// add notes a node. It forgets those that are garbage before it takes more memory.
func (l *lateNodes[T]) add(n *Node[T]) {
	if len(l.nodes) == cap(l.nodes) {
		kept := l.nodes[:0]
		for _, w := range l.nodes {
			if w.Value() != nil {
				kept = append(kept, w)
			}
		}
		l.nodes = kept
		if len(kept) > cap(kept)/2 {
			l.nodes = append(make([]weak.Pointer[Node[T]], 0, 2*cap(kept)), kept...)
		}
	}
	l.nodes = append(l.nodes, weak.Make(n))
}

// retire cuts the links of all nodes.
func (l *lateNodes[T]) retire() {
	if l == nil {
		return
	}
	for _, w := range l.nodes {
		if n := w.Value(); n != nil {
			n.cut()
		}
	}
}
