package tlscache

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

const (
	// maxSkew is how far the clocks of processes may differ. A time that lies further ahead was
	// stamped by a clock that was wrong.
	maxSkew = 5 * time.Minute

	// stepSize is how far the wall clock may be off from what the monotonic clock predicts before it
	// counts as set. NTP slews by at most a thousandth, for which there is more room.
	stepSize = time.Second

	// epochBits of a wall time say in which epoch of which clock it was stamped, so that stamps of a clock
	// that was wrong are told from those of the time itself, when it comes.
	epochBits = 0xff
	tick      = epochBits + 1

	// maxSpans bounds what a clock remembers of the times at which it was wrong, and maxSteps of when it was set.
	maxSpans = 8
	maxSteps = 256
)

// A stamp is a time by both clocks. By order, stamps of one process compare exactly, also where the wall
// clock is set; by wall, those of all processes do, as well as their clocks agree. A stamp is
// also a deadline, which is over when it is over by either clock: the monotonic one stands still
// while the machine is suspended, and the other one may be set back.
type stamp struct {
	wall  int64 // Unix nanoseconds
	order int64 // nanoseconds of this process's clock, from 1; 0: it came sealed, from anywhere
}

// compare orders two stamps: exactly where both are of this process.
func (s stamp) compare(other stamp) int {
	a, b := s.wall, other.wall
	if s.order != 0 && other.order != 0 {
		a, b = s.order, other.order
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// plus returns the stamp of a time later by d.
func (s stamp) plus(d time.Duration) stamp {
	s.wall += int64(d)
	if s.order != 0 {
		s.order += int64(d)
	}
	return s
}

// backTo returns a stamp of the same clock at the time of another clock's, if that was earlier by the wall,
// or up to two ticks before it: stamps are no finer than a tick.
func (s stamp) backTo(other stamp) stamp {
	if d := other.wall&^epochBits - s.wall&^epochBits - tick; d < 0 {
		s.wall, s.order = s.wall+d, max(1, s.order+d)
	}
	return s
}

// since returns how long ago s was at now, by the clock that says more.
func (s stamp) since(now stamp) time.Duration {
	age := now.wall - s.wall
	if s.order != 0 {
		age = max(age, now.order-s.order)
	}
	return time.Duration(age)
}

// earlier returns the deadline that is over as soon as s or other is.
func (s stamp) earlier(other stamp) stamp {
	s.wall = min(s.wall, other.wall)
	if s.order == 0 || other.order != 0 && other.order < s.order {
		s.order = other.order
	}
	return s
}

// A clock gives the times of authentications and revocations. In order, a stamp is never the same as
// another or earlier than one before. By the wall it is so too while the wall clock runs; when that
// is set back, the stamps follow, for one wrong clock must not count for ever. The zero value is
// ready; it is safe for concurrent use.
type clock struct {
	source func() stamp // for tests; nil: the machine's clocks
	mu     struct {
		sync.Mutex
		birth time.Time
		seen  stamp       // when the clocks were last read
		last  stamp       // the latest given out
		begun int64       // by the wall, the epoch: since the wall clock was last set
		epoch int64       // its number, modulo tick
		steps []step      // oldest first
		wrong []wrongSpan // in order of their end
	}
}

// A step is that the wall clock was set, which ended an epoch.
type step struct {
	order, by int64
	ended     span // the stamps of that epoch; none if it ends before it begins
}

// A span has the stamps of one epoch of a clock, from one to another, which were wrong: they lay ahead
// of the time to which the clock was set back. Both ends bear the epoch.
type span struct{ from, to int64 }

// A wrongSpan is a span, and by how much the clock of this process was set since, which shows that
// it was right after all where it comes to nothing. That of another process does not change.
type wrongSpan struct {
	span
	own bool
	set int64
}

func (s span) holds(wall int64) bool {
	return s.from <= wall && wall <= s.to && wall&epochBits == s.to&epochBits
}

// read returns the present time, which may be that of a stamp as well.
func (c *clock) read() stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readLocked()
}

func (c *clock) readLocked() stamp {
	var now stamp
	if c.source != nil {
		now = c.source()
	} else {
		t := time.Now()
		if c.mu.birth.IsZero() {
			c.mu.birth = t // not the process's: virtual time has no other
		}
		now = stamp{wall: t.UnixNano(), order: 1 + int64(t.Sub(c.mu.birth))}
	}
	if c.mu.seen.order == 0 {
		c.mu.begun, c.mu.epoch = now.wall, rand.Int64N(tick)
	} else {
		passed := now.order - c.mu.seen.order
		off := now.wall - c.mu.seen.wall - passed
		if slack := int64(stepSize) + passed/1000; off > slack || off < -slack {
			c.stepLocked(now, off)
		}
	}
	c.mu.seen = now
	return now
}

// stamp returns the present time as a stamp that is later than all before.
func (c *clock) stamp() stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.readLocked()
	if ahead := c.mu.last.wall - now.wall; ahead > int64(stepSize) {
		c.stepLocked(now, -ahead) // set back by little, many times
	}
	s := stamp{wall: now.wall&^epochBits | c.mu.epoch, order: max(now.order, c.mu.last.order+1)}
	if s.wall <= c.mu.last.wall {
		s.wall = (c.mu.last.wall+tick)&^epochBits | c.mu.epoch
	}
	c.mu.last = s
	return s
}

