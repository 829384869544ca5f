package index

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// A retiree is a walk of the random test: it has entered, stands on a node, and must still come to
// those that have been linked all along.
type retiree struct {
	at  *Node[int]
	due map[*Node[int]]bool
}

// leadsNowhere checks that unlinked nodes keep no others.
func leadsNowhere(t *testing.T, gone []*Node[int]) {
	t.Helper()
	for _, n := range gone {
		if n.Next() != nil || n.prev != n {
			t.Fatalf("node %d was retired, no walk is under way, and it leads to another", n.Item)
		}
	}
}

// Walks miss nothing that is linked throughout, whatever is retired meanwhile, and once all have left,
// retired nodes lead nowhere.
func TestRetiredNodesLeadNowhereAndWalksMissNothing(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		x := New[int](1)
		push(x, 1, "a", -1) // stays, so that the group does
		g := x.Find(1, "a")
		linked := map[*Node[int]]bool{g.Newest(): true}
		var walks []*retiree
		var gone []*Node[int]
		leave := func(i int) {
			if len(walks[i].due) > 0 {
				t.Fatalf("seed %d: a walk has missed %d nodes", seed, len(walks[i].due))
			}
			g.Leave()
			walks = append(walks[:i], walks[i+1:]...)
		}
		unlink := func(n *Node[int]) {
			delete(linked, n)
			for _, w := range walks {
				delete(w.due, n)
			}
			gone = append(gone, n)
		}
		any := func() *Node[int] {
			for n := range linked {
				if n.Item >= 0 {
					return n
				}
			}
			return nil
		}
		for item := range 200 {
			switch op := rng.IntN(10); {
			case op < 3:
				linked[push(x, 1, "a", item)[0]] = true
			case op < 5:
				if n := any(); n != nil {
					x.LockOf(n)
					if !g.Unlink(n) {
						t.Fatal("a linked node was not unlinked")
					}
					g.Retire(n)
					x.Unlock(g)
					unlink(n)
				}
			case op < 6:
				if n := any(); n != nil {
					fresh := &Node[int]{Item: item}
					x.LockOf(n)
					g.Replace(n, fresh)
					g.Retire(n)
					x.Unlock(g)
					unlink(n)
					linked[fresh] = true
				}
			case op < 7:
				g.Enter()
				w := &retiree{at: g.Newest(), due: map[*Node[int]]bool{}}
				for n := range linked {
					w.due[n] = true
				}
				walks = append(walks, w)
			case len(walks) > 0:
				i := rng.IntN(len(walks))
				w := walks[i]
				delete(w.due, w.at)
				if w.at = w.at.Next(); w.at == nil {
					leave(i)
				}
			}
			if len(walks) == 0 {
				leadsNowhere(t, gone)
			}
		}
		for len(walks) > 0 {
			w := walks[0]
			for ; w.at != nil; w.at = w.at.Next() {
				delete(w.due, w.at)
			}
			leave(0)
		}
		leadsNowhere(t, gone)
		wantInvariants(t, x)
	}
}

// The last reader leaves while a writer retires: one of the two cuts the node.
func TestTheLastWhoLeavesAndAWriterRetireAllBetweenThem(t *testing.T) {
	x := New[int](1)
	push(x, 1, "a", -1)
	g := x.Find(1, "a")
	for range 300 {
		var gone []*Node[int]
		for i := range 8 {
			gone = append(gone, push(x, 1, "a", i)[0])
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for range 4 {
					g.Enter()
					last := 0
					for n := g.Newest(); n != nil; n = n.Next() {
						last = n.Item
					}
					g.Leave()
					if last != -1 {
						t.Error("a walk ended before the oldest node, which stays")
					}
				}
			})
		}
		wg.Go(func() {
			for _, n := range gone {
				x.LockOf(n)
				g.Unlink(n)
				g.Retire(n)
				x.Unlock(g)
			}
		})
		wg.Wait()
		leadsNowhere(t, gone)
	}
	wantInvariants(t, x)
}

// What the reader that left did not see, the writer sees: it left between the writer's look at the
// walks and its note.
func TestANodeRetiredAsTheLastReaderLeavesIsCut(t *testing.T) {
	x := New[int](1)
	nodes := push(x, 1, "a", 0, 1, 2)
	g := x.Find(1, "a")
	g.Enter()
	g.Enter()
	x.LockOf(nodes[2])
	g.Unlink(nodes[2])
	g.Retire(nodes[2])
	g.Unlink(nodes[1])
	g.Retire(nodes[1])
	x.Unlock(g)
	g.Leave()
	if nodes[2].Next() != nodes[1] {
		t.Fatal("a node was cut while a walk may stand on it")
	}
	g.Leave()
	leadsNowhere(t, nodes[1:])
	if g.late.Load() != nil {
		t.Error("nodes are still noted for retirement")
	}
}

// Drain hands each node of a revoked group to one of those who drain it, cut off from the others.
func TestARevokedGroupIsDrainedNodeByNode(t *testing.T) {
	x := New[int](1)
	nodes := push(x, 1, "a", 0, 1, 2, 3)
	g := x.Find(1, "a")
	if g.Drain(func(*Node[int]) {}) {
		t.Fatal("Drain() = true for a group that is not revoked")
	}
	revoke(x, 1, "a")
	var wg sync.WaitGroup
	seen := make([]int, len(nodes)) // under the group's lock
	for range 3 {
		wg.Go(func() {
			for g.Drain(func(n *Node[int]) { seen[n.Item]++ }) {
			}
		})
	}
	wg.Wait()
	for i, n := range seen {
		if n != 1 {
			t.Errorf("node %d was drained %d times; want once", i, n)
		}
	}
	leadsNowhere(t, nodes)
	if g.Newest() != nil || g.prev != nil || g.mu.count != 0 {
		t.Error("a drained group still leads to nodes")
	}
}

// A reader is about to retire what was unlinked when another enters, and then stands on what is unlinked
// next: the first leaves that to it.
func TestAReaderThatLeavesSparesTheOneThatHasEntered(t *testing.T) {
	x := New[int](1)
	nodes := push(x, 1, "a", 0, 1, 2)
	g := x.Find(1, "a")
	g.Enter()
	x.LockOf(nodes[2])
	g.Unlink(nodes[2])
	g.Retire(nodes[2])
	done := goBlocked(t, g.Leave) // waits for the group's lock
	g.Enter()
	at := g.Newest()
	g.Unlink(at)
	g.Retire(at)
	x.Unlock(g)
	wait(t, done, "Leave")
	if at.Next() != nodes[0] {
		t.Error("a walk stands on a node that was cut; want it to lead to the oldest")
	}
	g.Leave()
	leadsNowhere(t, nodes[1:])
}
