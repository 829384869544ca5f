package clock

import (
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

func faked() (*Clock, *Fake) {
	fake := new(Fake)
	return fake.Clock(), fake
}

func TestStampsNeverRepeatNorGoBackInOrder(t *testing.T) {
	k, c := faked()
	c.Stop()
	last := k.Stamp()
	for i := range 1000 {
		if i%100 == 99 {
			c.Set([]time.Duration{-time.Hour, time.Hour, -time.Millisecond}[i/100%3])
		}
		next := k.Stamp()
		if next.Order <= last.Order || next.Compare(last) <= 0 {
			t.Fatalf("stamp %v after %v", next, last)
		}
		if i%100 != 99 && next.Wall <= last.Wall {
			t.Fatalf("the wall of stamp %v after %v, and the clock was not set", next, last)
		}
		last = next
	}
}

func TestStampsFollowAWallClockThatIsSetBack(t *testing.T) {
	k, c := faked()
	c.Stop()
	near := func(what string, s Stamp) {
		t.Helper()
		if off := time.Duration(s.Wall - c.Read().Wall); off < -time.Microsecond || off > stepSize+time.Microsecond {
			t.Errorf("%s: a stamp is %v off the wall clock", what, off)
		}
	}
	k.Stamp()
	for _, by := range []time.Duration{48 * time.Hour, -48 * time.Hour, -time.Hour, time.Hour, -2 * time.Second} {
		c.Set(by)
		near(by.String(), k.Stamp())
	}
	for range 100 { // each too little to count as a step
		k.Stamp()
		c.Set(-stepSize * 9 / 10)
		near("many small steps", k.Stamp())
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
			k, c := faked()
			c.Stop()
			k.Stamp()
			for _, by := range tt.before {
				c.Set(by)
				c.Pass(time.Minute)
			}
			s := k.Stamp()
			for _, by := range tt.after {
				c.Pass(time.Minute)
				c.Set(by)
				k.Read()
			}
			if got := time.Duration(k.Corrected(s) - s.Wall); got.Round(time.Second) != tt.want {
				t.Errorf("corrected by %v; want %v", got, tt.want)
			}
		})
	}
}

func TestAClockRemembersWhatItStampedWhileItWasWrong(t *testing.T) {
	k, c := faked()
	c.Stop()
	right := k.Stamp()
	c.Set(time.Hour)
	first := k.Stamp()
	c.Pass(time.Minute)
	last := k.Stamp()
	c.Set(-time.Hour)
	after := k.Stamp()
	c.Pass(2 * time.Hour) // the time that it had shown has come
	meanwhile := k.Stamp()
	for what, s := range map[string]Stamp{"before": right, "after": after, "when that time has come": meanwhile} {
		if !k.Believes(s.Wall) {
			t.Errorf("does not believe a stamp of %s", what)
		}
	}
	for what, s := range map[string]Stamp{"first": first, "last": last} {
		if k.Believes(s.Wall) {
			t.Errorf("believes the %s stamp of the time when it was wrong", what)
		}
	}
	if between := (first.Wall+last.Wall)/2&^epochBits | (after.Wall & epochBits); !k.Believes(between) {
		t.Error("does not believe a stamp of that very time by a clock that was right")
	}
	if k.Believes(c.Read().Wall + int64(MaxSkew) + int64(time.Second)) {
		t.Error("believes a stamp that lies ahead")
	}
}

func TestWhatAClockRemembersIsBounded(t *testing.T) {
	k, c := faked()
	c.Stop()
	for range 10 * maxSteps {
		c.Set(time.Hour)
		k.Stamp()
		c.Set(-time.Hour - 10*time.Second)
		k.Stamp()
	}
	if n := len(k.mu.steps); n > maxSteps {
		t.Errorf("%d steps; want at most %d", n, maxSteps)
	}
	if n := len(k.Wrongs()); n > MaxSpans || n == 0 {
		t.Errorf("%d spans; want 1 to %d", n, MaxSpans)
	}
	c.Pass(2 * (session.MaxTTL + 2*MaxSkew))
	k.Stamp()
	if n := len(k.Wrongs()); n != 0 {
		t.Errorf("%d spans when no session can be of them; want 0", n)
	}
}
