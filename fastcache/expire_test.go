package fastcache_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

const day = 24 * time.Hour

// ttls are lives from a nanosecond to 400 days; those around powers of 64 ticks lie at the
// edges of the wheel's levels.
func ttls() []time.Duration {
	all := []time.Duration{
		1, 2, time.Microsecond, time.Millisecond, 7 * time.Millisecond, 100 * time.Millisecond,
		time.Second - 1, time.Second, time.Second + 1, 2 * time.Second, time.Minute, 10*time.Minute + 3,
		time.Hour, time.Hour + 1, 12*time.Hour - 1, day, day + tick/2, 7 * day, 400 * day,
	}
	for ticks := time.Duration(1); ticks <= 1<<30; ticks *= 64 {
		all = append(all, ticks*tick-1, ticks*tick, ticks*tick+1, (ticks+1)*tick+5)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestPromise1ExpiredIsNeverReturned(t *testing.T) {
	for _, offset := range []time.Duration{0, 1, tick/2 + 3, tick, 3*time.Hour + 7} {
		t.Run(fmt.Sprintf("offset=%v", offset), func(t *testing.T) {
			everyBubble(t, func(t *testing.T, l layout) {
				c := open(t, l, fastcache.Config[int]{})
				time.Sleep(offset)
				stored, lives := time.Now(), ttls()
				for i, ttl := range lives {
					putTTL(t, c, key("p", i), i, ttl)
				}
				for i, ttl := range lives {
					deadline := stored.Add(ttl)
					time.Sleep(time.Until(deadline) - 1)
					wantSeen(t, c, key("p", i), time.Now().Before(deadline), fmt.Sprintf("%v, 1 ns before its deadline", ttl))
					time.Sleep(time.Until(deadline))
					wantSeen(t, c, key("p", i), false, fmt.Sprintf("%v, at its deadline", ttl))
					if n := len(selected(c, "p")); n != len(lives)-i-1 {
						t.Errorf("%v: %d sessions are left; want %d", ttl, n, len(lives)-i-1)
					}
				}
				time.Sleep(tick)
				synctest.Wait()
				if n := c.Size(); n != 0 {
					t.Errorf("Size() = %d a tick after the last deadline; want 0", n)
				}
			})
		})
	}
}

// At the deadline the writers, too, treat a session as absent.
func TestPromise1ExpiredIsAbsentForWriters(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		for i := range 6 {
			putTTL(t, c, key(fmt.Sprint(i), i), i, time.Second)
		}
		time.Sleep(time.Second)
		if n := c.Size(); n != 6 {
			t.Fatalf("Size() = %d at the deadline; this test needs the sessions to be in memory", n)
		}
		if c.Demote(key("0", 0)) {
			t.Error("Demote found an expired session")
		}
		if c.Delete(key("0", 0)) {
			t.Error("Delete found an expired session")
		}
		if v, ok := c.Take(key("1", 1)); ok {
			t.Errorf("Take returned %v, which had expired", v)
		}
		if k, v, ok := c.TakeNewest("2"); ok {
			t.Errorf("TakeNewest returned %v, %v, which had expired", k, v)
		}
		if k, v, ok := c.TakeNewestKeepLast("2"); ok {
			t.Errorf("TakeNewestKeepLast returned %v, %v, which had expired", k, v)
		}
		if n := c.DeletePartial("3"); n != 0 {
			t.Errorf("DeletePartial counted %d expired sessions", n)
		}
		put(t, c, key("4", 4), 44)
		if st := c.Stats(); st.Replaced != 0 || st.Inserted != 7 {
			t.Errorf("Update over an expired session: %+v; want it inserted, not replaced", st)
		}
		if n := c.Clear(); n != 1 {
			t.Errorf("Clear() = %d; want 1, the rest had expired", n)
		}
		if st := c.Stats(); st.Expired != 6 || st.Cleared != 1 {
			t.Errorf("%d expired, %d cleared; want 6, 1", st.Expired, st.Cleared)
		}
	})
}

// No Lookup comes, and the session is gone from memory within a tick of its deadline.
func TestPromise1ExpiredLeavesMemoryWithinATick(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{OnRemove: r.record})
		time.Sleep(12345 * time.Microsecond)
		stored, lives := time.Now(), ttls()
		for i, ttl := range lives {
			putTTL(t, c, key("p", i), i, ttl)
		}
		for i, ttl := range lives {
			time.Sleep(time.Until(stored.Add(ttl + tick)))
			synctest.Wait()
			if n := c.Size(); n > len(lives)-i-1 {
				t.Errorf("Size() = %d a tick after %v; want at most %d", n, ttl, len(lives)-i-1)
			}
		}
		for i, rm := range r.all() {
			ttl := lives[rm.Value]
			late := r.at[i].Sub(stored) - ttl
			if rm.Reason != fastcache.Expired || late < 0 || late > tick {
				t.Errorf("TTL %v: %v reported %v after its deadline; want expired, 0 to %v", ttl, rm.Reason, late, tick)
			}
		}
		if n := len(r.all()); n != len(lives) {
			t.Errorf("%d reports of %d sessions", n, len(lives))
		}
	})
}

