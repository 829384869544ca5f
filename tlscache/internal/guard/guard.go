// Package guard stands between handshakes and a Store that may be slow, dead or hanging. A handshake waits for
// an answer as long as its Budget allows and no longer, whatever the Store does. What a Store fails to do costs
// a resumption, and never a handshake.
//
// # Promises
//
//   - A wait ends when its Budget is spent, also where the Store ignores the context of the call. What a goroutine waits
//     for a processor is not counted; see Budget.
//   - A panic of the Store is a failure like any other.
//   - A Store that keeps failing is left alone. Handshakes do not wait for it then, not even for the calls that find out
//     whether it works again.
//   - A Store that never returns from its calls strands a bounded number of goroutines.
//   - A Store that works again is used again, also where it never returns from the calls of before.
//
// # A call
//
// Each call runs in a goroutine of its own: only so can the handshake go on without it. Wait hands over the answer,
// or gives up.
//
//	             Start
//	               │
//	        ┌──────▼──────┐  open, and no probe is due or allowed
//	        │   breaker   │ ────────────────────────────────────────► ErrOpen
//	        └─┬─────────┬─┘
//	   closed │         │ open, and a probe is due
//	          ▼         └──────────────┐
//	┌──────────────────┐ none free     ▼
//	│ places for calls │ ─► ErrBusy   probe, in the background ────────► ErrOpen
//	└─────────┬────────┘
//	          ▼
//	       the Store ──► an answer in time  ──► the answer, or the Store's error
//	          │
//	          └────────► none in time       ──► ErrTimeout; the call is stranded
//	                                            until the Store returns from it
//
// # The breaker
//
// It opens when more than half of at least 20 calls within a second failed, or when no place has been free for
// a second. Answers like session.ErrNotFound are no failures.
//
//	┌────────┐  too many calls fail  ┌────────┐  the pause is over  ┌─────────┐
//	│ closed │ ────────────────────► │  open  │ ──────────────────► │ probing │
//	└────────┘                       └────────┘ ◄────────────────── └─────────┘
//	     ▲                                       the probe fails         │
//	     └───────────────────────────────────────────────────────────────┘
//	                            the probe succeeds
//
// A probe is the next call that comes after the pause, made in the background: nothing waits for its answer. So a call
// that takes something away is never made as a probe; see NoProbe.
//
// # Places
//
// Of maxInFlight places an eighth is the probes' own. Otherwise calls that never return would take all of them, and
// nothing could find out that the Store works again. Probes go on when these are taken as well, but seldom.
//
// Stranded calls keep their places, so a Store that hangs is not called beyond them. When a probe succeeds, the calls
// that are still stranded become a former generation, and a new one gets their places. Former calls that have not
// returned are bounded, too: once there are too many, no more places are replaced.
//
// # What it does not do
//
// It does not end a goroutine that the Store keeps: Go cannot. It does not try again, does not queue, and remembers no
// answer. It does not judge what an answer says. Local Stores are called without it; Protect is for these, and for
// functions of the user's: it turns a panic into an error, and bounds no time.
package guard

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/session"
)

// Why a call has no answer of the Store's. They name tlscache, whose users get to see them.
var (
	ErrTimeout  = errors.New("tlscache: store did not answer within the budget")
	ErrBusy     = errors.New("tlscache: store has MaxInFlight calls to answer")
	ErrOpen     = errors.New("tlscache: store failed too often and is left alone for a moment")
	ErrPanicked = errors.New("tlscache: store panicked")
)

// maxFormer is how many times maxInFlight calls a Store may leave unanswered for good, outage by outage,
// before a Guard gives their places to no others.
const maxFormer = 4

// maxProbes bounds the probes that a Store may leave unanswered for good. With the pauses between them, which
// grow, that many take months.
const maxProbes = 1024

// A Guard is what all calls of one Store go through, and what it has learnt of that Store. The zero Guard is not usable;
// call New. It is safe for concurrent use, and must not be copied.
type Guard struct {
	maxInFlight int64
	current     atomic.Pointer[generation]
	probes      atomic.Int64 // that the Store has not returned from
	breaker     breaker
	counts      struct{ timeouts, failures, skipped atomic.Uint64 }

	mu struct {
		sync.Mutex
		former []*generation // with calls that were stranded when a probe succeeded
	}
}

// OnBreaker sets what is told when the breaker opens and when it closes. It must not block: it is called under the breaker's
// lock, so that the order is right. Call it before the Guard is used.
func (g *Guard) OnBreaker(f func(open bool)) { g.breaker.told = f }

// A generation is the calls since a probe last succeeded. They share the places.
type generation struct {
	running  atomic.Int64 // the Store has not returned from them
	stranded atomic.Int64 // of these, those that nothing waits for any more
	stuck    atomic.Int64 // since when, by Unix nanoseconds, no place has been free; 0: there was one
}

// New returns a Guard with places for so many calls that the Store has not returned from.
func New(maxInFlight int) *Guard {
	g := &Guard{maxInFlight: int64(maxInFlight)}
	g.breaker.patience = max(1, g.forProbes())
	g.current.Store(new(generation))
	return g
}

// forProbes returns how many of the places are the probes' own.
func (g *Guard) forProbes() int64 { return g.maxInFlight / 8 }

// replaceStranded gives the places of the calls that run to a new generation, since a probe has succeeded, unless the
// Store has left too many unanswered.
func (g *Guard) replaceStranded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.current.Load()
	if now.stranded.Load() == 0 || g.formerLocked()+now.running.Load() > maxFormer*g.maxInFlight {
		return
	}
	g.mu.former = append(g.mu.former, now)
	g.current.Store(new(generation))
}

// formerLocked returns how many calls of former generations still run, and forgets the generations without any.
func (g *Guard) formerLocked() (n int64) {
	g.mu.former = slices.DeleteFunc(g.mu.former, func(of *generation) bool { return of.running.Load() == 0 })
	for _, of := range g.mu.former {
		n += of.running.Load()
	}
	return n
}

// Stats say how a Store fares.
type Stats struct {
	Timeouts    uint64 // calls that took longer than their budget
	Failures    uint64 // calls that failed or panicked
	Skipped     uint64 // calls not made: the breaker was open, or no place was free
	InFlight    int    // calls that have not returned, also those given up on
	Stranded    int    // of those, the ones given up on that are no probes
	BreakerOpen bool   // the Store is left alone at present
}

// Stats returns the figures. They are not all of one instant.
func (g *Guard) Stats() Stats {
	now := g.current.Load()
	g.mu.Lock()
	former := g.formerLocked()
	g.mu.Unlock()
	return Stats{
		InFlight: int(now.running.Load() + former + g.probes.Load()),
		Stranded: int(now.stranded.Load() + former),
		Timeouts: g.counts.timeouts.Load(), Failures: g.counts.failures.Load(), Skipped: g.counts.skipped.Load(),
		BreakerOpen: g.breaker.isOpen(),
	}
}

// count keeps the figures of Stats.
func (g *Guard) count(err error) {
	switch {
	case healthy(err):
	case errors.Is(err, ErrTimeout):
		g.counts.timeouts.Add(1)
	case errors.Is(err, ErrBusy), errors.Is(err, ErrOpen):
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
