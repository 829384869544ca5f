//go:build sessioncache_orders

package index

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// fullMap returns an index of one map that is full and splits with the next partial key, whose digest is its number. There
// are the partial keys 0 to smallGroups-1 in the upper half and in the lower, by turns, each with a lone node.
func fullMap(r *orders.Run) (s *loneScene, nodes []*Node[keyedItem]) {
	s = &loneScene{newIndex(1, minEntries, &LoneKeys[keyedItem]{
		Partial: func(n *Node[keyedItem]) string { return n.Item.partial },
		Digest:  func(n *Node[keyedItem]) uint64 { return turns(n.Item.id) },
	}), r}
	s.splitRoom = smallGroups
	for id := range smallGroups {
		nodes = append(nodes, s.store(id))
	}
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
	return s, nodes
}

// turns returns the digest of a partial key: in the upper half if its number is odd.
func turns(id int) uint64 { return uint64(id)<<63 | uint64(id)<<40 }

// store links a node under a new partial key.
func (s *loneScene) store(id int) *Node[keyedItem] {
	n := &Node[keyedItem]{Item: keyedItem{fmt.Sprint(id), id}}
	h := s.Hold(turns(id), n.Item.partial)
	h.PushNewest(n)
	h.Release()
	return n
}

// finds fails unless a walk of a node's partial key begins at it.
func (s *loneScene) finds(n *Node[keyedItem], when string) {
	w := s.Walk(turns(n.Item.id), n.Item.partial)
	if w.Newest() != n {
		s.run.Failf("a walk of the partial key %d does not come to its node %s", n.Item.id, when)
	}
	w.End()
}

// While a map splits, every partial key is found, and what others do to the halves is done.
func TestOrdersAMapSplits(t *testing.T) {
	for half := range 2 {
		for name, meet := range map[string]func(s *loneScene, n *Node[keyedItem]){
			"walks": func(s *loneScene, n *Node[keyedItem]) { s.finds(n, "while its map splits") },
			"unlinks": func(s *loneScene, n *Node[keyedItem]) {
				h := s.HoldOf(n)
				if !h.Unlink(n) {
					s.run.Failf("Unlink = false")
				}
				h.Release()
				if w := s.Walk(turns(n.Item.id), n.Item.partial); w.Newest() != nil {
					s.run.Failf("a walk comes to a node that was unlinked")
				}
			},
			"replaces": func(s *loneScene, n *Node[keyedItem]) {
				fresh := &Node[keyedItem]{Item: n.Item}
				h := s.HoldOf(n)
				h.Replace(n, fresh)
				h.Release()
				s.finds(fresh, "after it has replaced another")
			},
			"groups": func(s *loneScene, n *Node[keyedItem]) {
				second := &Node[keyedItem]{Item: n.Item}
				h := s.Hold(turns(n.Item.id), n.Item.partial)
				h.PushNewest(second)
				h.Release()
				s.finds(second, "after it was pushed")
			},
			"counts": func(s *loneScene, n *Node[keyedItem]) {
				if got := s.Len(); got < smallGroups || got > smallGroups+1 {
					s.run.Failf("Len = %d; want %d, or one more", got, smallGroups)
				}
			},
			"stores under the same key": func(s *loneScene, n *Node[keyedItem]) { s.store(smallGroups) },
			"stores": func(s *loneScene, n *Node[keyedItem]) {
				s.finds(s.store(n.Item.id+smallGroups+2), "after it was stored")
			},
		} {
			t.Run(fmt.Sprint(name, " in half ", half), func(t *testing.T) {
				orders.All(t, func(r *orders.Run) {
					s, nodes := fullMap(r)
					var stored *Node[keyedItem]
					r.Go("splits", func() { stored = s.store(smallGroups) })
					r.Go(name, func() { meet(s, nodes[half]) })
					r.AtRest(func() error {
						w := s.Walk(turns(smallGroups), stored.Item.partial)
						defer w.End()
						for n := w.Newest(); n != nil; n = w.Next(n) {
							if n == stored {
								return nil
							}
						}
						return fmt.Errorf("no walk comes to the node for which the map has split")
					})
				})
			})
		}
	}
}
