package fastcache_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A cache is full, one of its sessions is over: that one goes, though others are older.
func TestPromise5ExpiredGoBeforeAnyEviction(t *testing.T) {
	for _, tc := range []struct {
		name        string
		max, shards int
		late        time.Duration // after the deadline of the short ones
		long        time.Duration
	}{
		{name: "two sessions, at the deadline", max: 2, shards: 1, long: day},
		{name: "a hundred, at the deadline", max: 100, shards: 1, long: day},
		{name: "a hundred in one bucket of the wheel, at the deadline", max: 100, shards: 1, long: 100 * time.Minute},
		{name: "a thousand in one bucket of the wheel, at the deadline", max: 1000, shards: 1, long: 100 * time.Minute},
		{name: "a thousand in one bucket of the wheel, two ticks late", max: 1000, shards: 1, long: 100 * time.Minute, late: 2 * tick},
		{name: "a hundred in eight shards, a tick late", max: 100, shards: 8, long: day, late: tick},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const short = 90 * time.Minute
				c := open(t, layout{shards: tc.shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: tc.max})
				for i := range tc.max - 1 {
					putTTL(t, c, key(fmt.Sprint(i%9), i), i, tc.long)
				}
				putTTL(t, c, key("p", -1), -1, short)
				time.Sleep(short + tc.late)
				put(t, c, key("p", -2), -2)
				if st := c.Stats(); st.Evicted != 0 || st.Expired != 1 {
					t.Errorf("%d evicted, %d expired; want the expired one to make room", st.Evicted, st.Expired)
				}
				for i := range tc.max - 1 {
					if _, ok := c.Peek(key(fmt.Sprint(i%9), i)); !ok {
						t.Fatalf("session %d of %d is gone", i, tc.max)
					}
				}
				if n := c.MaxWorkForTest(); n > 256 {
					t.Errorf("%d sessions worked on under one lock; want at most 256", n)
				}
			})
		})
	}
}

// The same with a bound on the weight: all that is over goes before what is alive.
func TestPromise5ExpiredWeightGoesFirst(t *testing.T) {
	for _, shards := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxWeight: 100,
				Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
			for i := range 10 {
				putTTL(t, c, key("p", i), 5, day)
				putTTL(t, c, key("p", 10+i), 5, time.Hour)
			}
			time.Sleep(time.Hour + tick)
			put(t, c, key("p", 99), 50)
			if st := c.Stats(); st.Evicted != 0 || st.Expired != 10 || st.Weight != 100 {
				t.Errorf("%d evicted, %d expired, weight %d; want 0, 10, 100", st.Evicted, st.Expired, st.Weight)
			}
		})
	}
}

func TestPromise5HeavierReplacementSparesItsOwn(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{MaxWeight: 10, OnRemove: r.record,
			Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
		put(t, c, key("p", 1), 5) // the oldest: an eviction would take it first
		put(t, c, key("p", 2), 3)
		put(t, c, key("p", 3), 2)
		put(t, c, key("p", 1), 8)
		wantValue(t, c, key("p", 1), 8)
		put(t, c, key("p", 1), 10)
		wantValue(t, c, key("p", 1), 10)
		put(t, c, key("p", 1), 10)
		put(t, c, key("p", 1), 1)
		put(t, c, key("p", 2), 9)
		wantValue(t, c, key("p", 1), 1)
		wantValue(t, c, key("p", 2), 9)
		c.Close()
		for _, rm := range r.all() {
			if rm.Key == key("p", 1) && rm.Reason != fastcache.Replaced && rm.Reason != fastcache.Closed {
				t.Errorf("%v of weight %d was %v for its own replacement", rm.Key, rm.Value, rm.Reason)
			}
		}
		if n := r.reasons()[fastcache.Evicted]; n != 2 {
			t.Errorf("%d evicted; want 2, the others", n)
		}
	})
}

func TestPromise5TooHeavyKeepsTheOld(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxWeight: 10, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
		put(t, c, key("p", 1), 5)
		put(t, c, key("p", 2), 5)
		for _, k := range []fastcache.Key{key("p", 1), key("p", 3)} {
			if err := c.Update(k, 11); !errors.Is(err, fastcache.ErrTooHeavy) {
				t.Errorf("Update(%v) of weight 11 = %v; want ErrTooHeavy", k, err)
			}
			if err := c.Update(k, -1); !errors.Is(err, fastcache.ErrBadWeight) {
				t.Errorf("Update(%v) of weight -1 = %v; want ErrBadWeight", k, err)
			}
		}
		wantValue(t, c, key("p", 1), 5)
		wantValue(t, c, key("p", 2), 5)
		wantMiss(t, c, key("p", 3))
		put(t, c, key("p", 4), 0) // weighs nothing: needs no room
		if c.Size() != 3 {
			t.Errorf("Size() = %d; want 3", c.Size())
		}
	})
}

