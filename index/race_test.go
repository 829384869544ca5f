package index

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// A session of the race tests. Its number is drawn under its group's lock, so that newer
// ones of a group have higher numbers.
type session struct {
	number int64
	stays  bool         // it is not removed
	taken  atomic.Int32 // how many calls claim to have removed it
}

// storm is goroutines that do everything at once to a few groups.
type storm struct {
	t       *testing.T
	index   *Index[session]
	digest  func(group int) uint64
	numbers atomic.Int64

	mu     sync.Mutex
	pushed []*Node[session]
}

const (
	stormGroups = 4 // few, so that they are emptied and revoked all the time
	anchors     = 8 // in the group "anchored", which is never revoked
	anchored    = stormGroups
)

func (s *storm) lock(group int) *Group[session] {
	return s.index.Lock(s.digest(group), partialKey(group))
}

// pushLocked links a new session and reports a group that must not have been locked.
func (s *storm) pushLocked(g *Group[session], stays bool) *Node[session] {
	if g.Revoked() {
		s.t.Error("a locked group is revoked; want one that is mapped")
	}
	n := &Node[session]{}
	n.Item.number, n.Item.stays = s.numbers.Add(1), stays
	g.PushNewest(n)
	return n
}

// walk checks the order of one walk and calls visit with each node until it returns false.
func (s *storm) walk(g *Group[session], visit func(n *Node[session]) bool) {
	newer := int64(1 << 62)
	for n := g.Newest(); n != nil; n = n.Next() {
		if n.Item.number >= newer {
			s.t.Errorf("a walk saw session %d after %d; want newest first, none twice", n.Item.number, newer)
			return
		}
		newer = n.Item.number
		if n.Group() != g {
			s.t.Errorf("a walk of group %q came to a node of %q", g.Partial(), n.Group().Partial())
			return
		}
		if !visit(n) {
			return
		}
	}
}

// any returns a node that a walk comes by, or nil.
func (s *storm) any(rng *rand.Rand, group int) *Node[session] {
	var found *Node[session]
	if g := s.index.Find(s.digest(group), partialKey(group)); g != nil {
		stop := rng.IntN(10)
		s.walk(g, func(n *Node[session]) bool {
			if !n.Item.stays {
				found = n
			}
			stop--
			return stop >= 0
		})
	}
	return found
}

