//go:build sessioncache_orders

package fastcache

import (
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// A session on probation never looks like a proven one: it is counted before its place is, and uncounted
// after it.
func TestOrdersProbationIsCountedFirstAndUncountedLast(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		weigh := func(Key, int) int64 { return 3 }
		s := newScene(r, Config[int]{NoIndex: true, MaxWeight: 100, Weigh: weigh}).hold()
		r.Go("UpdateOnProbation, Delete", func() {
			if err := s.UpdateOnProbation(keyA, 1, soon); err != nil {
				r.Failf("UpdateOnProbation = %v", err)
			}
			s.Delete(keyA)
		})
		r.Go("looks", func() {
			for _, look := range []func() int64{s.sessions.Load, s.weight.Load, s.probation.sessions.load, s.probation.weight.load} {
				look() // a step: this thread comes at every instant at which what it loads has changed
				r.Look(func() {
					places, weight := s.sessions.Load(), s.weight.Load()
					onPlaces, onWeight := s.probation.sessions.load(), s.probation.weight.load()
					if places > onPlaces || weight > onWeight {
						r.Failf("%d places, %d on probation, weights %d and %d: a session on probation looks proven", places, onPlaces, weight, onWeight)
					}
				})
			}
		})
	})
}

// While the proven sessions hold less than half, no Update that needs room sees them hold more: whatever sessions on
// probation come and go between its looks at the counters.
func TestOrdersProvenSessionsAreNeverOvercounted(t *testing.T) {
	for name, weigh := range map[string]func(Key, int) int64{"places": nil, "weights": func(Key, int) int64 { return 2 }} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				cfg := Config[int]{NoIndex: true, MaxSessions: 6}
				if weigh != nil {
					cfg = Config[int]{NoIndex: true, MaxSessions: 100, MaxWeight: 12, Weigh: weigh}
				}
				s := newScene(r, cfg).hold()
				s.put(keyA, 1, later)
				s.put(keyB, 2, later)
				probation := func(key Key, value int) {
					if err := s.UpdateOnProbation(key, value, later); err != nil {
						r.Failf("UpdateOnProbation = %v", err)
					}
				}
				gone := Key{"q", "1"}
				probation(gone, 3)
				probation(Key{"q", "2"}, 4)
				r.Go("Delete, UpdateOnProbation, Delete", func() {
					s.Delete(gone)
					probation(keyC, 5)
					s.Delete(keyC)
				})
				r.Go("asks", func() {
					if n := s.probation.sessions.load(); n < 1 {
						r.Failf("%d sessions are on probation; one is all along", n)
					}
					if !s.probationFirst(&update[int]{}) {
						r.Failf("2 proven sessions of 6 are taken for half, or those on probation for none")
					}
				})
			})
		})
	}
}
