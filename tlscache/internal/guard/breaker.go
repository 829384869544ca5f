package guard

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// breakerWindow, breakerCalls, breakerShare: the breaker opens when of at least 20 calls
	// within a second more than half failed.
	breakerWindow = time.Second
	breakerCalls  = 20

	// breakerPause is how long a Store is left alone before a call probes it, give or take a
	// quarter, so that the processes of a fleet do not probe in step.
	breakerPause = 200 * time.Millisecond

	// breakerLongPause follows a probe when more than a breaker's patience have not been answered at all: each
	// such probe strands another goroutine. It doubles with every eight more, up to breakerDoublings times.
	breakerLongPause = 5 * time.Second
	breakerDoublings = 4
)

// A breaker says whether to call a Store. It is closed at first, opens when too many calls fail,
// and then lets one call through now and then; the first that succeeds closes it. The zero
// value is ready; it is safe for concurrent use.
type breaker struct {
	patience int64 // unanswered probes after which the pauses are long
	told     func(open bool)

	mu struct {
		sync.Mutex
		since         time.Time // begin of the window
		calls, failed int       // in the window
		open          bool
		probing       bool
		until         time.Time // when the next probe may go
	}
}

// What a breaker says of a call.
type verdict int

const (
	refuse     verdict = iota
	letThrough         // make it, and report it
	letProbe           // make it as the probe, and report it
)

// allow says whether to make a call at now, which may be the probe or not.
func (b *breaker) allow(now time.Time, mayProbe bool) verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.mu.open {
		return letThrough
	}
	if !mayProbe || b.mu.probing || now.Before(b.mu.until) {
		return refuse
	}
	b.mu.probing = true
	return letProbe
}

// trip opens the breaker, as too many failures do.
func (b *breaker) trip(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.mu.open {
		b.setLocked(true)
		b.pauseLocked(now, 0)
	}
}

// hurry shortens a long pause: a call that was given up on has returned after all, so the Store may work again.
func (b *breaker) hurry(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if soon := now.Add(breakerPause); b.mu.open && b.mu.until.After(soon) {
		b.mu.until = soon
	}
}

// report notes how a call went, and how many probes have not been answered. Calls that began before the
// breaker opened do not close it.
func (b *breaker) report(now time.Time, probe, good bool, unanswered int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case probe && good:
		b.setLocked(false)
		b.mu.probing = false
		b.mu.calls, b.mu.failed, b.mu.since = 0, 0, now
	case probe:
		b.mu.probing = false
		b.pauseLocked(now, unanswered)
	case !b.mu.open:
		b.countLocked(now, good)
	}
}

func (b *breaker) countLocked(now time.Time, good bool) {
	if now.Sub(b.mu.since) >= breakerWindow {
		b.mu.calls, b.mu.failed, b.mu.since = 0, 0, now
	}
	b.mu.calls++
	if !good {
		b.mu.failed++
	}
	if b.mu.calls >= breakerCalls && 2*b.mu.failed > b.mu.calls {
		b.setLocked(true)
		b.pauseLocked(now, 0)
	}
}

// setLocked opens or closes the breaker.
func (b *breaker) setLocked(open bool) {
	if b.mu.open != open && b.told != nil {
		b.told(open)
	}
	b.mu.open = open
}

func (b *breaker) pauseLocked(now time.Time, unanswered int64) {
	pause := breakerPause
	if more := unanswered - b.patience; more >= 0 && unanswered > 0 {
		pause = breakerLongPause << min(more/8, breakerDoublings)
	}
	jitter := time.Duration(rand.Int64N(int64(pause) / 2))
	b.mu.until = now.Add(pause - pause/4 + jitter)
}

// isOpen is for Stats.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.open
}
