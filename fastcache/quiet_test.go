package fastcache

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

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
	s := &c.shards[0]
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
