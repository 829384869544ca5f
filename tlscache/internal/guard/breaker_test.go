package guard

import (
	"testing"
	"time"
)

func TestBreakerOpensOnMostlyFailuresAndClosesAfterAProbe(t *testing.T) {
	var b breaker
	now := time.Now()
	call := func(good bool) (allowed bool) {
		v := b.allow(now, MayProbe)
		if v != refuse {
			b.report(now, v == letProbe, good, 0)
		}
		return v != refuse
	}
	for range breakerCalls - 1 {
		call(false)
	}
	if b.isOpen() {
		t.Fatalf("open after %d failures; want %d calls first", breakerCalls-1, breakerCalls)
	}
	call(false)
	if call(true) {
		t.Fatal("a call was allowed while the breaker was open")
	}
	now = now.Add(2 * breakerPause)
	if !call(false) || call(true) {
		t.Fatal("want one probe after the pause, and none after it failed")
	}
	now = now.Add(2 * breakerPause)
	if v := b.allow(now, NoProbe); v != refuse {
		t.Fatalf("allow = %v of a call that may not probe; want it refused", v)
	}
	if v := b.allow(now, MayProbe); v != letProbe {
		t.Fatalf("allow = %v after another pause; want a probe", v)
	}
	if b.allow(now, MayProbe) != refuse {
		t.Fatal("a second call was allowed while a probe was under way")
	}
	b.report(now, false, true, 0) // one that began before the breaker opened
	if !b.isOpen() {
		t.Fatal("an old call's success closed the breaker")
	}
	b.report(now, true, true, 0)
	if !call(true) || b.isOpen() {
		t.Fatal("the breaker is open after a probe that succeeded")
	}
}

func TestBreakerStaysClosedWhileAtLeastHalfSucceeds(t *testing.T) {
	var b breaker
	now := time.Now()
	for i := range 1000 {
		b.report(now, false, i%2 == 0, 0)
	}
	if b.isOpen() {
		t.Error("open though every second call succeeded")
	}
	now = now.Add(breakerWindow)
	for range 10 * breakerCalls { // slower than breakerCalls in a window: each fails on its own
		now = now.Add(breakerWindow / (breakerCalls - 2))
		b.report(now, false, false, 0)
	}
	if b.isOpen() {
		t.Errorf("open though there were fewer than %d calls a second", breakerCalls)
	}
}

// A call that was given up on returns: the Store may work again, so it is not left alone for the rest of a long pause.
func TestALateAnswerShortensALongPause(t *testing.T) {
	b, now := breaker{patience: 1}, time.Now()
	b.trip(now)
	now = now.Add(2 * breakerPause)
	if v := b.allow(now, MayProbe); v != letProbe {
		t.Fatalf("allow = %v after a pause; want a probe", v)
	}
	b.report(now, true, false, 1)
	now = now.Add(2 * breakerPause)
	if v := b.allow(now, MayProbe); v != refuse {
		t.Fatalf("allow = %v soon after a probe that was not answered; want it refused", v)
	}
	b.hurry(now)
	if v := b.allow(now.Add(breakerPause), MayProbe); v != letProbe {
		t.Fatalf("allow = %v once a stranded call has returned; want a probe", v)
	}
}
