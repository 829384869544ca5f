//go:build sessioncache_orders

package index

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// retire unlinks a node and retires it, as its removal does.
func (s *scene) retire(n *Node[int]) {
	g := s.LockOf(n)
	if g.Unlink(n) {
		g.Retire(n)
	}
	s.Unlock(g)
}

// walk walks a group's nodes as SelectSession does where nodes are retired.
func (s *scene) walk(g *Group[int]) (items []int) {
	g.Enter()
	defer g.Leave()
	for n := g.Newest(); n != nil; n = n.Next() {
		items = append(items, n.Item)
	}
	return items
}

// retired checks at rest that unlinked nodes lead nowhere.
func retired(nodes ...*Node[int]) error {
	for _, n := range nodes {
		if next := n.Next(); next != nil {
			return fmt.Errorf("the retired node %d leads to %d still", n.Item, next.Item)
		}
	}
	return nil
}

// A walk comes to whatever stays, though what it stands on is unlinked and retired meanwhile; and when all have
// left, every retired node leads nowhere.
func TestOrdersRetiredNodesMeetWalks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		walks []int // of each thread
		goes  int   // nodes; the newest
	}{{"one walk, two nodes", []int{1}, 2}, {"two walks, one node", []int{1, 1}, 1}, {"walk after walk, two nodes", []int{2}, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r)
				s.link("p", 1)
				var gone []*Node[int]
				for i := range tt.goes {
					gone = append(gone, s.link("p", 2+i))
				}
				g := s.Find(digest, "p")
				r.Go("retires", func() {
					for _, n := range gone {
						s.retire(n)
					}
				})
				for _, n := range tt.walks {
					r.Go("walks", func() {
						for range n {
							if items := s.walk(g); len(items) == 0 || items[len(items)-1] != 1 {
								r.Failf("a walk saw %v; want 1 at its end", items)
							}
						}
					})
				}
				r.AtRest(func() error { return retired(gone...) })
			})
		})
	}
}

// Two who retire at once, one of them under a group of its own, and a walk that ends.
func TestOrdersTwoRetireDuringAWalk(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		s.link("p", 1)
		one, two := s.link("p", 2), s.link("p", 3)
		g := s.Find(digest, "p")
		r.Go("retires 2", func() { s.retire(one) })
		r.Go("retires 3", func() { s.retire(two) })
		r.Go("walks", func() {
			if items := s.walk(g); items[len(items)-1] != 1 {
				r.Failf("a walk saw %v; want 1 at its end", items)
			}
		})
		r.AtRest(func() error { return retired(one, two) })
	})
}

// Several drain a revoked group together, beside a walk: each node goes to one of them, and leads nowhere then.
func TestOrdersARevokedGroupIsDrained(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		nodes := []*Node[int]{s.link("p", 1), s.link("p", 2), s.link("p", 3)}
		g := s.LockExisting(digest, "p")
		s.Revoke(g)
		drained := map[int]int{}
		for range 2 {
			r.Go("drains", func() {
				for g.Drain(func(n *Node[int]) { drained[n.Item]++ }) {
				}
			})
		}
		r.Go("walks", func() { s.walk(g) })
		r.AtRest(func() error {
			if len(drained) != 3 || drained[1] != 1 || drained[2] != 1 || drained[3] != 1 || g.Len() != 0 || g.Newest() != nil || g.Oldest() != nil {
				return fmt.Errorf("drained %v, %d nodes are left; want 1, 2 and 3 once", drained, g.Len())
			}
			return retired(nodes...)
		})
	})
}
