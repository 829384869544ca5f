package guard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Whether a call may be made though its answer comes too late for the one that asked.
const (
	MayProbe = true
	NoProbe  = false // it takes something away, or its answer matters
)

// Do starts a call and waits for it, with a Budget of its own.
func Do[T any](allowed time.Duration, g *Guard, may bool, call func(context.Context) (T, error)) (T, error) {
	b := Grant(allowed)
	defer b.End()
	return Start(b, g, may, call).Wait(b)
}

// A Call is a call under way, or the reason why it was not made. Each must be waited for.
type Call[T any] struct {
	guard   *Guard
	of      *generation // that it is one of; nil: a probe, or refused
	probe   bool
	refused error
	answers chan answer[T]
	marks   *callMarks
}

// callMarks are what a call and the goroutine that waits for it tell each other beside the answer.
type callMarks struct {
	begun atomic.Bool // its goroutine runs
	given atomic.Bool // nothing waits for it any more, or it has returned
}

type answer[T any] struct {
	v   T
	err error
}

// Start calls a Store. While the breaker is open it does not, but for a probe now and then, whose
// answer the handshake does not wait for.
func Start[T any](b *Budget, g *Guard, may bool, call func(context.Context) (T, error)) Call[T] {
	switch g.breaker.allow(time.Now(), may) {
	case letThrough:
		return enter(b.ctx, g, call)
	case letProbe:
		own := Grant(b.left)
		c := probe(own.ctx, g, call)
		go func() {
			defer own.End()
			_, _ = c.Wait(own) // which reports it to the breaker
		}()
	}
	return Call[T]{guard: g, refused: ErrOpen}
}

// enter calls a Store if there is a place for another call.
func enter[T any](ctx context.Context, g *Guard, call func(context.Context) (T, error)) Call[T] {
	of := g.current.Load()
	if of.running.Add(1) > g.maxInFlight-g.forProbes() {
		of.running.Add(-1)
		if now := time.Now(); !of.stuck.CompareAndSwap(0, now.UnixNano()) && now.UnixNano()-of.stuck.Load() > int64(breakerWindow) {
			g.breaker.trip(now) // the places will not be free by themselves: only a probe's success frees them
		}
		return Call[T]{guard: g, refused: ErrBusy}
	}
	if of.stuck.Load() != 0 {
		of.stuck.Store(0)
	}
	c := Call[T]{guard: g, of: of, marks: new(callMarks)}
	return launch(ctx, c, call, func() {
		if c.marks.given.Swap(true) {
			of.stranded.Add(-1)
			g.breaker.hurry(time.Now())
		}
		of.running.Add(-1)
	})
}

// probe calls a Store to find out whether it works again.
func probe[T any](ctx context.Context, g *Guard, call func(context.Context) (T, error)) Call[T] {
	if g.probes.Add(1) > maxProbes {
		g.probes.Add(-1)
		return Call[T]{guard: g, probe: true, refused: ErrBusy}
	}
	return launch(ctx, Call[T]{guard: g, probe: true, marks: new(callMarks)}, call, func() {
		g.probes.Add(-1)
		g.breaker.hurry(time.Now())
	})
}

// launch calls a Store in a goroutine, for it may ignore the end of its context.
func launch[T any](ctx context.Context, c Call[T], call func(context.Context) (T, error), leave func()) Call[T] {
	c.answers = make(chan answer[T], 1) // a late answer finds a place, so its goroutine ends
	go func() {
		defer leave()
		c.marks.begun.Store(true)
		a := answer[T]{err: ErrPanicked} // unless call returns
		defer func() { c.answers <- a }()
		defer func() { _ = recover() }()
		a.v, a.err = call(ctx)
	}()
	return c
}

// giveUp notes that nothing waits for the call any more.
func (c Call[T]) giveUp() {
	if c.of == nil {
		return
	}
	c.of.stranded.Add(1)
	if c.marks.given.Swap(true) {
		c.of.stranded.Add(-1) // it has returned meanwhile
	}
}

// Wait returns the answer, or an error once the budget is spent.
func (c Call[T]) Wait(b *Budget) (T, error) {
	var a answer[T]
	if a.err = c.refused; a.err == nil {
		var came bool
		if a, came = await(b, c.answers, c.marks.begun.Load); !came {
			a.err = ErrTimeout
			c.giveUp()
		}
	}
	if errors.Is(a.err, context.DeadlineExceeded) {
		a.err = ErrTimeout
	}
	c.guard.count(a.err)
	if !errors.Is(a.err, ErrOpen) {
		if c.probe && healthy(a.err) {
			c.guard.replaceStranded()
		}
		c.guard.breaker.report(time.Now(), c.probe, healthy(a.err), c.guard.probes.Load())
	}
	return a.v, a.err
}

// Protect runs f, which is the user's or a Store's and quick, and turns a panic into an error.
func Protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: in the caller's goroutine", ErrPanicked) // not p: it may hold a key
		}
	}()
	return f()
}
