package guard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A Store whose calls never return during an outage takes all places. When it heals, calls get through again
// though none of those has returned, outage after outage.
func TestGuardRecoversFromCallsThatNeverReturn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		interval time.Duration // between calls
	}{
		{"many calls a second", 5 * time.Millisecond},
		{"too few calls to open the breaker", 200 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const places = 64
				g := New(places)
				forever := make(chan struct{})
				hang := func(context.Context) (int, error) { <-forever; return 0, nil }
				work := func(context.Context) (int, error) { return 1, nil }
				for outage := range 3 {
					for begin := time.Now(); time.Since(begin) < 48*time.Second; time.Sleep(tt.interval) {
						if _, err := Do(time.Millisecond, g, MayProbe, hang); err == nil {
							t.Fatal("a call that never returned has an answer")
						}
					}
					if n := g.Stats().InFlight; n > (outage+1)*(places+maxProbesOfAnOutage) {
						t.Errorf("outage %d: %d calls have not returned; want a bounded number", outage, n)
					}
					healed := time.Now()
					for {
						if _, err := Do(time.Millisecond, g, MayProbe, work); err == nil {
							break
						}
						if time.Since(healed) > 2*(breakerLongPause<<breakerDoublings) {
							t.Fatalf("outage %d: still %+v", outage, g.Stats())
						}
						time.Sleep(tt.interval)
					}
					t.Logf("outage %d: works %v after it healed: %+v", outage, time.Since(healed), g.Stats())
					for range places / 2 {
						if _, err := Do(time.Millisecond, g, MayProbe, work); err != nil {
							t.Fatalf("outage %d: after it works again: %v", outage, err)
						}
					}
				}
				close(forever)
				synctest.Wait()
				if st := g.Stats(); st.InFlight != 0 || st.Stranded != 0 {
					t.Errorf("after all returned: %+v; want nothing in flight", st)
				}
			})
		})
	}
}

// maxProbesOfAnOutage is how many probes an outage of 48 s may strand: those with places of their own, and
// the few between long pauses.
const maxProbesOfAnOutage = 32

// Beyond a bound no places are given to others, so a Store that never heals strands no more.
func TestStrandedCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 8
		g := New(places)
		forever := make(chan struct{})
		for range 100 {
			for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
				_, _ = Do(time.Millisecond, g, MayProbe, func(context.Context) (int, error) { <-forever; return 0, nil })
			}
			for range 100 { // until a probe succeeds
				_, _ = Do(time.Millisecond, g, MayProbe, func(context.Context) (int, error) { return 1, nil })
				time.Sleep(2 * time.Second)
			}
		}
		if st := g.Stats(); st.Stranded > (maxFormer+1)*places {
			t.Errorf("%d calls are stranded; want at most %d", st.Stranded, (maxFormer+1)*places)
		}
		close(forever)
	})
}
