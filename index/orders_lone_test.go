//go:build sessioncache_orders

package index

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// A loneScene is an index with lone nodes in a run.
type loneScene struct {
	*Index[keyedItem]
	run *orders.Run
}

type keyedItem struct {
	partial string
	id      int
}

func newLoneScene(r *orders.Run) *loneScene {
	s := &loneScene{NewLone(1, 1, LoneKeys[keyedItem]{
		Partial: func(n *Node[keyedItem]) string { return n.Item.partial },
		Digest:  func(*Node[keyedItem]) uint64 { return digest },
	}), r}
	r.AtRest(func() error {
		heads := 0
		for range s.Walks() {
			heads++
		}
		if n := s.Len(); n != heads {
			return fmt.Errorf("%d partial keys are counted, %d mapped", n, heads)
		}
		return nil
	})
	return s
}

// put links a node as Update does.
func (s *loneScene) put(partial string, id int) *Node[keyedItem] {
	n := &Node[keyedItem]{Item: keyedItem{partial, id}}
	h := s.Hold(digest, partial)
	h.PushNewest(n)
	h.Release()
	return n
}

// end unlinks a node as its removal does.
func (s *loneScene) end(n *Node[keyedItem]) bool {
	h := s.HoldOf(n)
	defer h.Release()
	return h.Unlink(n)
}

// replace puts a node in the place of one, unless that is not linked any more.
func (s *loneScene) replace(old *Node[keyedItem], id int) {
	n := &Node[keyedItem]{Item: keyedItem{old.Item.partial, id}}
	h := s.HoldOf(old)
	defer h.Release()
	if !h.Revoked() && old.prev != old {
		h.Replace(old, n)
	}
}

// ids walks a partial key as SelectSession does.
func (s *loneScene) ids(partial string) (ids []int) {
	w := s.Walk(digest, partial)
	defer w.End()
	for n := w.Newest(); n != nil; n = w.Next(n) {
		if n.Item.partial != partial {
			s.run.Failf("a walk of %q met a node of %q", partial, n.Item.partial)
		}
		ids = append(ids, n.Item.id)
	}
	return ids
}

// revoke revokes a partial key as DeletePartial does, and drains it.
func (s *loneScene) revoke(partial string) (swept []int) {
	h, ok := s.HoldExisting(digest, partial)
	if !ok {
		return nil
	}
	g := h.Group()
	s.Revoke(g)
	for g.Drain(func(n *Node[keyedItem]) { swept = append(swept, n.Item.id) }) {
	}
	return swept
}

// A lone node gets company, goes, is replaced or revoked, each while another call does one of these, and a third walks: a node
// that stays is found, and one that was there is swept or found or unlinked, once.
func TestOrdersALoneNodeMeetsAnother(t *testing.T) {
	calls := map[string]func(s *loneScene, lone *Node[keyedItem], swept *[]int, id int){
		"links":    func(s *loneScene, _ *Node[keyedItem], _ *[]int, id int) { s.put("p", id) },
		"ends":     func(s *loneScene, lone *Node[keyedItem], _ *[]int, _ int) { s.end(lone) },
		"replaces": func(s *loneScene, lone *Node[keyedItem], _ *[]int, id int) { s.replace(lone, id) },
		"revokes":  func(s *loneScene, _ *Node[keyedItem], swept *[]int, _ int) { *swept = append(*swept, s.revoke("p")...) },
	}
	names := []string{"links", "ends", "replaces", "revokes"}
	for i, one := range names {
		for _, other := range names[i:] {
			t.Run(one+" and "+other, func(t *testing.T) {
				orders.All(t, func(r *orders.Run) {
					s := newLoneScene(r)
					s.put("q", 9)
					lone := s.put("p", 1)
					var swept [2][]int
					r.Go(one, func() { calls[one](s, lone, &swept[0], 2) })
					r.Go(other, func() { calls[other](s, lone, &swept[1], 3) })
					r.Go("walks", func() {
						ids := s.ids("p")
						if len(ids) == 0 && one == "links" && other != "ends" && other != "revokes" {
							r.Failf("a walk finds nothing, and there is a session all along")
						}
						if len(s.ids("q")) != 1 {
							r.Failf("a node beside is not found")
						}
					})
					r.AtRest(func() error {
						left := append(append(s.ids("p"), swept[0]...), swept[1]...)
						slices.Sort(left)
						if twice := slices.Compact(slices.Clone(left)); len(twice) != len(left) {
							return fmt.Errorf("a node was left and swept, or twice either: %v", left)
						}
						if one == "links" && !slices.Contains(left, 2) {
							return fmt.Errorf("what was linked is neither there nor swept: %v", left)
						}
						if one != "ends" && other != "ends" && one != "replaces" && other != "replaces" && !slices.Contains(left, 1) {
							return fmt.Errorf("what was there is neither there nor swept: %v", left)
						}
						return nil
					})
				})
			})
		}
	}
}
