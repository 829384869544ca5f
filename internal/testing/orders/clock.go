package orders

import (
	"time"
	"unsafe"
)

// Now returns the time since the run began. It is a step.
func Now() time.Duration {
	stop(step{clock: Read})
	if active == nil {
		return 0
	}
	if t := active.current; t != nil && t.held > 0 {
		t.dated, t.date = true, active.now
	}
	return time.Duration(active.now)
}

// armed returns when a timer is due that the running thread sets. If the thread has read the clock under
// the lock that it holds, it reckons from there: what it has lost since makes the timer late.
func (r *Run) armed(d time.Duration) int64 {
	if t := r.current; t != nil && t.dated {
		return t.date + int64(d)
	}
	return r.now + int64(d)
}

// A Timer runs a function when its time has come, or later.
type Timer struct {
	f     func()
	due   int64
	armed bool
}

// Open reports whether the timer may run: whether it is due.
func (t *Timer) Open() bool { return t.armed && t.due <= active.now }

// AfterFunc starts a timer, as time.AfterFunc does.
func AfterFunc(d time.Duration, f func()) *Timer {
	r := active
	t := &Timer{f: f}
	stop(step{kind: Write, obj: unsafe.Pointer(t), clock: Write})
	t.due, t.armed = r.armed(d), true
	r.timers = append(r.timers, t)
	ring := r.spawn("timer", func() {
		for {
			stop(step{kind: Fire, obj: unsafe.Pointer(t), clock: Write, gate: t})
			t.armed = false
			runs := r.spawn("timer's function", f)
			runs.ofTimer, runs.late = true, t
		}
	})
	ring.daemon = true
	return t
}

// Stop stops a timer and reports whether it was armed.
func (t *Timer) Stop() bool {
	stop(step{kind: Write, obj: unsafe.Pointer(t), clock: Write})
	was := t.armed
	t.armed = false
	return was
}

// Reset arms a timer anew and reports whether it was armed.
func (t *Timer) Reset(d time.Duration) bool {
	stop(step{kind: Write, obj: unsafe.Pointer(t), clock: Write})
	was := t.armed
	t.due, t.armed = active.armed(d), true
	return was
}

// Due returns when the timer runs, and whether it is armed. It is for checks at rest.
func (t *Timer) Due() (time.Duration, bool) { return time.Duration(t.due), t.armed }

// An advance is a step of the clock to an instant.
type advance struct {
	r  *Run
	to int64
}

// Open reports whether no timer would be later than the scenario allows, and no thread that has read
// the clock under a lock would hold it longer: it may be about to set a timer.
func (a *advance) Open() bool {
	if a.r.maxLate == 0 {
		return true
	}
	for _, t := range a.r.timers {
		if t.armed && t.due+a.r.maxLate < a.to {
			return false
		}
	}
	for _, t := range a.r.threads {
		if t.late != nil && t.late.due+a.r.maxLate < a.to || t.dated && t.date+a.r.maxLate < a.to {
			return false
		}
	}
	return true
}

// SetClock moves the clock to an instant after the run's beginning, in one step.
func (r *Run) SetClock(to time.Duration) {
	stop(step{kind: Advance, clock: Write, gate: &advance{r, int64(to)}})
	r.now = max(r.now, int64(to))
}
