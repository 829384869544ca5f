package index

import "fmt"

// checkInvariants walks the whole index and returns the first contradiction it finds. It
// needs all writers to be quiet.
func (x *Index[T]) checkInvariants() error {
	var err error
	x.All(func(g *Group[T]) bool {
		err = g.checkInvariants()
		if err == nil && x.Find(g.digest, g.Partial()) != g {
			err = fmt.Errorf("index: a mapped group is not what Find returns for its key")
		}
		return err == nil
	})
	for m := range x.eachMap {
		mapped := 0
		for range m.table.Load().All() {
			mapped++
		}
		count, split := m.size()
		if err == nil && (mapped != count || split) {
			err = fmt.Errorf("index: the map of entry %d holds %d groups and counts %d; it has split: %v", m.first, mapped, count, split)
		}
		for i := range m.span {
			if err == nil && x.maps[m.first+i].Load() != m {
				err = fmt.Errorf("index: entry %d does not lead to the map of %d from %d on", m.first+i, m.span, m.first)
			}
		}
		if err == nil {
			err = m.table.Load().Check(func(l *link[T]) uint32 {
				return hashOf(m.digestOf(l))
			})
		}
	}
	return err
}

func (g *Group[T]) checkInvariants() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mu.mapped || g.revoked.Load() {
		return fmt.Errorf("index: a group in the map has mapped=%v revoked=%v", g.mu.mapped, g.revoked.Load())
	}
	count := 0
	var prev *Node[T]
	for n := g.next.Load(); n != nil; n = n.next.Load() {
		if n.Group() != g || n.prev != prev {
			return fmt.Errorf("index: node %d of a group of %d has wrong links", count, g.mu.count)
		}
		prev = n
		if count++; count > g.Len() {
			break
		}
	}
	if count != g.Len() || g.prev != prev || count == 0 {
		return fmt.Errorf("index: a group counts %d nodes and links %d (or its oldest is wrong)", g.mu.count, count)
	}
	return nil
}
