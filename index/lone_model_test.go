package index

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// An item of an index with lone nodes knows its partial key, as sessions do.
type keyed struct {
	partial string
	id      int
}

type loneNode = Node[keyed]

// newLone returns an index that hashes partial keys with a given function.
func newLone(partialKeys int, digest func(string) uint64) *Index[keyed] {
	return NewLone(partialKeys, partialKeys, LoneKeys[keyed]{
		Partial: func(n *loneNode) string { return n.Item.partial },
		Digest:  func(n *loneNode) uint64 { return digest(n.Item.partial) },
	})
}

// loneModel is what Held promises: a map of slices.
type loneModel struct {
	x      *Index[keyed]
	digest func(string) uint64
	linked map[string][]*loneNode // newest first
	all    []*loneNode            // that ever were
	frozen map[*Group[keyed]][]*loneNode
}

func (m *loneModel) fresh(partial string) *loneNode {
	n := &loneNode{Item: keyed{partial, len(m.all)}}
	m.all = append(m.all, n)
	return n
}

func (m *loneModel) hold(t *rapid.T, partial string) Held[keyed] {
	h := m.x.Hold(m.digest(partial), partial)
	m.wantHeld(t, &h, partial)
	return h
}

// wantHeld compares what a hold shows.
func (m *loneModel) wantHeld(t *rapid.T, h *Held[keyed], partial string) {
	list := m.linked[partial]
	var newest, oldest *loneNode
	if len(list) > 0 {
		newest, oldest = list[0], list[len(list)-1]
	}
	if h.Len() != len(list) || h.Newest() != newest || h.Oldest() != oldest || h.Revoked() {
		t.Fatalf("%q: Len() = %d, or Newest or Oldest is wrong, or it is revoked: %v; want %d nodes", partial, h.Len(), h.Revoked(), len(list))
	}
}

func (m *loneModel) push(t *rapid.T) {
	partial := drawPartial(t)
	n := m.fresh(partial)
	h := m.hold(t, partial)
	h.PushNewest(n)
	m.linked[partial] = slices.Insert(m.linked[partial], 0, n)
	m.wantHeld(t, &h, partial)
	h.Release()
}

func (m *loneModel) pushOldest(t *rapid.T) {
	partial := drawPartial(t)
	n := m.fresh(partial)
	h := m.hold(t, partial)
	h.PushOldest(n)
	m.linked[partial] = append(m.linked[partial], n)
	m.wantHeld(t, &h, partial)
	h.Release()
}

// drawNode draws any node there ever was, and whether it is linked.
func (m *loneModel) drawNode(t *rapid.T) (n *loneNode, linked bool) {
	if len(m.all) == 0 {
		t.Skip("no node yet")
	}
	n = rapid.SampledFrom(m.all).Draw(t, "node")
	return n, slices.Contains(m.linked[n.Item.partial], n)
}

func (m *loneModel) forget(n *loneNode) {
	list := slices.DeleteFunc(m.linked[n.Item.partial], func(o *loneNode) bool { return o == n })
	m.linked[n.Item.partial] = list
	if len(list) == 0 {
		delete(m.linked, n.Item.partial)
	}
}

func (m *loneModel) unlink(t *rapid.T) {
	n, linked := m.drawNode(t)
	h := m.x.HoldOf(n)
	if got := h.Unlink(n); got != linked {
		t.Fatalf("Unlink of node %d = %v; want %v", n.Item.id, got, linked)
	}
	h.Release()
	if linked {
		m.forget(n)
	}
}

func (m *loneModel) replace(t *rapid.T) {
	old, linked := m.drawNode(t)
	if !linked {
		t.Skip("not linked")
	}
	n := m.fresh(old.Item.partial)
	h := m.x.HoldOf(old)
	m.wantHeld(t, &h, old.Item.partial)
	h.Replace(old, n)
	m.forget(old)
	m.linked[old.Item.partial] = slices.Insert(m.linked[old.Item.partial], 0, n)
	m.wantHeld(t, &h, old.Item.partial)
	h.Release()
}

// group does to a partial key what an index without lone nodes does, and perhaps revokes it.
func (m *loneModel) group(t *rapid.T) {
	partial := drawPartial(t)
	list := m.linked[partial]
	g := m.x.LockExisting(m.digest(partial), partial)
	if (g != nil) != (len(list) > 0) {
		t.Fatalf("LockExisting(%q) = %p; want a group only if there are nodes: %d", partial, g, len(list))
	}
	switch {
	case g == nil:
	case rapid.Bool().Draw(t, "revoke"):
		m.x.Revoke(g)
		m.frozen[g] = list
		delete(m.linked, partial)
	default:
		m.x.Unlock(g)
	}
}

func nodesOf(first *loneNode, next func(*loneNode) *loneNode) (nodes []*loneNode) {
	for n := first; n != nil; n = next(n) {
		nodes = append(nodes, n)
	}
	return nodes
}

func (m *loneModel) check(t *rapid.T) {
	for _, partial := range partials {
		w := m.x.Walk(m.digest(partial), partial)
		if got := nodesOf(w.Newest(), w.Next); !slices.Equal(got, m.linked[partial]) {
			t.Fatalf("a walk of %q comes to %d nodes; want %d, newest first", partial, len(got), len(m.linked[partial]))
		}
		w.End()
	}
	heads := 0
	for w := range m.x.Walks() {
		heads++
		n := w.Newest()
		if list := m.linked[n.Item.partial]; len(list) == 0 || list[0] != n {
			t.Fatalf("Walks yields one of node %d, which is not the newest of its partial key", n.Item.id)
		}
	}
	if got := m.x.Len(); got != len(m.linked) || heads != got {
		t.Fatalf("Len() = %d, Walks yields %d; want %d", got, heads, len(m.linked))
	}
	for g, list := range m.frozen {
		if got := nodesOf(g.Newest(), (*loneNode).Next); !slices.Equal(got, list) || !g.Revoked() {
			t.Fatalf("a revoked group leads to %d nodes; want %d", len(got), len(list))
		}
	}
	wantInvariants(t, m.x)
}

