package guard

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func begun() bool { return true }

func TestABudgetIsWhatTheClockSaysWhereProcessorsAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, allowed := range []time.Duration{0, 1, 7, time.Millisecond, 2_500_001, time.Hour} {
			b, begin := Grant(allowed), time.Now()
			if _, ok := await(b, make(chan int), begun); ok || time.Since(begin) != allowed || b.left != 0 {
				t.Errorf("await with %v returned ok = %v after %v, %v left; want false, all of it", allowed, ok, time.Since(begin), b.left)
			}
			if b.ctx.Err() != nil {
				t.Errorf("with %v: the context is done before the budget's owner is", allowed)
			}
			b.End()
		}
	})
}

// Calls of one owner share a budget, and what they do not wait for is left.
func TestABudgetIsSpentByWaitingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Grant(8 * time.Millisecond)
		defer b.End()
		for i := range 3 {
			answers := make(chan int, 1)
			time.AfterFunc(2500*time.Microsecond, func() { answers <- i })
			if v, ok := await(b, answers, begun); !ok || v != i {
				t.Fatalf("call %d: %v, %v; want an answer", i, v, ok)
			}
			time.Sleep(time.Second) // on work of its own
		}
		if want := 500 * time.Microsecond; b.left != want {
			t.Errorf("%v left after three waits of 2.5ms of 8ms; want %v", b.left, want)
		}
	})
}

// What a goroutine waits for a processor costs nothing of the budget: before the call runs, and when it has woken.
func TestABudgetCountsNoTimeInLine(t *testing.T) {
	for _, tt := range []struct {
		name     string
		late     time.Duration // how late the goroutine that waits comes to run, each time
		begins   time.Duration // when the call does
		answers  time.Duration // 0: never
		want     bool
		wantTook time.Duration
	}{
		{name: "the call is late", begins: 500 * time.Millisecond, answers: 501 * time.Millisecond, want: true, wantTook: 501 * time.Millisecond},
		{name: "the call is late and hangs", begins: 500 * time.Millisecond, wantTook: 504 * time.Millisecond},
		{name: "the call never runs", begins: time.Hour, wantTook: starvation + 4*time.Millisecond},
		{name: "who waits is late", late: 20 * time.Millisecond, answers: 60 * time.Millisecond, want: true, wantTook: 61500 * time.Microsecond},
		{name: "who waits is late and the Store hangs", late: 20 * time.Millisecond, wantTook: 8 * 20500 * time.Microsecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, begin, answers := Grant(4*time.Millisecond), time.Now(), make(chan int, 1)
				defer b.End()
				if tt.answers > 0 {
					time.AfterFunc(tt.answers, func() { answers <- 1 })
				}
				_, ok := await(b, answers, func() bool { // it is asked as soon as the goroutine runs again
					time.Sleep(tt.late)
					return time.Since(begin) > tt.begins
				})
				if took := time.Since(begin); ok != tt.want || took.Round(time.Millisecond) != tt.wantTook.Round(time.Millisecond) {
					t.Errorf("aWait = %v after %v; want %v after %v", ok, took, tt.want, tt.wantTook)
				}
			})
		})
	}
}

// A handshake makes several calls with one budget.
func TestTheTimeInLineOfAllCallsTogetherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const allowed = 4 * time.Millisecond
		b, begin := Grant(allowed), time.Now()
		defer b.End()
		for range 10 {
			answers := make(chan int, 1)
			time.AfterFunc(300*time.Millisecond, func() { answers <- 1 })
			if _, ok := await(b, answers, func() bool { return false }); !ok {
				break
			}
		}
		if took := time.Since(begin); took > allowed+starvation {
			t.Errorf("calls that begin to run 300ms late, in line for a processor, took %v; want %v at most", took, allowed+starvation)
		}
	})
}

func TestAnEndlessBudgetIsLong(t *testing.T) {
	b := Grant(math.MaxInt64)
	defer b.End()
	if b.left < time.Hour || b.ctx.Err() != nil {
		t.Errorf("%v are left, and the context says %v", b.left, b.ctx.Err())
	}
}

// The context of a call is done when nothing waits for it, though its deadline has not come.
func TestTheContextOfACallEndsWithTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, ended := time.Now(), make(chan time.Duration, 1)
		_, err := Do(5*time.Millisecond, New(4), MayProbe, func(ctx context.Context) (int, error) {
			if at, ok := ctx.Deadline(); !ok || at.Sub(begin) > 5*time.Millisecond+starvation {
				t.Errorf("the deadline is %v after the begin, there: %v; want one at most %v after the budget", at.Sub(begin), ok, starvation)
			}
			<-ctx.Done()
			ended <- time.Since(begin)
			return 0, ctx.Err()
		})
		if took := <-ended; !errors.Is(err, ErrTimeout) || took != 5*time.Millisecond {
			t.Errorf("%v; the context ended after %v; want %v, 5ms", err, took, ErrTimeout)
		}
	})
}
