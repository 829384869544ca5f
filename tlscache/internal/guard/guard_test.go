package guard

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

func TestGuardNeverWaitsLongerThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(4)
		release := make(chan struct{})
		hang := func(context.Context) (int, error) { <-release; return 1, nil }
		for i := range 10 {
			begin := time.Now()
			_, err := Do(5*time.Millisecond, g, MayProbe, hang)
			want, wantErr := 5*time.Millisecond, ErrTimeout
			if i >= 4 {
				want, wantErr = 0, ErrBusy // all places are taken by calls that never returned
			}
			if took := time.Since(begin); took != want || !errors.Is(err, wantErr) {
				t.Errorf("call %d: %v after %v; want %v after %v", i, err, took, wantErr, want)
			}
		}
		if n := g.Stats().InFlight; n != 4 {
			t.Errorf("%d calls in flight; want 4", n)
		}
		close(release)
		synctest.Wait()
		if n := g.Stats().InFlight; n != 0 {
			t.Errorf("%d calls in flight after all returned; want 0", n)
		}
		if v, err := Do(time.Second, g, MayProbe, hang); v != 1 || err != nil {
			t.Errorf("Do = %v, %v once the store answers; want 1", v, err)
		}
	})
}

func TestGuardCountsWhatWentWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(4)
		down := errors.New("down")
		for _, tt := range []struct {
			name string
			call func(context.Context) (int, error)
			want error
		}{
			{"fails", func(context.Context) (int, error) { return 0, down }, down},
			{"panics", func(context.Context) (int, error) { panic("secret") }, ErrPanicked},
			{"not found", func(context.Context) (int, error) { return 0, session.ErrNotFound }, session.ErrNotFound},
			{"heeds its context", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, ErrTimeout},
		} {
			if _, err := Do(time.Millisecond, g, MayProbe, tt.call); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
			}
		}
		if f, to := g.counts.failures.Load(), g.counts.timeouts.Load(); f != 2 || to != 1 {
			t.Errorf("counted %d failures and %d timeouts; want 2 and 1", f, to)
		}
	})
}

func TestGuardLeavesAFailingStoreAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(64)
		var calls atomic.Int64
		slow := func(ctx context.Context) (int, error) { calls.Add(1); <-ctx.Done(); return 0, ctx.Err() }
		for range breakerCalls {
			_, _ = Do(time.Millisecond, g, MayProbe, slow)
		}
		begin := time.Now()
		for range 10_000 {
			if _, err := Do(time.Millisecond, g, MayProbe, slow); !errors.Is(err, ErrOpen) {
				t.Fatalf("Do: %v; want %v", err, ErrOpen)
			}
		}
		if took := time.Since(begin); took != 0 || calls.Load() != breakerCalls {
			t.Errorf("10000 calls took %v and reached the store %d times; want 0, %d", took, calls.Load(), breakerCalls)
		}
		time.Sleep(2 * breakerPause)
		begin = time.Now()
		var probed atomic.Bool
		probe := func(context.Context) (int, error) { probed.Store(true); return 1, nil }
		if _, err := Do(time.Millisecond, g, MayProbe, probe); !errors.Is(err, ErrOpen) || time.Since(begin) != 0 {
			t.Errorf("the probe: %v after %v; want %v at once, for no handshake waits for a probe", err, time.Since(begin), ErrOpen)
		}
		synctest.Wait()
		if !probed.Load() {
			t.Error("the store was not probed")
		}
		if g.breaker.isOpen() {
			t.Error("the breaker is open though the probe succeeded")
		}
	})
}

// What came before the end of the budget counts, though the goroutine that waits did not get to run until after it.
func TestGuardTakesAnswersThatCameInTime(t *testing.T) {
	g := New(4)
	spent := Grant(0)
	defer spent.End()
	for range 200 {
		p := Call[int]{guard: g, of: g.current.Load(), marks: new(callMarks), answers: make(chan answer[int], 1)}
		p.answers <- answer[int]{v: 1}
		if v, err := p.Wait(spent); v != 1 || err != nil {
			t.Fatalf("Wait = %v, %v; want the answer, which is there", v, err)
		}
	}
}

func TestGuardCountsAsStrandedWhatRunsAndIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(8)
		release := make(chan struct{})
		hang := func(context.Context) (int, error) { <-release; return 0, nil }
		for range 3 {
			_, _ = Do(time.Millisecond, g, MayProbe, hang)
		}
		if n := g.Stats().Stranded; n != 3 {
			t.Errorf("%d calls are stranded; want 3", n)
		}
		close(release)
		synctest.Wait()
		p := enter(t.Context(), g, hang)
		synctest.Wait() // it has returned
		p.giveUp()
		if st := g.Stats(); st.Stranded != 0 || st.InFlight != 0 {
			t.Errorf("after all returned: %+v; want none stranded, none in flight", st)
		}
	})
}

// A burst that takes all places for an instant, now and then, is no outage.
func TestGuardStaysOpenWhereBurstsTakeAllPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(4)
		for range 5 {
			release := make(chan struct{})
			var burst []Call[int]
			for range 4 {
				burst = append(burst, enter(t.Context(), g, func(context.Context) (int, error) { <-release; return 1, nil }))
			}
			if p := enter(t.Context(), g, func(context.Context) (int, error) { return 1, nil }); !errors.Is(p.refused, ErrBusy) {
				t.Fatalf("the fifth call: %v; want %v", p.refused, ErrBusy)
			}
			close(release)
			for _, p := range burst {
				_, _ = p.Wait(Grant(time.Second))
			}
			synctest.Wait()
			time.Sleep(2 * breakerWindow)
		}
		if g.breaker.isOpen() {
			t.Error("the breaker is open")
		}
	})
}

func TestProbesThatNeverReturnAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(4)
		release := make(chan struct{})
		hang := func(context.Context) (int, error) { <-release; return 0, nil }
		for range maxProbes {
			if p := probe(t.Context(), g, hang); p.refused != nil {
				t.Fatal(p.refused)
			}
		}
		if p := probe(t.Context(), g, hang); !errors.Is(p.refused, ErrBusy) {
			t.Errorf("one more: %v; want %v", p.refused, ErrBusy)
		}
		close(release)
		synctest.Wait()
		if n := g.Stats().InFlight; n != 0 {
			t.Errorf("%d in flight after all returned; want 0", n)
		}
	})
}
