package fastcache

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// What promise 1 excepts: the process stops for longer than the slack, here played by a
// timer that does not run. Then a Lookup without ExactClock may return what expired
// meanwhile, until the timer has run; nothing else does, and within the slack not even
// Lookup.
func TestPromise1StoppedProcessIsTheException(t *testing.T) {
	for _, exact := range []bool{false, true} {
		t.Run(fmt.Sprintf("ExactClock=%v", exact), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewForTest(Config[int]{ExactClock: exact}, 1, HashGood)
				defer c.Close()
				early, inSlack, late := Key{"p", "early"}, Key{"p", "in slack"}, Key{"p", "late"}
				for key, ttl := range map[Key]time.Duration{early: 2 * time.Second, inSlack: 3 * time.Second, late: 5 * time.Second} {
					if err := c.UpdateTTL(key, 1, ttl); err != nil {
						t.Fatal(err)
					}
				}
				holdTimer(c) // the stop begins
				time.Sleep(7 * time.Second)
				for _, key := range []Key{early, inSlack} {
					if _, ok := c.Lookup(key); ok {
						t.Errorf("Lookup(%v) hits; it read no clock though the timer may be late by the slack", key)
					}
				}
				if _, ok := c.Lookup(late); ok == exact {
					t.Errorf("Lookup(%v) hits: %v with ExactClock %v", late, ok, exact)
				}
				if _, ok := c.Peek(late); ok {
					t.Error("Peek returned an expired session")
				}
				for k := range c.SelectSession("p") {
					t.Errorf("SelectSession shows %v", k)
				}
				for k := range c.All() {
					t.Errorf("All shows %v", k)
				}
				if k, _, ok := c.TakeNewest("p"); ok {
					t.Errorf("TakeNewest returned %v", k)
				}
				c.wake() // the stop is over
				if _, ok := c.Lookup(late); ok || c.Size() != 0 {
					t.Errorf("Lookup hits: %v, Size() = %d after the timer ran; want a miss and 0", ok, c.Size())
				}
			})
		})
	}
}

// An Update that stalls after it has stored, and asks for the alarm only when its instant is long past,
// lets no Lookup find what has expired since.
func TestPromise1StalledUpdateShowsNothingExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		key := Key{"p", "a"}
		if err := c.UpdateTTL(key, 1, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		holdTimer(c) // which is due with the session, and may run a moment later
		time.Sleep(5 * time.Second)
		c.wakeBy(int64(time.Second)) // of an Update of then
		if _, ok := c.Lookup(key); ok {
			t.Error("Lookup returns a session that has expired")
		}
		c.wake() // which the held timer owes
	})
}

// A timer that is late by no more than the slack makes no Lookup err: not at the last instant either.
func TestPromise1TimerMayBeLateByTheSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		early, last := Key{"p", "early"}, Key{"p", "last"}
		if err := c.UpdateTTL(early, 1, 2*time.Second); err != nil {
			t.Fatal(err)
		}
		horizon := time.Duration(c.alarm.horizon.Load()) // when the timer is late by the slack
		if err := c.UpdateTTL(last, 1, horizon); err != nil {
			t.Fatal(err)
		}
		holdTimer(c)
		time.Sleep(horizon - 1)
		if _, ok := c.Lookup(last); !ok {
			t.Error("Lookup misses a session 1 ns before its deadline")
		}
		time.Sleep(time.Nanosecond)
		for _, key := range []Key{early, last} {
			if _, ok := c.Lookup(key); ok {
				t.Errorf("Lookup(%v) hits at or after its deadline, while the timer is late by the slack", key)
			}
		}
		c.wake() // which the held timer owes
	})
}

// Where there is more work than processors, the timer's goroutine and the holder of the alarm's lock
// wait for their turns one after the other: the timer was 1.13 s late in a soak, though the process ran.
func TestPromise1StarvedTimerShowsNothingExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		first, last := Key{"p", "first"}, Key{"p", "last"}
		for key, ttl := range map[Key]time.Duration{first: 2 * time.Second, last: 3900 * time.Millisecond} {
			if err := c.UpdateTTL(key, 1, ttl); err != nil {
				t.Fatal(err)
			}
		}
		holdTimer(c)
		time.Sleep(3900 * time.Millisecond)
		if _, ok := c.Lookup(last); ok {
			t.Error("Lookup returns a session at its deadline, while the timer is 1.9 s late")
		}
		c.wake() // which the held timer owes
	})
}

// An Update whose session ends no sooner than the timer runs anyway needs the lock of its shard alone:
// that of the alarm is one for all shards.
func TestUpdateThatNeedsNoEarlierAlarmDoesNotWaitForIt(t *testing.T) {
	c := NewForTest(Config[int]{ExactClock: true}, 1, HashGood) // with ExactClock the alarm is set to the deadline itself
	defer c.Close()
	if err := c.Update(Key{"p", "first"}, 1); err != nil {
		t.Fatal(err)
	}
	release := c.HoldTimerForTest()
	defer release()
	stored := make(chan error, 1)
	go func() { stored <- c.Update(Key{"p", "in the same tick"}, 2) }()
	select {
	case err := <-stored:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second): // not waited for unless it fails
		t.Error("an Update waits for the alarm, which another has set to the same tick")
	}
}

// The check of invariants waits for the timer's pass that is under way, and no pass begins before the
// check is through: else a session that expires meanwhile would look like a contradiction.
func TestInvariantsAreCheckedBetweenTwoPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{TTL: time.Second}, 1, HashGood)
		defer c.Close()
		k := Key{"p", "a"}
		if err := c.Update(k, 1); err != nil {
			t.Fatal(err)
		}
		c.alarm.mu.Lock()
		c.alarm.mu.passing = true
		c.alarm.mu.Unlock()
		checked := false
		go func() {
			if err := c.CheckInvariantsForTest(); err != nil {
				t.Error(err)
			}
			checked = true
		}()
		synctest.Wait()
		if checked {
			t.Error("the check came in the middle of a pass")
		}
		c.alarm.mu.Lock()
		c.alarm.mu.passing = false
		c.alarm.quiet.Broadcast()
		c.alarm.mu.Unlock()
		synctest.Wait()
		if !checked {
			t.Error("the check still waits after the pass was over")
		}
	})
}

// While the timer is held, an expiry pass that is due does not begin; once released, it does.
func TestHeldTimerExpiresNothing(t *testing.T) {
	c := NewForTest(Config[int]{TTL: time.Nanosecond}, 1, HashGood)
	defer c.Close()
	release := c.HoldTimerForTest()
	began := make(chan struct{})
	go func() { // the timer's function, which is due
		close(began)
		c.wake()
	}()
	<-began
	s := c.shards[0].Load()
	s.mu.Lock()
	s.next.Store(0) // what a pass would find due, and store anew
	s.mu.Unlock()
	for range 1000 {
		if s.next.Load() != 0 {
			t.Fatal("a pass runs although the timer is held")
		}
	}
	release()
	for s.next.Load() == 0 {
		runtime.Gosched()
	}
}
