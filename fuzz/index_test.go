package fuzz

import (
	"hash/maphash"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/index"
)

type node = index.Node[int]

// An indexRun is an index beside its model: numbers by partial key, newest first. A node carries
// the number of its link, so a list newest first is a list of falling numbers.
type indexRun struct {
	*testing.T
	index   *index.Index[int]
	digest  func(partial string) uint64
	model   map[string][]int
	nodes   map[int]*node // every node ever linked
	serial  int
	walks   []*walk
	revoked []frozen
}

// A walk is a reader under way: it stands on a node while others change the list.
type walk struct {
	at      *node
	seen    []int
	present []int // what was linked when it began
	group   *index.Group[int]
}

// A frozen group was revoked and must keep its list.
type frozen struct {
	group *index.Group[int]
	list  []int
}

// The operations, in an input's first byte of two: kind, then partial key and a choice of node.
const (
	indexLink = iota
	indexReplace
	indexRemove
	indexRevoke
	indexPopOldest
	indexWalk
	indexStep
	indexLockMissing
	indexReplaceMoved
	indexKinds
)

var (
	seed     = maphash.MakeSeed()
	partials = []string{"", "a", "ab", "a\x00", "\x00", "host:443", string(make([]byte, 32)), string(make([]byte, 33))}
	digests  = []func(string) uint64{
		func(p string) uint64 { return maphash.String(seed, p) },
		func(string) uint64 { return 0 }, // all collide
		func(p string) uint64 { return uint64(len(p)%2) << 63 },
	}
)

// link makes a node the newest of its partial key.
func (r *indexRun) link(partial string) {
	g := r.index.Lock(r.digest(partial), partial)
	r.push(g, partial)
	r.index.Unlock(g)
}

func (r *indexRun) push(g *index.Group[int], partial string) {
	if g.Revoked() || g.Partial() != partial || g.Digest() != r.digest(partial) {
		r.Fatalf("Lock(%q) is a group of %q, revoked %v", partial, g.Partial(), g.Revoked())
	}
	r.serial++
	n := &node{Item: r.serial}
	g.PushNewest(n)
	r.nodes[r.serial] = n
	r.model[partial] = slices.Insert(r.model[partial], 0, r.serial)
}

// replace is an Update of an existing key: the old node goes, a new one comes, in one section.
func (r *indexRun) replace(partial string, pick int) {
	list := r.model[partial]
	if len(list) == 0 {
		return
	}
	old := r.nodes[list[pick%len(list)]]
	g := r.index.LockOf(old)
	r.push(g, partial)
	if !g.Unlink(old) || g.Unlink(old) {
		r.Fatalf("Unlink of a linked node must be true once")
	}
	r.drop(partial, old.Item)
	r.index.Unlock(g)
}

// replaceMoved takes any node ever linked: its group may be revoked or empty by now, and the new
// node then goes into the group that the partial key has today.
func (r *indexRun) replaceMoved(pick int) {
	if r.serial == 0 {
		return
	}
	old := r.nodes[1+pick%r.serial]
	partial := old.Group().Partial()
	g := r.index.LockOf(old)
	if g.Revoked() || g.Len() == 0 { // it has left the map
		r.index.Unlock(g)
		g = r.index.Lock(r.digest(partial), partial)
	}
	r.push(g, partial)
	linked := slices.Contains(r.model[partial], old.Item)
	if got := g.Unlink(old); got != linked {
		r.Fatalf("Unlink of node %d in %q = %v; want %v", old.Item, partial, got, linked)
	}
	r.drop(partial, old.Item)
	r.index.Unlock(g)
}

func (r *indexRun) drop(partial string, item int) {
	r.model[partial] = slices.DeleteFunc(r.model[partial], func(i int) bool { return i == item })
	if len(r.model[partial]) == 0 {
		delete(r.model, partial)
	}
}

