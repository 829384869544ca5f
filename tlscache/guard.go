package tlscache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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

// maxFormer is how many times maxInFlight calls a Store may leave unanswered for good, outage by outage,
// before a guard gives their places to no others.
const maxFormer = 4

// maxProbes bounds the probes that a Store may leave unanswered for good. With the pauses between them, which
// grow, that many take months.
const maxProbes = 1024

// A guard stands between handshakes and a Store that may be slow, dead or worse. No call through
// it takes longer than it is allowed; one that keeps failing is not called at all until a probe succeeds.
// A Store that ignores its context strands at most maxInFlight goroutines at first. An eighth of the places
// are the probes' own: or calls that never return would take all of them, and nothing could find
// out that the Store has healed. When the probes are stranded as well, one more goes seldom. Once a probe
// succeeds, calls stranded before give their places to others. A guard is safe for concurrent use.
type guard struct {
	maxInFlight int64
	calls       atomic.Pointer[calls] // since a probe last succeeded
	probes      atomic.Int64          // that the Store has not returned from
	breaker     breaker
	counts      struct{ timeouts, failures, skipped atomic.Uint64 }

	mu struct {
		sync.Mutex
		former []*calls // that were stranded when a probe succeeded
	}
}

// calls are those that have places at one time.
type calls struct {
	running  atomic.Int64 // the Store has not returned from them
	stranded atomic.Int64 // of these, those that nothing waits for any more
	stuck    atomic.Int64 // since when, by Unix nanoseconds, no place has been free; 0: there was one
}

func newGuard(maxInFlight int) *guard {
	g := &guard{maxInFlight: int64(maxInFlight)}
	g.breaker.patience = max(1, g.forProbes())
	g.calls.Store(new(calls))
	return g
}

// forProbes returns how many of the places are the probes' own.
func (g *guard) forProbes() int64 { return g.maxInFlight / 8 }

// replaceStranded gives the places of the calls that run to others, since a probe has succeeded, unless the Store
// has left too many unanswered.
func (g *guard) replaceStranded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.calls.Load()
	if now.stranded.Load() == 0 || g.formerLocked()+now.running.Load() > maxFormer*g.maxInFlight {
		return
	}
	g.mu.former = append(g.mu.former, now)
	g.calls.Store(new(calls))
}

// formerLocked returns how many former calls still run, and forgets those that all have returned.
func (g *guard) formerLocked() (n int64) {
	g.mu.former = slices.DeleteFunc(g.mu.former, func(c *calls) bool { return c.running.Load() == 0 })
	for _, c := range g.mu.former {
		n += c.running.Load()
	}
	return n
}

// guarded returns what call returns, or an error once the time that is allowed is over: see budget. The call may then
// still run, with its context done, so it must own all that it uses. It may also run though
// guarded has returned errOpen, as a probe.
func guarded[T any](g *guard, allowed time.Duration, call func(context.Context) (T, error)) (T, error) {
	return guardedAs(mayProbe, g, allowed, call)
}

// guardedAs is guarded for a call that may be a probe or not.
func guardedAs[T any](may bool, g *guard, allowed time.Duration, call func(context.Context) (T, error)) (T, error) {
	b := grant(allowed)
	defer b.end()
	return start(b, g, may, call).wait(b)
}

// A pending is a call under way, or the reason why it was not made. Each must be waited for.
type pending[T any] struct {
	guard   *guard
	calls   *calls // that it is one of; nil: a probe, or refused
	probe   bool
	refused error
	answers chan answer[T]
	marks   *callMarks
}

// callMarks are what a call and who waits for it tell each other beside the answer.
type callMarks struct {
	begun atomic.Bool // its goroutine runs
	given atomic.Bool // nothing waits for it any more, or it has returned
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
func start[T any](b *budget, g *guard, may bool, call func(context.Context) (T, error)) pending[T] {
	switch g.breaker.allow(time.Now(), may) {
	case letThrough:
		return enter(b.ctx, g, call)
	case letProbe:
		own := grant(b.left)
		p := probe(own.ctx, g, call)
		go func() {
			defer own.end()
			_, _ = p.wait(own) // which reports it to the breaker
		}()
	}
	return pending[T]{guard: g, refused: errOpen}
}

// enter calls a Store if there is a place for another call.
func enter[T any](ctx context.Context, g *guard, call func(context.Context) (T, error)) pending[T] {
	c := g.calls.Load()
	if c.running.Add(1) > g.maxInFlight-g.forProbes() {
		c.running.Add(-1)
		if now := time.Now(); !c.stuck.CompareAndSwap(0, now.UnixNano()) && now.UnixNano()-c.stuck.Load() > int64(breakerWindow) {
			g.breaker.trip(now) // the places will not be free by themselves: only a probe's success frees them
		}
		return pending[T]{guard: g, refused: errBusy}
	}
	if c.stuck.Load() != 0 {
		c.stuck.Store(0)
	}
	p := pending[T]{guard: g, calls: c, marks: new(callMarks)}
	return launch(ctx, p, call, func() {
		if p.marks.given.Swap(true) {
			c.stranded.Add(-1)
			g.breaker.hurry(time.Now())
		}
		c.running.Add(-1)
	})
}

// probe calls a Store to find out whether it works again.
func probe[T any](ctx context.Context, g *guard, call func(context.Context) (T, error)) pending[T] {
	if g.probes.Add(1) > maxProbes {
		g.probes.Add(-1)
		return pending[T]{guard: g, probe: true, refused: errBusy}
	}
	return launch(ctx, pending[T]{guard: g, probe: true, marks: new(callMarks)}, call, func() {
		g.probes.Add(-1)
		g.breaker.hurry(time.Now())
	})
}

// launch calls a Store in a goroutine, for it may ignore the end of its context.
func launch[T any](ctx context.Context, p pending[T], call func(context.Context) (T, error), leave func()) pending[T] {
	p.answers = make(chan answer[T], 1) // a late answer finds a place, so its goroutine ends
	go func() {
		defer leave()
		p.marks.begun.Store(true)
		a := answer[T]{err: errPanicked} // unless call returns
		defer func() { p.answers <- a }()
		defer func() { _ = recover() }()
		a.v, a.err = call(ctx)
	}()
	return p
}

// giveUp notes that nothing waits for the call any more.
func (p pending[T]) giveUp() {
	if p.calls == nil {
		return
	}
	p.calls.stranded.Add(1)
	if p.marks.given.Swap(true) {
		p.calls.stranded.Add(-1) // it has returned meanwhile
	}
}

// wait returns the answer, or an error once the budget is spent.
func (p pending[T]) wait(b *budget) (T, error) {
	var a answer[T]
	if a.err = p.refused; a.err == nil {
		var came bool
		if a, came = await(b, p.answers, p.marks.begun.Load); !came {
			a.err = errTimeout
			p.giveUp()
		}
	}
	if errors.Is(a.err, context.DeadlineExceeded) {
		a.err = errTimeout
	}
	p.guard.count(a.err)
	if !errors.Is(a.err, errOpen) {
		if p.probe && healthy(a.err) {
			p.guard.replaceStranded()
		}
		p.guard.breaker.report(time.Now(), p.probe, healthy(a.err), p.guard.probes.Load())
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