func TestPromise5InvalidateAllKeepsOnlyTheNewcomer(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{MaxSessions: 50, Overflow: fastcache.InvalidateAll, OnRemove: r.record})
		for i := range 50 {
			put(t, c, key(fmt.Sprint(i%3), i), i)
		}
		put(t, c, key("0", 0), 100) // a replacement needs no room
		if n := c.Size(); n != 50 {
			t.Errorf("Size() = %d after a replacement in a full cache; want 50", n)
		}
		put(t, c, key("p", 99), 99)
		if all := collect(t, c); len(all) != 1 || all[key("p", 99)] != 99 || c.Size() != 1 {
			t.Errorf("All() shows %v, Size() = %d; want the newcomer alone", all, c.Size())
		}
		c.Close()
		if got := r.reasons(); got[fastcache.Cleared] != 50 || got[fastcache.Replaced] != 1 || got[fastcache.Evicted] != 0 {
			t.Errorf("reports: %v; want 50 cleared, 1 replaced", got)
		}
	})
	everyLayout(t, func(t *testing.T, l layout) { // a replacement that is too heavy beside the others
		c := open(t, l, fastcache.Config[int]{MaxWeight: 10, Overflow: fastcache.InvalidateAll,
			Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
		for i := range 5 {
			put(t, c, key("p", i), 2)
		}
		put(t, c, key("p", 3), 3)
		if all := collect(t, c); len(all) != 1 || all[key("p", 3)] != 3 {
			t.Errorf("All() shows %v; want the newcomer alone", all)
		}
	})
}

// Without uses and demotions, a shard evicts in the order of the last Updates.
func TestPromise5EvictsFirstInFirstOut(t *testing.T) {
	l := layout{shards: 1, mask: fastcache.HashGood}
	var r recorder[int]
	c := open(t, l, fastcache.Config[int]{MaxSessions: 4, OnRemove: r.record})
	for i := range 4 {
		put(t, c, key("p", i), i)
	}
	put(t, c, key("p", 0), 10)
	c.Lookup(key("p", 1)) // one use says nothing about a session
	for i := range 4 {
		put(t, c, key("q", i), 20+i)
	}
	c.Close()
	var gone []int
	for _, rm := range r.all() {
		if rm.Reason == fastcache.Evicted {
			gone = append(gone, rm.Value)
		}
	}
	if fmt.Sprint(gone) != "[1 2 3 10]" {
		t.Errorf("evicted %v; want 1, 2, 3, 10", gone)
	}
}

// Sessions that are used again and again outlast a scan of ones that are not.
func TestPromise5UsedSessionsOutlastAScan(t *testing.T) {
	for _, shards := range []int{1, 8} {
		c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: 1000})
		for i := range 200 {
			put(t, c, key("hot", i), i)
		}
		lost := 0
		for i := range 20_000 {
			put(t, c, key("scan", i), i)
			for _, id := range []int{2 * i % 200, (2*i + 1) % 200} {
				if _, ok := c.Lookup(key("hot", id)); !ok {
					lost++
					put(t, c, key("hot", id), i)
				}
			}
		}
		if lost > 200 { // a FIFO loses each of them 20 times or more
			t.Errorf("%d shards: %d of 40000 Lookups of sessions in use missed; want at most 200", shards, lost)
		}
	}
}

func TestPromise5DemotedGoFirst(t *testing.T) {
	l := layout{shards: 1, mask: fastcache.HashGood}
	var r recorder[int]
	c := open(t, l, fastcache.Config[int]{MaxSessions: 6, OnRemove: r.record})
	for i := range 6 {
		put(t, c, key("p", i), i)
	}
	for _, id := range []int{4, 2, 5, 4} { // the second Demote of 4 changes nothing
		if !c.Demote(key("p", id)) {
			t.Errorf("Demote of session %d finds nothing", id)
		}
	}
	if c.Demote(key("p", 77)) {
		t.Error("Demote finds a session that was never stored")
	}
	wantValue(t, c, key("p", 4), 4) // still served
	wantValue(t, c, key("p", 2), 2)
	put(t, c, key("p", 2), 22) // undone
	for i := range 4 {
		put(t, c, key("q", i), 30+i)
	}
	check(t, c)
	c.Close()
	var gone []int
	for _, rm := range r.all() {
		if rm.Reason == fastcache.Evicted {
			gone = append(gone, rm.Value)
		}
	}
	if fmt.Sprint(gone) != "[4 5 0 1]" {
		t.Errorf("evicted %v; want the demoted 4, 5 and then the oldest 0, 1", gone)
	}
}

// Whatever the hand finds in use, an eviction looks at a bounded number of sessions.
func TestPromise9EvictionWorkIsBounded(t *testing.T) {
	for _, shards := range []int{1, 8} {
		c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxWeight: 3000,
			Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
		for round := range 5 {
			for i := range 3000 {
				put(t, c, key("p", i), 1)
			}
			for range 4 {
				for i := range 3000 {
					c.Lookup(key("p", i))
				}
			}
			put(t, c, key("q", round), 2900)
		}
		if n := c.MaxWorkForTest(); n > 256 {
			t.Errorf("%d sessions worked on under one lock; want at most 256", n)
		}
	}
}
