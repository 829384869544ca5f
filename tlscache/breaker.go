package tlscache

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
)

// A breaker says whether to call a Store. It is closed at first, opens when too many calls fail,
// and then lets one call through now and then; the first that succeeds closes it. The zero
// value is ready; it is safe for concurrent use.
type breaker struct {
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

// report notes how a call went. Calls that began before the breaker opened do not close it.
func (b *breaker) report(now time.Time, probe, good bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case probe && good:
		b.mu.open, b.mu.probing = false, false
		b.mu.calls, b.mu.failed, b.mu.since = 0, 0, now
	case probe:
		b.mu.probing = false
		b.pauseLocked(now)
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
		b.mu.open = true
		b.pauseLocked(now)
	}
}

func (b *breaker) pauseLocked(now time.Time) {
	jitter := time.Duration(rand.Int64N(int64(breakerPause) / 2))
	b.mu.until = now.Add(breakerPause - breakerPause/4 + jitter)
}

// isOpen is for Stats.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.open
}
