//go:build sessioncache_orders

package index

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// A scene is an index in a run. Every group and every node has the same digest, and so the same bucket.
type scene struct {
	*Index[int]
	run *orders.Run
}

const digest = 1

func newScene(r *orders.Run) *scene {
	s := &scene{New[int](1), r}
	r.AtRest(s.check)
	return s
}

// link links a new node as Update does and returns it.
func (s *scene) link(partial string, item int) *Node[int] {
	n := &Node[int]{Item: item}
	g := s.Lock(digest, partial)
	if g.Partial() != partial {
		s.run.Failf("Lock(%q) returned the group of %q", partial, g.Partial())
	}
	g.PushNewest(n)
	s.Unlock(g)
	return n
}

// unlink unlinks a node as its removal does.
func (s *scene) unlink(n *Node[int]) {
	g := s.LockOf(n)
	g.Unlink(n)
	s.Unlock(g)
}

// revoke revokes a partial key as DeletePartial does, and returns what it swept.
func (s *scene) revoke(partial string) (swept []int) {
	g := s.LockExisting(digest, partial)
	if g == nil {
		return nil
	}
	s.Revoke(g)
	for n := g.Newest(); n != nil; n = n.Next() {
		swept = append(swept, n.Item)
	}
	return swept
}

// items walks a partial key's sessions, as SelectSession does.
func (s *scene) items(partial string) (items []int) {
	g := s.Find(digest, partial)
	if g == nil {
		return nil
	}
	for n := g.Newest(); n != nil; n = n.Next() {
		if n.Group() != g {
			s.run.Failf("a walk met the node %d before it was linked whole", n.Item)
		}
		items = append(items, n.Item)
	}
	return items
}

// check holds the mapped groups against themselves at rest.
func (s *scene) check() error {
	groups := 0
	for g := range s.All {
		groups++
		count, newer := 0, (*Node[int])(nil)
		for n := g.Newest(); n != nil; newer, n = n, n.Next() {
			if count++; n.prev != newer {
				return fmt.Errorf("the node %d does not lead back", n.Item)
			}
		}
		if count == 0 || count != g.Len() || g.Oldest() != newer || !g.mu.mapped || g.Revoked() {
			return fmt.Errorf("a mapped group links %d, counts %d; mapped: %v, revoked: %v", count, g.Len(), g.mu.mapped, g.Revoked())
		}
		if found := s.Find(digest, g.Partial()); found != g {
			return fmt.Errorf("two groups are mapped for %q, or one is not found", g.Partial())
		}
	}
	if n := s.Len(); n != groups {
		return fmt.Errorf("%d groups are counted, %d mapped", n, groups)
	}
	return nil
}

// A group ends with its last node while another is linked under its partial key: that one is found.
func TestOrdersAGroupEndsAndBegins(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		last := s.link("p", 1)
		r.Go("ends", func() { s.unlink(last) })
		for item := range 2 {
			r.Go("links", func() {
				s.link("p", 10+item)
				if got := s.items("p"); len(got) == 0 {
					r.Failf("a node that stays is not found: %v", got)
				}
			})
		}
		r.AtRest(func() error {
			if got := s.items("p"); len(got) != 2 {
				return fmt.Errorf("the walk finds %v; want 10 and 11", got)
			}
			return nil
		})
	})
}

// Two make the same group at once: they share it, whatever a third does with the map meanwhile.
func TestOrdersTwoMakeOneGroup(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		r.Go("links", func() { s.link("p", 1) })
		r.Go("links and ends", func() { s.unlink(s.link("p", 2)) })
		r.Go("links beside it", func() { s.link("q", 3) })
		r.AtRest(func() error {
			if p, q := s.items("p"), s.items("q"); len(p) != 1 || p[0] != 1 || len(q) != 1 {
				return fmt.Errorf("the walks find %v and %v; want 1 and 3", p, q)
			}
			return nil
		})
	})
}

// Whatever is linked when a group is revoked is swept, and nothing that is linked afterwards; no reader sees
// a new node beside an old one that is not revoked.
func TestOrdersRevokeMeetsALinkAndAReader(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		old := s.link("p", 1)
		var swept []int
		r.Go("revokes", func() { swept = s.revoke("p") })
		r.Go("links", func() { s.link("p", 2) })
		r.Go("reads", func() {
			for _, item := range s.items("p") {
				if g := old.Group(); item == 2 && s.Find(digest, "p") != g && !g.Revoked() {
					r.Failf("a new session is seen, and the old ones are not revoked")
				}
			}
		})
		r.AtRest(func() error {
			got := s.items("p")
			if both := append(got, swept...); len(both) != 2 || len(swept) == 0 || swept[len(swept)-1] != 1 {
				return fmt.Errorf("swept %v, left %v; want each node once, and 1 swept", swept, got)
			}
			return nil
		})
	})
}

// A revoked group stays as it was, also for who waits for its lock to unlink.
func TestOrdersRevokeMeetsAnUnlink(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		one, two := s.link("p", 1), s.link("p", 2)
		_ = two
		unlinked := false
		var swept []int
		r.Go("revokes", func() { swept = s.revoke("p") })
		r.Go("unlinks", func() {
			g := s.LockOf(one)
			unlinked = g.Unlink(one)
			s.Unlock(g)
		})
		r.AtRest(func() error {
			if want := 2; len(swept) != want && !(unlinked && len(swept) == 1) || unlinked && len(swept) == 2 {
				return fmt.Errorf("swept %v; was 1 unlinked before: %v", swept, unlinked)
			}
			return nil
		})
	})
}

// A walk sees every node that is linked throughout, once, whatever other nodes come, go or are replaced.
func TestOrdersAWalkSeesWhatStays(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		stays := s.link("p", 1)
		goes := s.link("p", 2)
		_ = stays
		r.Go("replaces", func() {
			g := s.LockOf(goes)
			g.Replace(goes, &Node[int]{Item: 3})
			s.Unlock(g)
			s.link("p", 4)
		})
		for range 2 {
			r.Go("walks", func() {
				seen := map[int]int{}
				for _, item := range s.items("p") {
					seen[item]++
				}
				if seen[1] != 1 || seen[2] > 1 || seen[3] > 1 || seen[4] > 1 {
					r.Failf("a walk saw %v; want 1 once", seen)
				}
			})
		}
	})
}

// A map grows while its groups are looked for.
func TestOrdersAMapGrows(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r)
		for i := range smallGroups {
			s.link(fmt.Sprint(i), i)
		}
		r.Go("grows", func() { s.link("one more", 100) })
		r.Go("links", func() { s.link("0", 200) })
		r.Go("reads", func() {
			if len(s.items("1")) != 1 {
				r.Failf("a group is not found while the map grows")
			}
		})
	})
}
