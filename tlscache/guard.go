package tlscache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

const (
	// DefaultBudget is what Stores may add to one handshake unless the configuration says
	// otherwise. A full handshake costs about 1 ms of CPU more than a resumed one and no
	// round trip, so waiting much longer for a session is a loss.
	DefaultBudget = 5 * time.Millisecond

	// DefaultMaxInFlight bounds the calls that a Store has not answered yet, those whose
	// handshake has long given up on them included.
	DefaultMaxInFlight = 256
)

// Why a guarded call has no answer of the Store's.
var (
	errTimeout  = errors.New("tlscache: store did not answer within the budget")
	errBusy     = errors.New("tlscache: store has MaxInFlight calls to answer")
	errOpen     = errors.New("tlscache: store failed too often and is left alone for a moment")
	errPanicked = errors.New("tlscache: store panicked")
)

// A guard stands between handshakes and a Store that may be slow, dead or worse. No call through
// it takes longer than it is allowed; a Store that ignores its context strands at most
// maxInFlight goroutines; one that keeps failing is not called at all until a probe succeeds.
// A guard is safe for concurrent use.
type guard struct {
	maxInFlight int64
	inFlight    atomic.Int64 // calls that the Store has not returned from
	breaker     breaker
	counts      struct{ timeouts, failures, skipped atomic.Uint64 }
}

func newGuard(maxInFlight int) *guard { return &guard{maxInFlight: int64(maxInFlight)} }

// guarded returns what call returns, or an error after the time that is allowed. The call may then
// still run, with its context done, so it must own all that it uses. It may also run though
// guarded has returned errOpen, as a probe.
func guarded[T any](g *guard, allowed time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), allowed)
	defer cancel()
	return start(ctx, g, mayProbe, call).wait(ctx)
}

// A pending is a call under way, or the reason why it was not made. Each must be waited for.
type pending[T any] struct {
	guard   *guard
	probe   bool
	refused error
	answers chan answer[T]
}

type answer[T any] struct {
	v   T
	err error
}

// Whether a call may be made though its answer has come too late for whoever asked.
const (
	mayProbe = true
	noProbe  = false // it takes something away
)

// start calls a Store. While the breaker is open it does not, but for a probe now and then, whose
// answer the handshake does not wait for.
func start[T any](ctx context.Context, g *guard, may bool, call func(context.Context) (T, error)) pending[T] {
	switch g.breaker.allow(time.Now(), may) {
	case letThrough:
		return launch(ctx, g, call)
	case letProbe:
		deadline, _ := ctx.Deadline()
		detached, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		p := launch(detached, g, call)
		p.probe = true
		go func() {
			defer cancel()
			_, _ = p.wait(detached) // which reports it to the breaker
		}()
	}
	return pending[T]{guard: g, refused: errOpen}
}

// launch calls a Store in a goroutine, for it may ignore the end of its context.
func launch[T any](ctx context.Context, g *guard, call func(context.Context) (T, error)) pending[T] {
	if g.inFlight.Add(1) > g.maxInFlight {
		g.inFlight.Add(-1)
		return pending[T]{guard: g, refused: errBusy}
	}
	p := pending[T]{guard: g, answers: make(chan answer[T], 1)} // a late answer finds a place, so its goroutine ends
	go func() {
		defer g.inFlight.Add(-1)
		a := answer[T]{err: errPanicked} // unless call returns
		defer func() { p.answers <- a }()
		defer func() { _ = recover() }()
		a.v, a.err = call(ctx)
	}()
	return p
}

// wait returns the answer, or an error once ctx is done.
func (p pending[T]) wait(ctx context.Context) (T, error) {
	var a answer[T]
	if a.err = p.refused; a.err == nil {
		select {
		case a = <-p.answers:
		case <-ctx.Done():
			a.err = errTimeout
		}
	}
	if errors.Is(a.err, context.DeadlineExceeded) {
		a.err = errTimeout
	}
	p.guard.count(a.err)
	if !errors.Is(a.err, errOpen) {
		p.guard.breaker.report(time.Now(), p.probe, healthy(a.err))
	}
	return a.v, a.err
}

// count keeps the figures of Stats.
func (g *guard) count(err error) {
	switch {
	case healthy(err):
	case errors.Is(err, errTimeout):
		g.counts.timeouts.Add(1)
	case errors.Is(err, errBusy), errors.Is(err, errOpen):
		g.counts.skipped.Add(1)
	default:
		g.counts.failures.Add(1)
	}
}

// healthy reports whether a Store that returns err works: it may well not have a session, or
// refuse one for its size.
func healthy(err error) bool {
	return err == nil || errors.Is(err, session.ErrNotFound) || errors.Is(err, session.ErrTooLarge) ||
		errors.Is(err, session.ErrKeyTooLong) || errors.Is(err, session.ErrBadTTL)
}

// protected runs f, which is the user's or a Store's and quick, and turns a panic into an error.
func protected(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: in the caller's goroutine", errPanicked) // not p: it may hold a key
		}
	}()
	return f()
}
