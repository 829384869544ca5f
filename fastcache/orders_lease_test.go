//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// leaseOf begins a lease, which must succeed.
func (s *scene) leaseOf(key Key) *Lease[int] {
	l, err := s.Lease(key)
	if err != nil {
		s.run.Failf("Lease = %v", err)
	}
	return l
}

// leaves checks at rest that the key has a value, 0 for none, and no lease.
func (s *scene) leaves(want int) {
	s.run.AtRest(func() error {
		if e, _ := s.Peek(keyA); e.Value != want {
			return fmt.Errorf("the key has %d; want %d", e.Value, want)
		}
		if n := s.leases.count.Load(); n != 0 {
			return fmt.Errorf("%d leases are left", n)
		}
		return nil
	})
}

// What a lease stores is removed by the removal that comes beside it, or not stored.
func TestOrdersALeaseStoresBesideARemoval(t *testing.T) {
	for _, tt := range []struct {
		name    string
		present bool
		noIndex bool
		takes   func(s *scene)
		left    int
	}{
		{"Delete of nothing", false, true, func(s *scene) { s.Delete(keyA) }, 0},
		{"Take", true, true, func(s *scene) { s.Take(keyA) }, 0},
		{"Clear of nothing", false, true, func(s *scene) { s.Clear() }, 0},
		{"DeletePartial of nothing", false, false, func(s *scene) { s.DeletePartial("p") }, 0},
		{"DeletePartial", true, false, func(s *scene) { s.DeletePartial("p") }, 0},
		{"DeletePartial without the index", true, true, func(s *scene) { s.DeletePartial("p") }, 0},
		{"TakeNewest", true, false, func(s *scene) { s.TakeNewest("p") }, 0},
		{"Update", false, true, func(s *scene) { s.put(keyA, 9, far) }, 9},
		{"Close", true, true, func(s *scene) { s.Close() }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{NoIndex: tt.noIndex})
				if tt.present {
					s.put(keyA, 1, far)
				}
				l := s.leaseOf(keyA)
				s.leaves(tt.left)
				r.Go("the lease", func() { l.UpdateTTL(2, far) })
				r.Go(tt.name, func() { tt.takes(s) })
			})
		})
	}
}

// TakeNewest has killed the session, and another call removes it from its slot, before the lease comes to store or after.
func TestOrdersALeaseIsLostToTakeNewestWhoeverRemoves(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{})
		s.put(keyA, 1, far)
		l := s.leaseOf(keyA)
		s.leaves(0)
		r.Go("the lease", func() { l.UpdateTTL(2, far) })
		r.Go("TakeNewest", func() { s.TakeNewest("p") })
		r.Go("Touch", func() { s.Touch(keyA, far) })
	})
}

// A lease that begins beside a removal is lost if the session was seen alive since, and stores if the removal had
// returned before.
func TestOrdersALeaseBeginsBesideARemoval(t *testing.T) {
	for name, takes := range map[string]func(s *scene){
		"TakeNewest":    func(s *scene) { s.TakeNewest("p") },
		"DeletePartial": func(s *scene) { s.DeletePartial("p") },
		"Delete":        func(s *scene) { s.Delete(keyA) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{})
				s.put(keyA, 1, far)
				done := false
				r.Go(name, func() { takes(s); done = true })
				r.Go("the lease", func() {
					was := done
					l := s.leaseOf(keyA)
					_, alive := s.Lookup(keyA)
					err := l.UpdateTTL(2, far)
					if was && err != nil {
						r.Failf("Update = %v, with a lease that began after %s", err, name)
					}
					e, _ := s.Peek(keyA)
					if done && alive && e.Value == 2 {
						r.Failf("%s has returned, and the lease from before it has stored", name)
					}
				})
			})
		})
	}
}

// Of two leases of a key one stores, and the other is lost.
func TestOrdersOneOfTwoLeasesStores(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{NoIndex: true})
		stored := 0
		for i, l := range []*Lease[int]{s.leaseOf(keyA), s.leaseOf(keyA)} {
			r.Go(fmt.Sprint("lease ", i), func() {
				if l.UpdateTTL(i+1, far) == nil {
					stored += i + 1
				}
			})
		}
		r.AtRest(func() error {
			if e, _ := s.Peek(keyA); e.Value != stored || stored == 0 || stored > 2 {
				return fmt.Errorf("the key has %d, and the numbers of the leases that stored make %d; want one of them", e.Value, stored)
			}
			return nil
		})
	})
}

// When TakeNewest has killed what a lease stored, and has not removed it yet, the lease is over.
func TestOrdersALeaseIsOverBeforeItsSessionGoes(t *testing.T) {
	for _, present := range []bool{false, true} {
		t.Run(fmt.Sprint("present=", present), func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{})
				if present {
					s.put(keyA, 1, far)
				}
				l := s.leaseOf(keyA)
				r.Go("the lease", func() { l.UpdateTTL(2, far) })
				r.Go("TakeNewest", func() {
					p := s.pickNewest("p", false)
					if !p.taken {
						return
					}
					if p.node.Item.value == 2 && l.Held() {
						r.Failf("the lease is held, and what it stored is taken")
					}
					s.giveBack(s.removeNode(p.node, Taken))
				})
			})
		})
	}
}
