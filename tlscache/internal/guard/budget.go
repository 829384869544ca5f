package guard

import (
	"context"
	"math"
	"runtime"
	"time"
)

const (
	// budgetSlices is in how many slices a wait is counted. With 8 goroutines or processes for each processor that do
	// nothing but compute, and a Store that answers within 200 µs, one slice lost 41 of 100 resumptions and 8 lost one.
	budgetSlices = 8

	// minSlice is about what a timer is late on a machine with nothing else to do.
	minSlice = 100 * time.Microsecond

	// starvation is the most that all waits together take beyond their budget where processors are scarce.
	starvation = time.Second
)

// A Budget is how long a goroutine may still wait for a Store, over all calls that it makes with it. The clock on the
// wall does not tell: on a busy machine an answer that is there at once comes as late as the call's goroutine, the
// Store's own and the one that waits get a processor. So a wait is cut into slices, and of each counts no more than its
// length: if the waiting goroutine wakes later, then because others ran before it, and the Store's had to wait as well.
// Until the call's goroutine runs nothing counts. Where processors are free, and in virtual time, a budget is what the
// clock says; where they are scarce, all waits of a budget together take at most a second more.
//
// It belongs to one goroutine, which ends it with End.
type Budget struct {
	left   time.Duration
	beyond time.Duration // how long waits may take still that do not count

	// ctx is the context of the calls: done once nothing waits for them. Its deadline, which lies later, is for Stores
	// that heed nothing else.
	ctx context.Context
	end context.CancelFunc
}

// Grant returns a Budget of which nothing is spent.
func Grant(allowed time.Duration) *Budget {
	allowed = min(allowed, math.MaxInt64-starvation)
	b := &Budget{left: allowed, beyond: starvation}
	b.ctx, b.end = context.WithTimeout(context.Background(), allowed+starvation)
	return b
}

// End ends the calls that were made with the budget, as far as their Store heeds its context.
func (b *Budget) End() { b.end() }

// await returns the answer, not ok once the budget is spent. Begun says whether the call's goroutine has begun to run.
func await[T any](b *Budget, answers <-chan T, begun func() bool) (v T, ok bool) {
	select {
	case v = <-answers:
		return v, true
	default:
	}
	slice, now := min(b.left, max(b.left/budgetSlices, minSlice)), time.Now()
	end := now.Add(b.left + b.beyond)
	defer func(begin time.Time, left time.Duration) {
		b.beyond -= max(0, time.Since(begin)-(left-b.left))
	}(now, b.left)
	timer := time.NewTimer(slice)
	defer timer.Stop()
	for b.left > 0 && now.Before(end) {
		select {
		case v = <-answers:
			b.count(time.Since(now), slice)
			return v, true
		case <-timer.C:
		}
		if begun() {
			b.count(time.Since(now), slice)
		}
		now = time.Now()
		timer.Reset(min(slice, b.left))
	}
	b.left = 0
	runtime.Gosched() // the goroutine that brings the answer may wait for a processor already
	select {
	case v = <-answers:
		return v, true
	default:
		return v, false
	}
}

// count takes what was waited from the budget, of which slice was meant.
func (b *Budget) count(waited, slice time.Duration) { b.left -= min(waited, slice) }
