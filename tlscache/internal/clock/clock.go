// Package clock tells the times of handshakes and revocations, and orders them although the wall clock may be wrong.
//
// A machine has two clocks. The monotonic one never goes back, but it means something in one process only, and it
// stands still while the machine is suspended. The wall clock means the same everywhere, as well as clocks agree, but
// it can be set. So a Stamp has both: by Order two stamps of one process compare exactly, by Wall those of all do.
//
// A step of the wall clock ends an epoch. Each stamp bears the number of its epoch in the low byte of its Wall. When the
// wall clock is set back, the stamps of the epoch that lie ahead were wrong; they make a Span, which is not believed
// from then on, even when that time comes. Without the number, right stamps of that time would look the same.
package clock

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

const (
	// MaxSkew is how far the clocks of processes may differ. A time that lies further ahead was
	// stamped by a clock that was wrong.
	MaxSkew = 5 * time.Minute

	// stepSize is how far the wall clock may be off from what the monotonic clock predicts before it
	// counts as set. NTP slews by at most a thousandth, for which there is more room.
	stepSize = time.Second

	// epochBits of a wall time say in which epoch of which clock it was stamped, so that stamps of a clock
	// that was wrong are told from those of the time itself, when it comes.
	epochBits = 0xff

	// Tick is how fine stamps are by the wall, in nanoseconds.
	Tick = epochBits + 1

	// MaxSpans bounds what a clock remembers of the times at which it was wrong, and maxSteps of when it was set.
	MaxSpans = 8
	maxSteps = 256
)

// A Stamp is a time by both clocks. By order, stamps of one process compare exactly, also where the wall
// clock is set; by wall, those of all processes do, as well as their clocks agree. A stamp is
// also a deadline, which is over when it is over by either clock: the monotonic one stands still
// while the machine is suspended, and the other one may be set back.
type Stamp struct {
	Wall  int64 // Unix nanoseconds
	Order int64 // nanoseconds of this process's clock, from 1; 0: it came sealed, from anywhere
}

// Compare orders two stamps: exactly where both are of this process.
func (s Stamp) Compare(other Stamp) int {
	a, b := s.Wall, other.Wall
	if s.Order != 0 && other.Order != 0 {
		a, b = s.Order, other.Order
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Plus returns the stamp of a time later by d.
func (s Stamp) Plus(d time.Duration) Stamp {
	s.Wall += int64(d)
	if s.Order != 0 {
		s.Order += int64(d)
	}
	return s
}

// BackTo returns a stamp of the same clock at the time of another clock's, if that was earlier by the wall,
// or up to two ticks before it: stamps are no finer than a tick.
func (s Stamp) BackTo(other Stamp) Stamp {
	if d := other.Wall&^epochBits - s.Wall&^epochBits - Tick; d < 0 {
		s.Wall, s.Order = s.Wall+d, max(1, s.Order+d)
	}
	return s
}

// Since returns how long ago s was at now, by the clock that says more.
func (s Stamp) Since(now Stamp) time.Duration {
	age := now.Wall - s.Wall
	if s.Order != 0 {
		age = max(age, now.Order-s.Order)
	}
	return time.Duration(age)
}

// Earlier returns the deadline that is over as soon as s or other is.
func (s Stamp) Earlier(other Stamp) Stamp {
	s.Wall = min(s.Wall, other.Wall)
	if s.Order == 0 || other.Order != 0 && other.Order < s.Order {
		s.Order = other.Order
	}
	return s
}

// A Clock gives the times of authentications and revocations. In order, a stamp is never the same as
// another or earlier than one before. By the wall it is so too while the wall clock runs; when that
// is set back, the stamps follow, for one wrong clock must not count for ever. The zero value is
// ready; it is safe for concurrent use.
type Clock struct {
	source func() Stamp // for tests; nil: the machine's clocks
	mu     struct {
		sync.Mutex
		birth time.Time
		seen  Stamp       // when the clocks were last read
		last  Stamp       // the latest given out
		begun int64       // by the wall, the epoch: since the wall clock was last set
		epoch int64       // its number, modulo Tick
		steps []step      // oldest first
		wrong []wrongSpan // in order of their end
	}
}

// A step is that the wall clock was set, which ended an epoch.
type step struct {
	order, by int64
	ended     Span // the stamps of that epoch; none if it ends before it begins
}

// A Span has the stamps of one epoch of a clock, from one to another, which were wrong: they lay ahead
// of the time to which the clock was set back. Both ends bear the epoch.
type Span struct{ From, To int64 }

// A wrongSpan is a span, and by how much the clock of this process was set since, which shows that
// it was right after all where it comes to nothing. That of another process does not change.
type wrongSpan struct {
	Span
	own bool
	set int64
}

func (s Span) holds(wall int64) bool {
	return s.From <= wall && wall <= s.To && wall&epochBits == s.To&epochBits
}

// Read returns the present time, which may be that of a stamp as well.
func (c *Clock) Read() Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readLocked()
}

func (c *Clock) readLocked() Stamp {
	var now Stamp
	if c.source != nil {
		now = c.source()
	} else {
		t := time.Now()
		if c.mu.birth.IsZero() {
			c.mu.birth = t // not the process's: virtual time has no other
		}
		now = Stamp{Wall: t.UnixNano(), Order: 1 + int64(t.Sub(c.mu.birth))}
	}
	if c.mu.seen.Order == 0 {
		c.mu.begun, c.mu.epoch = now.Wall, rand.Int64N(Tick)
	} else {
		passed := now.Order - c.mu.seen.Order
		off := now.Wall - c.mu.seen.Wall - passed
		if slack := int64(stepSize) + passed/1000; off > slack || off < -slack {
			c.stepLocked(now, off)
		}
	}
	c.mu.seen = now
	return now
}

// Stamp returns the present time as a stamp that is later than all before.
func (c *Clock) Stamp() Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.readLocked()
	if ahead := c.mu.last.Wall - now.Wall; ahead > int64(stepSize) {
		c.stepLocked(now, -ahead) // set back by little, many times
	}
	s := Stamp{Wall: now.Wall&^epochBits | c.mu.epoch, Order: max(now.Order, c.mu.last.Order+1)}
	if s.Wall <= c.mu.last.Wall {
		s.Wall = (c.mu.last.Wall+Tick)&^epochBits | c.mu.epoch
	}
	c.mu.last = s
	return s
}

