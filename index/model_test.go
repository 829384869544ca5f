package index

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// partials has one key that is stored inline, one that is not, and two in between.
var partials = []string{"", "a", "host-12.example.org:443", "a key that is too long for the group to hold inline"}

// model is the index as its doc comments promise it: a map of slices. Items count up, so
// every list is strictly descending.
type model struct {
	index   *Index[int]
	digest  func(partial string) uint64
	items   map[string][]int // newest first
	nodes   []*Node[int]     // by item, all that ever were
	frozen  []frozen
	walkers []*walker
}

// frozen is a revoked group as it was then.
type frozen struct {
	group *Group[int]
	items []int
}

// A walker is a reader in the middle of a walk.
type walker struct {
	at   *Node[int]
	seen []int
	must []int // linked since the walk began, and not yet seen
}

func (m *model) fresh() *Node[int] {
	n := &Node[int]{Item: len(m.nodes)}
	m.nodes = append(m.nodes, n)
	return n
}

// forget takes an item out of the model: it was unlinked.
func (m *model) forget(partial string, item int) {
	is := func(i int) bool { return i == item }
	m.items[partial] = slices.DeleteFunc(m.items[partial], is)
	if len(m.items[partial]) == 0 {
		delete(m.items, partial)
	}
	for _, w := range m.walkers {
		w.must = slices.DeleteFunc(w.must, is)
	}
}

func (m *model) push(t *rapid.T) {
	partial := drawPartial(t)
	n := m.fresh()
	g := m.index.Lock(m.digest(partial), partial)
	g.PushNewest(n)
	if n.Group() != g || g.Newest() != n {
		t.Fatalf("after PushNewest the node's group is %p and the newest %p; want %p, %p", n.Group(), g.Newest(), g, n)
	}
	m.index.Unlock(g)
	m.items[partial] = slices.Insert(m.items[partial], 0, n.Item)
}

// linked reports whether an item is linked in a group that is not revoked.
func (m *model) linked(item int) bool {
	return slices.Contains(m.items[m.nodes[item].Group().Partial()], item)
}

func (m *model) remove(t *rapid.T, item int) {
	n, want := m.nodes[item], m.linked(item)
	if got := remove(m.index, n); got != want {
		t.Fatalf("Remove(node %d) = %v; want %v", item, got, want)
	}
	if want {
		m.forget(n.Group().Partial(), item)
	}
}

// replace does what an update of a session does, whatever became of the old node.
func (m *model) replace(t *rapid.T, item int) {
	old, n, want := m.nodes[item], m.fresh(), m.linked(item)
	partial := old.Group().Partial()
	g := lockForUpdate(m.index, old)
	if g.Partial() != partial || g.Revoked() || want && g != old.Group() {
		t.Fatalf("node %d is replaced in group %q, revoked: %v; want the mapped group of %q", item, g.Partial(), g.Revoked(), partial)
	}
	g.PushNewest(n)
	if got := g.Unlink(old); got != want {
		t.Fatalf("Unlink(node %d) = %v; want %v", item, got, want)
	}
	m.index.Unlock(g)
	if want {
		m.forget(partial, item)
	}
	m.items[partial] = slices.Insert(m.items[partial], 0, n.Item)
}

func (m *model) revoke(t *rapid.T) {
	partial := drawPartial(t)
	want := m.items[partial]
	g := revoke(m.index, m.digest(partial), partial)
	if (g != nil) != (want != nil) || g != nil && !g.Revoked() {
		t.Fatalf("Revoke(%q) = %p; it has the items %v", partial, g, want)
	}
	if g != nil {
		delete(m.items, partial) // walkers stay: the list is frozen, they must see all of it
		m.frozen = append(m.frozen, frozen{g, want})
	}
}

// startWalk sets a reader on the newest node, or anywhere else in the list.
func (m *model) startWalk(t *rapid.T) {
	partial := drawPartial(t)
	items := m.items[partial]
	if len(items) == 0 {
		t.Skip("nothing to walk")
	}
	skip := rapid.IntRange(0, len(items)-1).Draw(t, "skip")
	n := m.index.Find(m.digest(partial), partial).Newest()
	for range skip {
		n = n.Next()
	}
	m.walkers = append(m.walkers, &walker{at: n, must: slices.Clone(items[skip:])})
}

func (m *model) drawWalker(t *rapid.T) *walker {
	if len(m.walkers) == 0 {
		t.Skip("nobody walks")
	}
	return rapid.SampledFrom(m.walkers).Draw(t, "walker")
}