func TestAnIndexWithLoneNodesDoesWhatAMapOfSlicesWouldDo(t *testing.T) {
	for name, digest := range map[string]func(string) uint64{
		"good digest":     digestOf,
		"constant digest": func(string) uint64 { return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := &loneModel{newLone(rapid.SampledFrom([]int{1, 20480}).Draw(t, "partialKeys"), digest), digest,
					map[string][]*loneNode{}, nil, map[*Group[keyed]][]*loneNode{}}
				m.x.splitRoom = smallGroups // so that maps split
				t.Repeat(map[string]func(*rapid.T){
					"push": m.push, "push oldest": m.pushOldest, "unlink": m.unlink, "unlink more": m.unlink, "replace": m.replace, "group": m.group,
					"push under new keys": m.pushMany, "": m.check,
				})
			})
		})
	}
}

// digestOf is a digest of a string that is as good as random.
func digestOf(partial string) (digest uint64) {
	for _, b := range []byte(partial) {
		digest = mix(digest ^ uint64(b))
	}
	return digest
}

// pushMany gives partial keys that are like no others a node each.
func (m *loneModel) pushMany(t *rapid.T) {
	for range 10 {
		n := m.fresh(fmt.Sprint("partial key ", len(m.all)))
		h := m.hold(t, n.Item.partial)
		h.PushNewest(n)
		m.linked[n.Item.partial] = []*loneNode{n}
		m.wantHeld(t, &h, n.Item.partial)
		h.Release()
	}
}

// A map with lone nodes grows and shrinks, and finds each by its partial key.
func TestLoneNodesAreFoundWhileTheirMapGrowsAndShrinks(t *testing.T) {
	digest := digestOf
	x := newLone(1, digest)
	const count = 4000
	var nodes []*loneNode
	for i := range count {
		n := &loneNode{Item: keyed{fmt.Sprint("host", i, "example"), i}}
		h := x.Hold(digest(n.Item.partial), n.Item.partial)
		h.PushNewest(n)
		h.Release()
		nodes = append(nodes, n)
		if i%100 == 0 {
			wantInvariants(t, x)
		}
	}
	for i, n := range nodes {
		if w := x.Walk(digest(n.Item.partial), n.Item.partial); w.Newest() != n {
			t.Fatalf("node %d is not found", i)
		}
		h := x.HoldOf(n)
		h.Unlink(n)
		h.Release()
		if i%100 == 0 {
			wantInvariants(t, x)
		}
	}
	if n := x.Len(); n != 0 {
		t.Errorf("%d partial keys are left; want none", n)
	}
}

// A walk that began at a lone node does not count in the group that the node has by then. The race detector finds a walk
// that goes on from it while it is retired.
func TestWalksOfLoneNodesMeetTheirGroups(t *testing.T) {
	digest := func(string) uint64 { return 1 }
	for i := range 2000 {
		x := newLone(1, digest)
		put := func(id int) *loneNode {
			n := &loneNode{Item: keyed{"p", id}}
			h := x.Hold(1, "p")
			h.PushNewest(n)
			h.Release()
			return n
		}
		lone := put(0)
		done := make(chan int)
		go func() {
			w := x.Walk(1, "p")
			nodes := nodesOf(w.Newest(), w.Next)
			w.End()
			done <- len(nodes)
		}()
		put(1)
		h := x.HoldOf(lone)
		h.Unlink(lone)
		h.Release()
		if n := <-done; n < 1 || n > 2 {
			t.Fatalf("walk %d came to %d nodes; want 1 or 2", i, n)
		}
	}
}

// What a partial key takes beside its nodes: nothing for one, an object of 80 bytes for more, with pointers of 64 bits.
func TestGroupsAreSmall(t *testing.T) {
	if got := unsafe.Sizeof(Group[keyed]{}); got > 80 {
		t.Errorf("a group takes %d bytes; want 80 at most", got)
	}
	if got := unsafe.Sizeof(namedGroup[keyed]{}); got > 128 {
		t.Errorf("a group with its partial key takes %d bytes; want 128 at most", got)
	}
}

// An empty group of an index with lone nodes leaves its map at once: the next session of its partial key is alone there.
func TestAPartialKeyThatWasEmptiedHasNoGroup(t *testing.T) {
	x := newLone(1, func(string) uint64 { return 1 })
	h := x.Hold(1, "p")
	one, two, three := &loneNode{Item: keyed{"p", 1}}, &loneNode{Item: keyed{"p", 2}}, &loneNode{Item: keyed{"p", 3}}
	h.PushNewest(one)
	h.PushNewest(two)
	g := h.Group()
	h.Unlink(one)
	h.Unlink(two)
	if h.Len() != 0 || h.Newest() != nil || g.mu.mapped {
		t.Errorf("%d nodes are left, or the group is mapped", h.Len())
	}
	h.PushNewest(three) // under the same hold
	h.Release()
	if w := x.Walk(1, "p"); w.Newest() != three || three.Group() != nil {
		t.Error("the next session is not alone, or is not found")
	}
	wantInvariants(t, x)
}
