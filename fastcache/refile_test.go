package fastcache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A newcomer takes over where the wheel has filed whom it displaces; its own deadline counts.
func TestPromise1NewcomerExpiresByItsOwnTTL(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		for _, first := range ttls() {
			for _, second := range ttls() {
				var r recorder[int]
				c := open(t, l, fastcache.Config[int]{MaxSessions: 1, OnRemove: r.record})
				putTTL(t, c, key("p", 1), 1, first)
				stored := time.Now()
				putTTL(t, c, key("q", 2), 2, second)
				synctest.Wait()
				deadline := stored.Add(second)
				time.Sleep(time.Until(deadline) - 1)
				wantSeen(t, c, key("q", 2), true, "just before its deadline")
				time.Sleep(tick)
				synctest.Wait()
				removed := r.all()
				if n := len(removed); n != 2 || removed[0].Value != 1 || removed[1].Reason != fastcache.Expired {
					t.Fatalf("TTL %v after %v: %d reports, %+v; want the first evicted and the second expired within a tick", second, first, n, removed)
				}
				if late := r.at[1].Sub(deadline); late < 0 || late > tick {
					t.Errorf("TTL %v after %v: removed %v after its deadline; want 0 to %v", second, first, late, tick)
				}
				c.Close()
			}
		}
	})
}

// Who gives way to weight leaves several places in the wheel, of which the newcomer takes one.
func TestPromise1NewcomerInTheRoomOfManyExpiresByItsOwnTTL(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		weigh := func(_ fastcache.Key, weight int) int64 { return int64(weight) }
		c := open(t, l, fastcache.Config[int]{MaxSessions: 100, MaxWeight: 100, Weigh: weigh})
		for i := range 50 {
			putTTL(t, c, key("light", i), 2, time.Duration(i+1)*time.Second)
		}
		putTTL(t, c, key("heavy", 0), 90, 20*time.Second)
		time.Sleep(20*time.Second - 1)
		synctest.Wait()
		wantSeen(t, c, key("heavy", 0), true, "just before its deadline")
		time.Sleep(tick)
		synctest.Wait()
		wantSeen(t, c, key("heavy", 0), false, "a tick later")
		check(t, c)
	})
}

// A session that is replaced again and again is filed again once in a lifetime, not each time, and
// expires by its last Update.
func TestPromise1ReplacedSessionExpiresByItsLastUpdate(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		const lifetimes = 24
		c := open(t, l, fastcache.Config[int]{TTL: time.Hour})
		for range lifetimes * 6 {
			for i := range 100 {
				put(t, c, key("p", i), i)
			}
			time.Sleep(10 * time.Minute)
		}
		if n, most := c.Stats().WakeUps, uint64(2*lifetimes); n > most {
			t.Errorf("the timer ran %d times in %d lifetimes; want at most %d", n, lifetimes, most)
		}
		time.Sleep(50*time.Minute - 1)
		synctest.Wait()
		if n := c.Size(); n != 100 {
			t.Errorf("Size() = %d just before the last deadline; want 100", n)
		}
		time.Sleep(tick)
		synctest.Wait()
		if n := c.Size(); n != 0 {
			t.Errorf("Size() = %d a tick later; want 0", n)
		}
	})
}
