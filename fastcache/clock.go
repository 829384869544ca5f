package fastcache

import (
	"math"
	"time"

	"github.com/sessioncache/sessioncache/timerwheel"
)

// Time here is int64 nanoseconds since the cache's birth, by the monotonic clock: no step
// of the wall clock changes it, and no process-wide epoch is shared.
const (
	// never is an instant that does not come: 292 years after birth.
	never = int64(math.MaxInt64)

	// tickShift makes a tick of the wheel 2^24 ns = 16.8 ms.
	tickShift = 24
)

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

// setDeadline sets the deadlines of an unpublished node.
func (c *Cache[V]) setDeadline(n *node[V], now int64, ttl time.Duration) {
	until := after(now, ttl)
	if c.cfg.IdleTTL > 0 {
		extraOf(n).setDeadline(until)
		until = min(until, after(now, c.cfg.IdleTTL))
	}
	n.Item.setUntil(until)
	if c.hits != nil {
		setBorn(n, now)
	}
}