// stepLocked begins an epoch, since the wall clock was set.
func (c *clock) stepLocked(now stamp, by int64) {
	if len(c.mu.steps) == maxSteps {
		c.mu.steps = c.mu.steps[1:]
	}
	c.mu.steps = append(c.mu.steps, step{now.order, by, span{c.mu.begun&^epochBits | c.mu.epoch, c.mu.last.wall}})
	for i := range c.mu.wrong {
		c.mu.wrong[i].set += by
	}
	c.mu.wrong = slices.DeleteFunc(c.mu.wrong, func(s wrongSpan) bool { return s.own && s.set > -2*int64(stepSize) })
	// Of all epochs: the wall clock may have been set forward by little before it was set back by much.
	set := int64(0)
	for i := len(c.mu.steps) - 1; i >= 0; i-- {
		set += c.mu.steps[i].by
		ended := c.mu.steps[i].ended
		if from := max(ended.from, now.wall) &^ epochBits; ended.to >= from {
			c.distrustLocked(wrongSpan{span{from | ended.to&epochBits, ended.to}, true, set})
		}
	}
	c.mu.begun, c.mu.epoch = now.wall, (c.mu.epoch+1)%tick
	c.mu.last.wall = min(c.mu.last.wall, now.wall-tick) // so that the stamps follow
}

// distrust notes that stamps are of a clock that was wrong.
func (c *clock) distrust(spans []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range spans {
		c.distrustLocked(wrongSpan{span: s})
	}
}

func (c *clock) distrustLocked(s wrongSpan) {
	i, _ := slices.BinarySearchFunc(c.mu.wrong, s, func(a, b wrongSpan) int { return cmp.Compare(a.to, b.to) })
	if i < len(c.mu.wrong) && c.mu.wrong[i].to == s.to { // more of the same epoch
		c.mu.wrong[i].from = min(c.mu.wrong[i].from, s.from)
		return
	}
	c.mu.wrong = slices.Insert(c.mu.wrong, i, s)
	if len(c.mu.wrong) > maxSpans {
		c.mu.wrong = slices.Delete(c.mu.wrong, 0, 1) // what its sessions have left of their lives is least
	}
}

// wrongs returns the spans that matter still.
func (c *clock) wrongs() []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := c.mu.seen.wall - int64(session.MaxTTL)
	c.mu.wrong = slices.DeleteFunc(c.mu.wrong, func(s wrongSpan) bool { return s.to < oldest })
	var spans []span
	for _, s := range c.mu.wrong {
		spans = append(spans, s.span)
	}
	return spans
}

// believes reports whether a time that came sealed can be one at which something happened: it does not
// lie ahead, and was not stamped while the clock was wrong.
func (c *clock) believes(wall int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wall > c.readLocked().wall+int64(maxSkew) {
		return false
	}
	for _, s := range c.mu.wrong {
		if s.holds(wall) {
			return false
		}
	}
	return true
}

// corrected returns what the wall clock said at a stamp of this process, or would have said, had it
// been put right by then. Only a correction backwards counts: one forwards says that the machine
// was suspended as often as that its clock was slow. It is never before what this clock stamped earlier and
// believes now: a clock that was set back and forth has been there already.
func (c *clock) corrected(s stamp) int64 {
	if s.order == 0 {
		return s.wall
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readLocked()
	wall, earlier := s.wall, int64(0)
	for i, step := range c.mu.steps {
		switch {
		case step.order <= s.order:
			earlier = max(earlier, c.believedOfLocked(step.ended))
			continue
		case i == 0 || c.mu.steps[i-1].order <= s.order: // the epoch of s itself
			earlier = max(earlier, min(s.wall, c.believedOfLocked(step.ended)))
		}
		wall += step.by
	}
	// What was set and put right again sums up to a little, and a revocation must not lose that.
	if s.wall-wall < 2*int64(stepSize) {
		wall = s.wall
	}
	return max(wall, earlier)
}

// believedOfLocked returns the latest of an epoch's stamps that is believed; 0: none.
func (c *clock) believedOfLocked(epoch span) int64 {
	latest := epoch.to
	for _, s := range c.mu.wrong {
		if s.to == epoch.to {
			latest = min(latest, s.from-1)
		}
	}
	if latest < epoch.from {
		return 0
	}
	return latest
}