// step moves one reader; at the end of its walk it must have seen all it had to, once.
func (m *model) step(t *rapid.T) {
	w := m.drawWalker(t)
	item := w.at.Item
	if len(w.seen) > 0 && item >= w.seen[len(w.seen)-1] {
		t.Fatalf("a walk saw %d after %v; want strictly older ones", item, w.seen)
	}
	w.seen = append(w.seen, item)
	w.must = slices.DeleteFunc(w.must, func(i int) bool { return i == item })
	w.at = w.at.Next()
	if w.at != nil {
		return
	}
	if len(w.must) > 0 {
		t.Fatalf("a walk saw %v and missed %v, linked throughout", w.seen, w.must)
	}
	m.walkers = slices.DeleteFunc(m.walkers, func(o *walker) bool { return o == w })
}

func (m *model) check(t *rapid.T) {
	for _, partial := range partials {
		want := m.items[partial]
		wantItems(t, m.index, m.digest(partial), partial, want...)
		g := m.index.LockExisting(m.digest(partial), partial)
		if (g != nil) != (len(want) > 0) {
			t.Fatalf("LockExisting(%q) = %p; want a group only if there are items: %v", partial, g, want)
		}
		if g == nil {
			continue
		}
		if g.Len() != len(want) || g.Oldest() != m.nodes[want[len(want)-1]] || g.Newest() != m.nodes[want[0]] {
			t.Fatalf("group %q: Len() = %d, or Oldest or Newest is wrong; want %v", partial, g.Len(), want)
		}
		m.index.Unlock(g)
	}
	if got := m.index.Len(); got != len(m.items) {
		t.Fatalf("Len() = %d; want %d", got, len(m.items))
	}
	all := map[string][]int{}
	for g := range m.index.All {
		if all[g.Partial()] != nil {
			t.Fatalf("All yields %q twice", g.Partial())
		}
		all[g.Partial()] = walk(g)
	}
	if !maps.EqualFunc(all, m.items, slices.Equal) {
		t.Fatalf("All yields %v; want %v", all, m.items)
	}
	for _, f := range m.frozen {
		if got := walk(f.group); !slices.Equal(got, f.items) || !f.group.Revoked() {
			t.Fatalf("a revoked group links %v, Revoked() = %v; want %v, true", got, f.group.Revoked(), f.items)
		}
	}
	wantInvariants(t, m.index)
}

func drawPartial(t *rapid.T) string { return rapid.SampledFrom(partials).Draw(t, "partial") }

// drawItem draws any item there ever was: linked, unlinked or revoked.
func (m *model) drawItem(t *rapid.T) int {
	if len(m.nodes) == 0 {
		t.Skip("no node yet")
	}
	return rapid.IntRange(0, len(m.nodes)-1).Draw(t, "item")
}

// drawLinked draws a linked item: the newest, the oldest, or one in between.
func (m *model) drawLinked(t *rapid.T) int {
	items := m.items[drawPartial(t)]
	if len(items) == 0 {
		t.Skip("an empty group")
	}
	return items[rapid.SampledFrom([]int{0, len(items) / 2, len(items) - 1}).Draw(t, "at")]
}

func TestTheIndexDoesWhatAMapOfSlicesWouldDo(t *testing.T) {
	good := func(partial string) uint64 {
		digest := uint64(len(partial))
		for _, b := range []byte(partial) {
			digest = mix(digest ^ uint64(b))
		}
		return digest
	}
	for _, c := range []struct {
		name   string
		digest func(string) uint64
	}{
		{"good digest", good},
		{"constant digest", func(string) uint64 { return 0 }},
		{"digest of one low bit", func(partial string) uint64 { return good(partial) & 1 }},
		{"digest of one high bit", func(partial string) uint64 { return good(partial) &^ (1<<63 - 1) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				groups := rapid.SampledFrom([]int{1, 20480}).Draw(t, "groups")
				m := &model{index: New[int](groups), digest: c.digest, items: map[string][]int{}}
				t.Repeat(map[string]func(*rapid.T){
					"push":           m.push,
					"push more":      m.push,
					"remove":         func(t *rapid.T) { m.remove(t, m.drawLinked(t)) },
					"remove any":     func(t *rapid.T) { m.remove(t, m.drawItem(t)) },
					"remove walked":  func(t *rapid.T) { m.remove(t, m.drawWalker(t).at.Item) },
					"replace":        func(t *rapid.T) { m.replace(t, m.drawLinked(t)) },
					"replace any":    func(t *rapid.T) { m.replace(t, m.drawItem(t)) },
					"replace walked": func(t *rapid.T) { m.replace(t, m.drawWalker(t).at.Item) },
					"revoke":         m.revoke,
					"lock only": func(t *rapid.T) {
						partial := drawPartial(t)
						m.index.Unlock(m.index.Lock(m.digest(partial), partial))
					},
					"start walk": m.startWalk,
					"step":       m.step,
					"step again": m.step,
					"":           m.check,
				})
				for len(m.walkers) > 0 {
					m.step(t)
				}
			})
		})
	}
}