func TestPromise1UpdateTTLMovesTheDeadline(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		stored := time.Now()
		put(t, c, key("p", 1), 1)
		putTTL(t, c, key("p", 1), 2, 3*time.Second) // earlier
		putTTL(t, c, key("p", 2), 1, 3*time.Second)
		putTTL(t, c, key("p", 2), 2, 90*day) // later
		putTTL(t, c, key("p", 3), 1, time.Hour)
		putTTL(t, c, key("p", 3), 2, time.Hour+tick) // hardly later
		for _, step := range []struct {
			after time.Duration
			id    int
			alive bool
		}{
			{3*time.Second - 1, 1, true},
			{3 * time.Second, 1, false},
			{3*time.Second + tick, 2, true},
			{time.Hour + tick - 1, 3, true},
			{time.Hour + tick, 3, false},
			{90*day - 1, 2, true},
			{90 * day, 2, false},
		} {
			time.Sleep(time.Until(stored.Add(step.after)))
			synctest.Wait()
			wantSeen(t, c, key("p", step.id), step.alive, step.after.String())
			if n := c.Size(); step.after == 3*time.Second+tick && n != 2 {
				t.Errorf("Size() = %d a tick after the earlier deadline; want 2", n)
			}
		}
	})
}

func TestPromise1PeekAndEntriesTellTheDeadline(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{TTL: time.Hour})
		time.Sleep(tick / 3)
		want := time.Now().Add(time.Hour)
		put(t, c, key("p", 1), 7)
		time.Sleep(time.Minute)
		e, ok := c.Peek(key("p", 1))
		if !ok || e.Key != key("p", 1) || e.Value != 7 || !e.Expires.Equal(want) {
			t.Errorf("Peek = %+v, %v; want value 7 until %v", e, ok, want)
		}
		for got := range c.Entries() {
			if got.Key != e.Key || got.Value != 7 || !got.Expires.Equal(want) {
				t.Errorf("Entries shows %+v; want what Peek returned", got)
			}
		}
	})
}

// TTLs saturate: the largest Duration is centuries, not the past.
func TestPromise9TTLSaturates(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{TTL: math.MaxInt64})
		time.Sleep(time.Hour) // now + TTL overflows
		put(t, c, key("p", 1), 1)
		putTTL(t, c, key("p", 2), 2, math.MaxInt64-1)
		putTTL(t, c, key("p", 3), 3, 200*365*day)
		for range 100 {
			time.Sleep(365 * day)
			for i := range 3 {
				wantSeen(t, c, key("p", i+1), true, "decades later")
			}
		}
		if e, ok := c.Peek(key("p", 1)); !ok || time.Until(e.Expires) < 100*365*day {
			t.Errorf("Peek says that the session expires at %v; want centuries", e.Expires)
		}
		if n := c.Stats().WakeUps; n > 10 {
			t.Errorf("%d wake-ups in a hundred years with nothing to do", n)
		}
	})
}

func TestPromise9BadTTLIsAnError(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{})
	put(t, c, key("p", 1), 1)
	for _, ttl := range []time.Duration{0, -1, math.MinInt64} {
		if err := c.UpdateTTL(key("p", 1), 2, ttl); !errors.Is(err, fastcache.ErrBadTTL) {
			t.Errorf("UpdateTTL(%v) = %v; want ErrBadTTL", ttl, err)
		}
	}
	wantValue(t, c, key("p", 1), 1)
}

// An idle cache wakes no goroutine: the timer runs when a session is over, and not before.
func TestPromise1IdleCacheHardlyWakes(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		time.Sleep(day)
		if n := c.Stats().WakeUps; n != 0 {
			t.Errorf("%d wake-ups of an empty cache; want none", n)
		}
		for i := range 1000 {
			put(t, c, key(fmt.Sprint(i%10), i), i)
		}
		time.Sleep(day - 1)
		synctest.Wait()
		if n := c.Stats().WakeUps; n > 2 {
			t.Errorf("%d wake-ups before any deadline; want at most 2", n)
		}
		time.Sleep(day)
		synctest.Wait()
		if n := c.Stats().WakeUps; n > 4 || c.Size() != 0 {
			t.Errorf("%d wake-ups to expire 1000 sessions at once, %d left; want at most 4, and none", n, c.Size())
		}
	})
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		for i := range 1000 {
			put(t, c, key(fmt.Sprint(i%10), i), i)
			time.Sleep(time.Hour / 1000)
		}
		time.Sleep(23*time.Hour - 1)
		synctest.Wait()
		idle := c.Stats().WakeUps
		time.Sleep(day)
		synctest.Wait()
		busy := c.Stats().WakeUps
		t.Logf("1000 sessions stored over an hour: %d wake-ups until the first deadline, %d in all", idle, busy)
		if idle > 10 || busy > 1010 {
			t.Errorf("%d and %d wake-ups; want at most 10 while idle, and one per deadline", idle, busy)
		}
	})
}

// All that expires at once goes, a batch of 256 under each hold of a lock.
func TestPromise1BigExpiryWorksInBatches(t *testing.T) {
	for _, shards := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			var r recorder[int]
			c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{OnRemove: r.record})
			for i := range 10_000 {
				putTTL(t, c, key(fmt.Sprint(i%7), i), i, time.Hour)
			}
			time.Sleep(time.Hour + tick)
			synctest.Wait()
			if n, reported := c.Size(), r.reasons()[fastcache.Expired]; n != 0 || reported != 10_000 {
				t.Errorf("%d sessions left, %d reported; want 0, 10000", n, reported)
			}
			if n := c.MaxWorkForTest(); n > 256 {
				t.Errorf("%d sessions worked on under one lock; want at most 256", n)
			}
		})
	}
}

// A newcomer takes over where the wheel has filed whom it displaces; its own deadline counts.
func TestPromise1NewcomerExpiresByItsOwnTTL(t *testing.T) {
	fastcache.SkipUnderRace(t)
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