// stepLocked begins an epoch, since the wall clock was set.
func (c *Clock) stepLocked(now Stamp, by int64) {
	if len(c.mu.steps) == maxSteps {
		c.mu.steps = c.mu.steps[1:]
	}
	c.mu.steps = append(c.mu.steps, step{now.Order, by, Span{c.mu.begun&^epochBits | c.mu.epoch, c.mu.last.Wall}})
	for i := range c.mu.wrong {
		c.mu.wrong[i].set += by
	}
	c.mu.wrong = slices.DeleteFunc(c.mu.wrong, func(s wrongSpan) bool { return s.own && s.set > -2*int64(stepSize) })
	// Of all epochs: the wall clock may have been set forward by little before it was set back by much.
	set := int64(0)
	for i := len(c.mu.steps) - 1; i >= 0; i-- {
		set += c.mu.steps[i].by
		ended := c.mu.steps[i].ended
		if from := max(ended.From, now.Wall) &^ epochBits; ended.To >= from {
			c.distrustLocked(wrongSpan{Span{from | ended.To&epochBits, ended.To}, true, set})
		}
	}
	c.mu.begun, c.mu.epoch = now.Wall, (c.mu.epoch+1)%Tick
	c.mu.last.Wall = min(c.mu.last.Wall, now.Wall-Tick) // so that the stamps follow
}

// Distrust notes that stamps are of a clock that was wrong.
func (c *Clock) Distrust(spans []Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range spans {
		c.distrustLocked(wrongSpan{Span: s})
	}
}

func (c *Clock) distrustLocked(s wrongSpan) {
	i, _ := slices.BinarySearchFunc(c.mu.wrong, s, func(a, b wrongSpan) int { return cmp.Compare(a.To, b.To) })
	if i < len(c.mu.wrong) && c.mu.wrong[i].To == s.To { // more of the same epoch
		c.mu.wrong[i].From = min(c.mu.wrong[i].From, s.From)
		return
	}
	c.mu.wrong = slices.Insert(c.mu.wrong, i, s)
	if len(c.mu.wrong) > MaxSpans {
		c.mu.wrong = slices.Delete(c.mu.wrong, 0, 1) // what its sessions have left of their lives is least
	}
}

// Wrongs returns the spans that matter still.
func (c *Clock) Wrongs() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := c.mu.seen.Wall - int64(session.MaxTTL)
	c.mu.wrong = slices.DeleteFunc(c.mu.wrong, func(s wrongSpan) bool { return s.To < oldest })
	var spans []Span
	for _, s := range c.mu.wrong {
		spans = append(spans, s.Span)
	}
	return spans
}

// Believes reports whether a time that came sealed can be one at which something happened: it does not
// lie ahead, and was not stamped while the clock was wrong.
func (c *Clock) Believes(wall int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wall > c.readLocked().Wall+int64(MaxSkew) {
		return false
	}
	for _, s := range c.mu.wrong {
		if s.holds(wall) {
			return false
		}
	}
	return true
}

// Corrected returns what the wall clock said at a stamp of this process, or would have said, had it
// been put right by then. Only a correction backwards counts: one forwards says that the machine
// was suspended as often as that its clock was slow. It is never before what this clock stamped earlier and
// believes now: a clock that was set back and forth has been there already.
func (c *Clock) Corrected(s Stamp) int64 {
	if s.Order == 0 {
		return s.Wall
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readLocked()
	wall, earlier := s.Wall, int64(0)
	for i, step := range c.mu.steps {
		switch {
		case step.order <= s.Order:
			earlier = max(earlier, c.believedOfLocked(step.ended))
			continue
		case i == 0 || c.mu.steps[i-1].order <= s.Order: // the epoch of s itself
			earlier = max(earlier, min(s.Wall, c.believedOfLocked(step.ended)))
		}
		wall += step.by
	}
	// What was set and put right again sums up to a little, and a revocation must not lose that.
	if s.Wall-wall < 2*int64(stepSize) {
		wall = s.Wall
	}
	return max(wall, earlier)
}

// believedOfLocked returns the latest of an epoch's stamps that is believed; 0: none.
func (c *Clock) believedOfLocked(epoch Span) int64 {
	latest := epoch.To
	for _, s := range c.mu.wrong {
		if s.To == epoch.To {
			latest = min(latest, s.From-1)
		}
	}
	if latest < epoch.From {
		return 0
	}
	return latest
}
