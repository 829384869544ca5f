package fastcache

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/sessioncache/sessioncache/timerwheel"
)

// Time here is int64 nanoseconds since the cache's birth, by the monotonic clock: no step
// of the wall clock changes it, and no process-wide epoch is shared.
const (
	// never is an instant that does not come: 292 years after birth.
	never = int64(math.MaxInt64)

	// tickShift makes a tick of the wheel 2^24 ns = 16.8 ms.
	tickShift = 24

	// slack is how late the timer may run, at most, before a Lookup without ExactClock may
	// return an expired session. A timer that late needs a process that was stopped for more
	// than a second; the other second is for the timer's goroutine to get a processor and the
	// alarm's lock, behind all others, where there is more work than processors.
	slack = int64(2 * time.Second)

	// lead is how long before a deadline that is far off the timer runs a first time, to
	// put the horizon between: else all sessions that share a deadline within the slack,
	// as those stored in one burst do, would have every Lookup read the clock all along.
	lead = 2 * slack
)

// Special values of alarm.horizon.
const (
	idleHorizon = uint64(math.MaxInt64) // nothing is scheduled: any Update lowers it

	// passHorizon holds during an expiry pass. As the largest unsigned number it makes
	// every Lookup read the clock; as the smallest signed one, -1, it tells Update that
	// the pass will arm the timer when it ends.
	passHorizon = uint64(math.MaxUint64)
)

// An alarm wakes the cache at the earliest deadline, and no sooner: an idle or empty cache
// wakes nobody.
type alarm struct {
	// horizon is the next wake-up plus slack. An entry whose until lies beyond it is alive
	// without a look at any clock: the timer runs before, and lowers the horizon never
	// below the present minus slack.
	horizon atomic.Uint64
	_       [56]byte // horizon is read by every Lookup; keep what writers touch off its line

	mu struct {
		sync.Mutex // taken last; never while taking a shard's lock
		timer      *time.Timer
		pending    int  // runs of the timer's function that were started and have not begun
		passing    bool // a pass is under way
		closed     bool
		wakeUps    uint64
	}
	quiet sync.Cond // signalled when pending or passing falls
}

// now returns the time since the cache's birth.
func (c *Cache[V]) now() int64 { return int64(time.Since(c.birth)) }

// after returns now+ttl, or never if that is beyond it.
func after(now int64, ttl time.Duration) int64 {
	if at := now + int64(ttl); at > 0 {
		return at
	}
	return never
}

// dueTick returns the first tick at whose start the deadline has passed.
func dueTick(until int64) timerwheel.Tick {
	tick := until >> tickShift
	if until&(1<<tickShift-1) != 0 {
		tick++
	}
	return timerwheel.Tick(tick)
}

// tickOf returns the tick that contains an instant.
func tickOf(now int64) timerwheel.Tick { return timerwheel.Tick(now >> tickShift) }

// startOf returns the instant at which a tick starts.
func startOf(tick timerwheel.Tick) int64 {
	if tick > timerwheel.Tick(never>>tickShift) {
		return never
	}
	return int64(tick) << tickShift
}

// horizonOf returns the horizon for a wake-up.
func horizonOf(at int64) uint64 {
	if at > never-slack {
		return idleHorizon
	}
	return uint64(at + slack)
}

// wakeBy makes sure that the timer runs at an instant that a shard has published as its
// next, or earlier.
//
// It loads horizon after that store; a pass raises horizon first and loads every next
// afterwards. So either the pass sees the next, or we see its horizon.
func (c *Cache[V]) wakeBy(at int64) {
	if int64(horizonOf(at)) >= int64(c.alarm.horizon.Load()) {
		return // a pass is under way (-1), or the timer runs early enough
	}
	a := &c.alarm
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.closed || int64(horizonOf(at)) >= int64(a.horizon.Load()) {
		return
	}
	c.armLocked(at)
}

// armLocked sets the timer to an instant, or first to one before it, and publishes the
// horizon. It needs alarm.mu.
func (c *Cache[V]) armLocked(at int64) {
	a := &c.alarm
	now := c.now()
	at = max(at, now) // whoever asks may have stalled: a horizon in the past would show what has expired
	if at-now > 2*lead && !c.clocked {
		at -= lead
	}
	a.horizon.Store(horizonOf(at))
	wait := time.Duration(at - now)
	if a.mu.timer == nil {
		// The timer holds the cache weakly and nothing else does, so an abandoned cache
		// is collected; the timer then runs once, in vain. No cleanup stops it: that
		// would be a fatal error for a timer of a synctest bubble.
		w := weak.Make(c)
		a.mu.timer = time.AfterFunc(wait, func() {
			if c := w.Value(); c != nil {
				c.wake()
			}
		})
	} else {
		if a.mu.timer.Stop() {
			a.mu.pending--
		}
		a.mu.timer.Reset(wait)
	}
	a.mu.pending++
}

// wake is the timer's function: it expires what is due and arms the timer anew.
func (c *Cache[V]) wake() {
	a := &c.alarm
	a.mu.Lock()
	a.mu.pending--
	if a.mu.closed || a.mu.passing {
		a.quiet.Broadcast()
		a.mu.Unlock()
		return // the pass under way looks at every shard's next when it ends
	}
	a.mu.passing = true
	a.mu.wakeUps++
	a.horizon.Store(passHorizon)
	a.mu.Unlock()

	for i := range c.shards {
		c.expireShard(&c.shards[i])
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.passing = false
	a.quiet.Broadcast()
	a.horizon.Store(idleHorizon) // before any next is loaded: see wakeBy
	at := never
	for i := range c.shards {
		at = min(at, c.shards[i].next.Load())
	}
	if at != never && !a.mu.closed {
		c.armLocked(at)
	}
}

// expireShard removes what is due in a shard, a batch under each hold of its lock.
func (c *Cache[V]) expireShard(s *shard[V]) {
	for s.next.Load() <= c.now() {
		s.mu.Lock()
		s.expireLocked(c, c.now())
		s.publishNextLocked()
		c.unlock(s)
	}
}

// stopTimer ends the alarm and waits for a pass that is under way.
func (c *Cache[V]) stopTimer() {
	a := &c.alarm
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.closed = true
	if a.mu.timer != nil && a.mu.timer.Stop() {
		a.mu.pending--
	}
	for a.mu.pending > 0 || a.mu.passing {
		a.quiet.Wait()
	}
}