func (s *storm) writer(seed uint64, operations int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	var mine []*Node[session]
	for range operations {
		group := rng.IntN(stormGroups + 1)
		switch rng.IntN(8) {
		case 0, 1, 2:
			g := s.lock(group)
			mine = append(mine, s.pushLocked(g, false))
			s.index.Unlock(g)
		case 3:
			if n := s.any(rng, group); n != nil && remove(s.index, n) {
				n.Item.taken.Add(1)
			}
		case 4: // its own, which another may have removed
			if len(mine) > 0 {
				if n := mine[rng.IntN(len(mine))]; remove(s.index, n) {
					n.Item.taken.Add(1)
				}
			}
		case 5: // as an update
			if old := s.any(rng, group); old != nil {
				g := lockForUpdate(s.index, old)
				mine = append(mine, s.pushLocked(g, false))
				if g.Unlink(old) {
					old.Item.taken.Add(1)
				}
				s.index.Unlock(g)
			}
		case 6: // as TakeNewest, and to the last one
			if g := s.index.LockExisting(s.digest(group), partialKey(group)); g != nil {
				for n := g.Newest(); n != nil && !n.Item.stays; n = n.Next() {
					if g.Unlink(n) {
						n.Item.taken.Add(1)
					}
				}
				s.index.Unlock(g)
			}
		case 7:
			if group == anchored {
				continue
			}
			if g := revoke(s.index, s.digest(group), partialKey(group)); g != nil {
				s.walk(g, func(n *Node[session]) bool {
					n.Item.taken.Add(1)
					return true
				})
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushed = append(s.pushed, mine...)
}

// reader walks all groups to the end; in one of them it knows whom it must meet.
func (s *storm) reader(walks int) {
	for i := range walks {
		g := s.index.Find(s.digest(i%(stormGroups+1)), partialKey(i%(stormGroups+1)))
		if g == nil {
			continue
		}
		met := 0
		s.walk(g, func(n *Node[session]) bool {
			if n.Item.stays {
				met++
			}
			return true
		})
		if i%(stormGroups+1) == anchored && met != anchors {
			s.t.Errorf("a walk met %d of the %d sessions that were linked throughout", met, anchors)
			return
		}
		if i%64 == 0 {
			for g := range s.index.All {
				s.walk(g, func(*Node[session]) bool { return true })
			}
		}
	}
}

// count checks that each session was removed once or is linked, when all is quiet.
func (s *storm) count() {
	wantInvariants(s.t, s.index)
	linked := map[*Node[session]]int32{}
	groups := 0
	for g := range s.index.All {
		groups++
		s.walk(g, func(n *Node[session]) bool {
			linked[n]++
			return true
		})
	}
	for _, n := range s.pushed {
		if taken := n.Item.taken.Load(); taken+linked[n] != 1 {
			s.t.Errorf("session %d was removed %d times and is linked %d times; want one of both, once",
				n.Item.number, taken, linked[n])
		}
		delete(linked, n)
	}
	if len(linked) > 0 {
		s.t.Errorf("%d sessions are linked that nobody pushed", len(linked))
	}
	if got := s.index.Len(); got != groups {
		s.t.Errorf("Len() = %d when all is quiet; want %d", got, groups)
	}
}

func TestNoSessionIsLostOrTakenTwiceInAStorm(t *testing.T) {
	for _, c := range []struct {
		name   string
		digest func(group int) uint64
	}{
		{"good digest", func(group int) uint64 { return mix(uint64(group)) }},
		{"constant digest", func(int) uint64 { return 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &storm{t: t, index: New[session](1), digest: c.digest}
			for range anchors {
				g := s.lock(anchored)
				s.pushed = append(s.pushed, s.pushLocked(g, true), s.pushLocked(g, false))
				s.index.Unlock(g)
			}
			var all sync.WaitGroup
			for i := range uint64(4) {
				all.Go(func() { s.writer(rand.Uint64()+i, 15_000) })
			}
			for range 2 {
				all.Go(func() { s.reader(15_000) })
			}
			all.Wait()
			s.count()
		})
	}
}

// A reader of the newest node may come the instant after it is published.
func TestAReaderNeverMeetsAHalfLinkedNode(t *testing.T) {
	x := New[int](1)
	first := push(x, 1, "a", 0)[0]
	var stop atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		g := x.Find(1, "a")
		for !stop.Load() {
			n := g.Newest()
			if n.Group() != g {
				t.Errorf("node %d was met with the group %p; want %p", n.Item, n.Group(), g)
				return
			}
			if n != first && n.Next() == nil {
				t.Errorf("node %d was met with no older one; want node %d after it", n.Item, n.Item-1)
				return
			}
		}
	})
	g := x.Lock(1, "a")
	for i := range 200_000 {
		g.PushNewest(&Node[int]{Item: i + 1})
	}
	x.Unlock(g)
	stop.Store(true)
	reader.Wait()
}

// Groups come and go by the thousand, so that the maps grow and shrink under the writers.
func TestNoSessionIsLostWhileTheMapsGrowAndShrink(t *testing.T) {
	const writers, waves, width = 4, 4, 1500
	x, largest := New[int](1), 0
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for wave := range waves {
				// Two writers share each key, so that both make and empty its group.
				key := func(i int) string { return fmt.Sprintf("%d/%d/%d", w/2, wave, i) }
				var nodes []*Node[int]
				for i := range width {
					nodes = append(nodes, push(x, mix(uint64(i)), key(i), i)...)
				}
				m := x.maps[0].Load()
				m.mu.Lock()
				largest = max(largest, m.mu.room)
				m.mu.Unlock()
				for i, n := range nodes {
					if !remove(x, n) {
						t.Errorf("Remove = false; want true, nobody else removes the node")
					}
					if g := x.Find(mix(uint64(i)), key(i)); g != nil && g.Revoked() {
						t.Error("a group is revoked; nobody did that")
					}
				}
			}
		})
	}
	all.Wait()
	if got := x.Len(); got != 0 {
		t.Errorf("Len() = %d after all sessions were removed; want 0", got)
	}
	for g := range x.All {
		t.Errorf("All yields %q; want nothing", g.Partial())
	}
	if last := x.maps[0].Load(); largest < splitGroups || last.span == len(x.maps) || last.mu.room != smallGroups {
		t.Errorf("the first map had room for %d groups at most and for %d in the end, and %d of %d entries; want %d or more, %d, and a split",
			largest, last.mu.room, last.span, len(x.maps), splitGroups, smallGroups)
	}
}

// A reader finds each group that stays, also in the middle of a copy.
func TestReadersFindEveryGroupWhileTheMapGrows(t *testing.T) {
	const staying, moving, waves = 2000, 8000, 8
	x := New[int](1)
	for i := range staying {
		push(x, mix(uint64(i)), partialKey(i), i)
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !stop.Load() {
				for i := range staying {
					if got := walk(x.Find(mix(uint64(i)), partialKey(i))); len(got) != 1 || got[0] != i {
						t.Errorf("group %d has %v while others come and go; want %d", i, got, i)
						return
					}
				}
			}
		})
	}
	for range waves {
		var nodes []*Node[int]
		for i := staying; i < staying+moving; i++ {
			nodes = append(nodes, push(x, mix(uint64(i)), partialKey(i), i)...)
		}
		for _, n := range nodes {
			remove(x, n)
		}
	}
	stop.Store(true)
	readers.Wait()
	wantInvariants(t, x)
}
