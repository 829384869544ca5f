package tlscache

import (
	"sync"
	"testing"
	"time"
)

// A testClock is the machine's clocks, which a test sets.
type testClock struct {
	mu         sync.Mutex
	wall, mono time.Duration // that they are ahead of the real ones
	still      *stamp        // the time, if it stands still
}

func (c *testClock) read() stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := stamp{wall: time.Now().UnixNano(), order: 1 + int64(time.Since(testBirth))}
	if c.still != nil {
		now = *c.still
	}
	now.wall += int64(c.wall)
	now.order += int64(c.mono)
	return now
}

var testBirth = time.Now()

// set sets the wall clock, forwards or back.
func (c *testClock) set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += by
}

// pass lets time pass; suspend lets it pass while the machine is suspended.
func (c *testClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall+d, c.mono+d
}

func (c *testClock) suspend(d time.Duration) { c.set(d) }

// stop makes time stand still, but for what a test does.
func (c *testClock) stop() {
	now := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono, c.still = 0, 0, &now
}

// clocked returns a keyring whose clock a test sets.
func clocked(t testing.TB, active Secret, accepted ...Secret) (*Keyring, *testClock) {
	k, c := ring(t, active, accepted...), new(testClock)
	k.clock.mu.seen = stamp{}
	k.clock.source = c.read
	return k, c
}

func TestStampsNeverRepeatNorGoBackInOrder(t *testing.T) {
	k, c := clocked(t, secret(1))
	c.stop()
	last := k.clock.stamp()
	for i := range 1000 {
		if i%100 == 99 {
			c.set([]time.Duration{-time.Hour, time.Hour, -time.Millisecond}[i/100%3])
		}
		next := k.clock.stamp()
		if next.order <= last.order || next.compare(last) <= 0 {
			t.Fatalf("stamp %v after %v", next, last)
		}
		if i%100 != 99 && next.wall <= last.wall {
			t.Fatalf("the wall of stamp %v after %v, and the clock was not set", next, last)
		}
		last = next
	}
}

func TestStampsFollowAWallClockThatIsSetBack(t *testing.T) {
	k, c := clocked(t, secret(1))
	c.stop()
	near := func(what string, s stamp) {
		t.Helper()
		if off := time.Duration(s.wall - c.read().wall); off < -time.Microsecond || off > stepSize+time.Microsecond {
			t.Errorf("%s: a stamp is %v off the wall clock", what, off)
		}
	}
	k.clock.stamp()
	for _, by := range []time.Duration{48 * time.Hour, -48 * time.Hour, -time.Hour, time.Hour, -2 * time.Second} {
		c.set(by)
		near(by.String(), k.clock.stamp())
	}
	for range 100 { // each too little to count as a step
		k.clock.stamp()
		c.set(-stepSize * 9 / 10)
		near("many small steps", k.clock.stamp())
	}
}

// Forwards and back again is no correction, and a suspended machine's clock was right all along.
func TestOnlyCorrectionsBackwardsMoveAStamp(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after []time.Duration
		want          time.Duration // off what it was stamped with
	}{
		"never set":           {nil, nil, 0},
		"stamped while wrong": {[]time.Duration{48 * time.Hour}, []time.Duration{-48 * time.Hour}, -48 * time.Hour},
		"wrong afterwards":    {nil, []time.Duration{48 * time.Hour, -48 * time.Hour}, 0},
		"suspended":           {nil, []time.Duration{25 * time.Hour}, 0},
		"slow at first":       {nil, []time.Duration{time.Hour}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k, c := clocked(t, secret(1))
			c.stop()
			k.clock.stamp()
			for _, by := range tt.before {
				c.set(by)
				c.pass(time.Minute)
			}
			s := k.clock.stamp()
			for _, by := range tt.after {
				c.pass(time.Minute)
				c.set(by)
				k.clock.read()
			}
			if got := time.Duration(k.clock.corrected(s) - s.wall); got.Round(time.Second) != tt.want {
				t.Errorf("corrected by %v; want %v", got, tt.want)
			}
		})
	}
}

func TestAClockRemembersWhatItStampedWhileItWasWrong(t *testing.T) {
	k, c := clocked(t, secret(1))
	c.stop()
	right := k.clock.stamp()
	c.set(time.Hour)
	first := k.clock.stamp()
	c.pass(time.Minute)
	last := k.clock.stamp()
	c.set(-time.Hour)
	after := k.clock.stamp()
	c.pass(2 * time.Hour) // the time that it had shown has come
	meanwhile := k.clock.stamp()
	for what, s := range map[string]stamp{"before": right, "after": after, "when that time has come": meanwhile} {
		if !k.clock.believes(s.wall) {
			t.Errorf("does not believe a stamp of %s", what)
		}
	}
	for what, s := range map[string]stamp{"first": first, "last": last} {
		if k.clock.believes(s.wall) {
			t.Errorf("believes the %s stamp of the time when it was wrong", what)
		}
	}
	if between := (first.wall+last.wall)/2&^epochBits | (after.wall & epochBits); !k.clock.believes(between) {
		t.Error("does not believe a stamp of that very time by a clock that was right")
	}
	if k.clock.believes(c.read().wall + int64(maxSkew) + int64(time.Second)) {
		t.Error("believes a stamp that lies ahead")
	}
}

func TestWhatAClockRemembersIsBounded(t *testing.T) {
	k, c := clocked(t, secret(1))
	c.stop()
	for range 10 * maxSteps {
		c.set(time.Hour)
		k.clock.stamp()
		c.set(-time.Hour - 10*time.Second)
		k.clock.stamp()
	}
	if n := len(k.clock.mu.steps); n > maxSteps {
		t.Errorf("%d steps; want at most %d", n, maxSteps)
	}
	if n := len(k.clock.wrongs()); n > maxSpans || n == 0 {
		t.Errorf("%d spans; want 1 to %d", n, maxSpans)
	}
	c.pass(2 * markLife)
	k.clock.stamp()
	if n := len(k.clock.wrongs()); n != 0 {
		t.Errorf("%d spans when no session can be of them; want 0", n)
	}
}