// remove takes any node ever linked, most of them gone already.
func (r *indexRun) remove(pick int) {
	if r.serial == 0 {
		return
	}
	n := r.nodes[1+pick%r.serial]
	partial := n.Group().Partial()
	want := slices.Contains(r.model[partial], n.Item)
	g := r.index.LockOf(n)
	if got := g.Unlink(n); got != want {
		r.Fatalf("Unlink of node %d in %q = %v; want %v", n.Item, partial, got, want)
	}
	r.index.Unlock(g)
	r.drop(partial, n.Item)
}

func (r *indexRun) revoke(partial string) {
	before := r.index.Find(r.digest(partial), partial)
	g := r.index.LockExisting(r.digest(partial), partial)
	list := r.model[partial]
	delete(r.model, partial)
	if (g == nil) != (len(list) == 0) || g != before {
		r.Fatalf("LockExisting(%q) returns a group: %v; want %v", partial, g != nil, len(list) > 0)
	}
	if g != nil {
		r.index.Revoke(g)
		r.revoked = append(r.revoked, frozen{g, list})
	}
}

func (r *indexRun) popOldest(partial string) {
	g := r.index.LockExisting(r.digest(partial), partial)
	list := r.model[partial]
	if (g == nil) != (len(list) == 0) {
		r.Fatalf("LockExisting(%q) returns a group: %v; want %v", partial, g != nil, len(list) > 0)
	}
	if g == nil {
		return
	}
	oldest := g.Oldest()
	if g.Len() != len(list) || oldest == nil || oldest.Item != list[len(list)-1] {
		r.Fatalf("Len = %d, Oldest = %v; want %d, %d", g.Len(), oldest, len(list), list[len(list)-1])
	}
	g.Unlink(oldest)
	r.drop(partial, oldest.Item)
	r.index.Unlock(g)
}

func (r *indexRun) walk(partial string) {
	if g := r.index.Find(r.digest(partial), partial); g != nil {
		r.walks = append(r.walks, &walk{at: g.Newest(), present: slices.Clone(r.model[partial]), group: g})
	}
}

// step moves one walk on; at its end it must have seen all that was linked throughout.
func (r *indexRun) step(pick int) {
	if len(r.walks) == 0 {
		return
	}
	i := pick % len(r.walks)
	w := r.walks[i]
	if w.at != nil {
		if n := len(w.seen); n > 0 && w.seen[n-1] <= w.at.Item {
			r.Fatalf("a walk goes from node %d to %d, which is not older", w.seen[n-1], w.at.Item)
		}
		w.seen = append(w.seen, w.at.Item)
		w.at = w.at.Next()
		return
	}
	r.walks = slices.Delete(r.walks, i, i+1)
	still := r.model[w.group.Partial()]
	for _, f := range r.revoked {
		if f.group == w.group {
			still = f.list
		}
	}
	for _, item := range w.present {
		if slices.Contains(still, item) && !slices.Contains(w.seen, item) {
			r.Fatalf("a walk saw %v; it missed node %d, which is linked throughout", w.seen, item)
		}
	}
}

func listed(g *index.Group[int]) []int {
	var list []int
	for n := g.Newest(); n != nil && len(list) <= 4*maxOps; n = n.Next() {
		list = append(list, n.Item)
	}
	return list
}

// check compares everything that can be read.
func (r *indexRun) check() {
	if got := r.index.Len(); got != len(r.model) {
		r.Fatalf("Len = %d; want %d", got, len(r.model))
	}
	for _, partial := range partials {
		g := r.index.Find(r.digest(partial), partial)
		if g == nil {
			if len(r.model[partial]) > 0 {
				r.Fatalf("Find(%q) is nil; want %v", partial, r.model[partial])
			}
			continue
		}
		if got := listed(g); !slices.Equal(got, r.model[partial]) || g.Revoked() {
			r.Fatalf("%q has %v, revoked %v; want %v", partial, got, g.Revoked(), r.model[partial])
		}
	}
	for _, f := range r.revoked {
		if got := listed(f.group); !slices.Equal(got, f.list) || !f.group.Revoked() {
			r.Fatalf("the revoked group of %q has %v; want %v, frozen", f.group.Partial(), got, f.list)
		}
	}
	groups := 0
	r.index.All(func(g *index.Group[int]) bool {
		groups++
		return r.index.Find(g.Digest(), g.Partial()) == g
	})
	if groups != len(r.model) {
		r.Fatalf("All yields %d groups that Find finds; want %d", groups, len(r.model))
	}
}

