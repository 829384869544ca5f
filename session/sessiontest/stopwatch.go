package sessiontest

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"time"
)

// A stopwatch tells real time in a bubble, too: a goroutine outside moves its hand.
type stopwatch struct {
	hand atomic.Int64
	quit chan struct{}
}

func startStopwatch() *stopwatch {
	w := &stopwatch{quit: make(chan struct{})}
	began, tick := time.Now(), time.NewTicker(time.Millisecond)
	go func() {
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.hand.Store(int64(time.Since(began)))
			case <-w.quit:
				return
			}
		}
	}()
	return w
}

func (w *stopwatch) stop() { close(w.quit) }

func (w *stopwatch) elapsed() time.Duration { return time.Duration(w.hand.Load()) }

// giveWay lets others run until a call is over, for some milliseconds at most: it may be waiting
// for us. It waits for no timer, which in a bubble does not run while the call waits for a lock.
func (t *tester) giveWay(over <-chan struct{}) {
	const most = 5 * time.Millisecond
	began := t.watch.elapsed()
	for yields := 0; !isClosed(over); yields++ {
		if yields >= 100 && t.watch.elapsed()-began >= most {
			return
		}
		runtime.Gosched()
	}
}

// returns reports whether a call returns at all, though it may wait for what its caller holds.
// Only a call that does not takes long to tell.
func (t *tester) returns(call func()) bool {
	over := make(chan struct{})
	go func() {
		defer close(over)
		calledByReturns(call)
	}()
	for began := t.watch.elapsed(); !isClosed(over); runtime.Gosched() {
		waited := t.watch.elapsed() - began
		if waited > t.stuck {
			return false
		}
		if waited > 50*time.Millisecond && (!t.bubble || sleeps()) {
			select { // a slow Store; in a bubble virtual time must pass for it
			case <-over:
			case <-time.After(t.stuck):
				return isClosed(over)
			}
		}
	}
	return true
}

//go:noinline
func calledByReturns(call func()) { call() }

// sleeps reports whether what calledByReturns called waits for time or for others of its bubble,
// not for a lock. The runtime says so in its traces, and nowhere else.
func sleeps() bool {
	trace := make([]byte, 1<<20)
	trace = trace[:runtime.Stack(trace, true)]
	for g := range bytes.SplitSeq(trace, []byte("\n\n")) {
		head, rest, _ := bytes.Cut(g, []byte("\n"))
		if bytes.Contains(rest, []byte("sessiontest.calledByReturns(")) {
			return bytes.Contains(head, []byte("(durable)"))
		}
	}
	return false
}
