//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// Of all who close a cache at once one does, and the others wait for it: when any has returned, nothing is left,
// no report is out and no Update is taken.
func TestOrdersTwoClose(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		reported := 0
		s := newScene(r, Config[int]{NoIndex: true, OnRemove: func(Removal[int]) { reported++ }})
		s.put(keyA, 1, soon)
		for _, name := range []string{"Close", "Close, too"} {
			r.Go(name, func() {
				if err := s.Close(); err != nil {
					r.Failf("Close = %v", err)
				}
				if n := s.Size(); n != 0 || reported != 1 {
					r.Failf("%s has returned; %d sessions are left, %d reported of 1", name, n, reported)
				}
				if err := s.Update(keyB, 2); err != ErrClosed {
					r.Failf("Update = %v after Close", err)
				}
			})
		}
	})
}

// A Close that OnRemove calls is refused, whatever other deliveries begin and end meanwhile.
func TestOrdersCloseByOnRemove(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		var s *scene
		refused := 0
		s = newScene(r, Config[int]{NoIndex: true, OnRemove: func(Removal[int]) {
			if err := s.Close(); err == ErrCloseByOnRemove {
				refused++
			}
		}})
		s.put(keyA, 1, soon)
		s.put(keyB, 2, soon)
		r.Go("Delete a", func() { s.Delete(keyA) })
		r.Go("Delete b", func() { s.Delete(keyB) })
		r.AtRest(func() error {
			if refused != 2 {
				return fmt.Errorf("%d Closes by OnRemove were refused of 2", refused)
			}
			return nil
		})
	})
}

// A removal that Stats counts is pending or was delivered, and a panic of its OnRemove is counted by then.
func TestOrdersStatsKnowWhatIsPending(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		began := false
		s := newScene(r, Config[int]{NoIndex: true, OnRemove: func(Removal[int]) { began = true; panic("oops") }})
		s.put(keyA, 1, soon)
		r.Go("Delete", func() { s.Delete(keyA) })
		r.Go("Stats", func() {
			st := s.Stats()
			switch {
			case st.Deleted == 1 && st.PendingReports == 0 && (!began || st.ReportPanics != 1):
				r.Failf("%d reports are pending, OnRemove began: %v, %d panics are counted", st.PendingReports, began, st.ReportPanics)
			case st.PendingReports < 0 || st.PendingReports > 1 || st.ReportPanics > 1:
				r.Failf("%d reports are pending, %d have panicked, of 1", st.PendingReports, st.ReportPanics)
			}
		})
		r.AtRest(func() error {
			if st := s.Stats(); st.PendingReports != 0 || st.ReportPanics != 1 {
				return fmt.Errorf("%d reports are pending, %d have panicked; want 0 and 1", st.PendingReports, st.ReportPanics)
			}
			return nil
		})
	})
}