func (r *indexRun) apply(kind, choice byte) {
	partial, pick := partials[choice%8], int(choice)
	switch kind % indexKinds {
	case indexLink:
		r.link(partial)
	case indexReplace:
		r.replace(partial, pick/8)
	case indexRemove:
		r.remove(pick)
	case indexRevoke:
		r.revoke(partial)
	case indexPopOldest:
		r.popOldest(partial)
	case indexWalk:
		r.walk(partial)
	case indexStep:
		r.step(pick)
	case indexLockMissing: // a group that gets no node leaves the map again
		r.index.Unlock(r.index.Lock(r.digest(partial), partial))
	case indexReplaceMoved:
		r.replaceMoved(pick)
	}
	r.check()
}

// FuzzIndex checks index against a map of slices: each partial key lists its nodes newest first, an
// empty group is gone, a revoked one is frozen and a new one takes its place, Unlink says truly
// whether it unlinked, and a reader that stands on an unlinked node still meets all that is linked
// throughout its walk.
//
// An input is one byte that chooses the digests (good, all equal, two values) and two for each
// operation.
//
// To search: go test ./fuzz -run '^$' -fuzz '^FuzzIndex$'. To repeat: go test ./fuzz -run FuzzIndex/NAME.
func FuzzIndex(f *testing.F) {
	for _, seed := range indexSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		groups := []int{0, 1, 10_000}[data[0]/4%3]
		r := &indexRun{
			T: t, index: index.New[int](groups), digest: digests[int(data[0])%len(digests)],
			model: map[string][]int{}, nodes: map[int]*node{},
		}
		for data = data[1:min(len(data), 1+2*maxOps)]; len(data) >= 2; data = data[2:] {
			r.apply(data[0], data[1])
		}
		for len(r.walks) > 0 {
			r.step(0)
		}
	})
}

// indexSeeds are the bugs that other indexes had (research on caches, 3.1), under all digests.
func indexSeeds() [][]byte {
	var seeds [][]byte
	for first := range byte(6) {
		for _, ops := range [][]byte{
			// the old one's removal must not take the new one
			{
				indexLink, 1, indexLink, 1, indexReplace, 9, indexRemove, 0, indexRemove, 1,
			},
			// revoked, back, removed
			{
				indexLink, 1, indexLink, 2, indexRevoke, 1, indexLink, 1, indexRemove, 0,
				indexRemove, 2, indexRemove, 2,
			},
			// emptied, back
			{
				indexLink, 1, indexRemove, 0, indexLink, 1, indexRemove, 0, indexReplaceMoved, 0,
				indexReplaceMoved, 1,
			},
			{
				indexLink, 1, indexLink, 1, indexLink, 1, indexWalk, 1, indexStep, 0, indexRemove, 2,
				indexRemove, 1, indexLink, 1, indexStep, 0, indexStep, 0, indexStep, 0, indexStep, 0,
			},
			{
				indexLink, 1, indexLink, 1, indexWalk, 1, indexRevoke, 1, indexStep, 0, indexLink, 1,
				indexStep, 0, indexStep, 0, indexRemove, 0,
			},
			{
				indexLink, 6, indexLink, 7, indexLink, 0, indexLink, 3, indexLink, 4, indexPopOldest, 6,
				indexPopOldest, 7, indexPopOldest, 6, indexLockMissing, 5, indexLockMissing, 0,
			},
			{
				indexLink, 1, indexLink, 1, indexLink, 1, indexPopOldest, 1, indexReplace, 1,
				indexPopOldest, 1, indexPopOldest, 1, indexPopOldest, 1,
			},
		} {
			seeds = append(seeds, append([]byte{first}, ops...))
		}
	}
	return seeds
}
