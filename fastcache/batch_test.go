package fastcache

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/internal/eviction"
)

// One hold of a shard's lock does a batch of work: it ends sessions, or files those again that
// share a bucket of the wheel with them, and it counts both.
func TestPromise9OneHoldOfTheLockDoesOneBatchOfWork(t *testing.T) {
	const tick = time.Duration(1 << tickShift)
	const bucket = 10 * 64 * tick // where a bucket of the wheel's second level begins
	for _, tt := range []struct {
		name        string
		first, last int           // sessions, in the order of their Updates
		a, b        time.Duration // their TTLs
		due         int
	}{
		{"all are due", 500, 500, bucket, bucket, 1000},
		{"the first are due, the others not yet", 100, 1000, bucket, bucket + 60*tick, 100},
		{"the last are due, the others not yet", 1000, 100, bucket + 60*tick, bucket, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewForTest(Config[int]{}, 1, HashGood)
				defer c.Close()
				for i := range tt.first + tt.last {
					ttl := tt.a
					if i >= tt.first {
						ttl = tt.b
					}
					if err := c.UpdateTTL(Key{"p", strconv.Itoa(i)}, i, ttl); err != nil {
						t.Fatal(err)
					}
				}
				holdTimer(c)
				time.Sleep(bucket + tick)
				s, holds, gone := c.shards[0].Load(), 0, 0
				for ; gone < tt.due && holds < 100; holds++ {
					s.mu.Lock()
					before := s.mu.resident
					s.expireBatchLocked(c.now())
					ended, work := before-s.mu.resident, s.mu.work
					s.unlock()
					gone += ended
					if ended > batchSessions || work > batchSessions || work < ended {
						t.Errorf("hold %d ended %d sessions and counts work on %d; want at most %d", holds, ended, work, batchSessions)
					}
				}
				// A hold that does much less than it may makes others wait for the lock more often.
				if most := (tt.first+tt.last)/(batchSessions-6) + 1; holds > most {
					t.Errorf("%d of %d sessions ended in %d holds; want %d at most", gone, tt.due, holds, most)
				}
				c.wake() // which the held timer owes
			})
		})
	}
}

// Who needs room looks at 64 sessions of the present tick, at most, for one that is over.
func TestPromise5LooksForTheExpiredOfThisTickWithinLimits(t *testing.T) {
	for others, want := range map[int]bool{0: true, scanExpired/2 - 1: true, 2 * scanExpired: false} {
		synctest.Test(t, func(t *testing.T) {
			c := NewForTest(Config[int]{}, 1, HashGood)
			defer c.Close()
			store := func(n int, ttl time.Duration) {
				for i := range n {
					if err := c.UpdateTTL(Key{ttl.String(), strconv.Itoa(i + c.Size())}, i, ttl); err != nil {
						t.Fatal(err)
					}
				}
			}
			const soon = time.Duration(1<<tickShift)/2 - 1
			store(others, soon+1) // on either side: the wheel's order is its own
			store(1, soon)
			store(others, soon+1)
			time.Sleep(soon)
			s := c.shards[0].Load()
			s.mu.Lock()
			n := s.findOverLocked(c.now())
			s.mu.Unlock()
			if found := n != nil; found != want {
				t.Errorf("among %d that are not over, the one that is was found: %v; want %v", 2*others, found, want)
			}
		})
	}
}

// A timer that is late is no reason to evict: what should have gone long ago goes first, from
// whatever shard.
func TestPromise5ExpiredOfOtherShardsGoFirstWhereTheTimerIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const half = 32
		c := NewForTest(Config[int]{MaxSessions: 2 * half}, 8, HashGood)
		defer c.Close()
		store := func(partial string, ttl time.Duration) {
			for i := range half {
				if err := c.UpdateTTL(Key{partial, strconv.Itoa(i)}, i, ttl); err != nil {
					t.Fatal(err)
				}
			}
		}
		store("long", time.Hour)
		store("short", time.Second)
		holdTimer(c)
		time.Sleep(3 * time.Second)
		store("new", time.Hour)
		if st := c.Stats(); st.Evicted != 0 || st.Expired != half {
			t.Errorf("for %d new sessions %d were evicted and %d that had expired removed; want none and %d", half, st.Evicted, st.Expired, half)
		}
		c.wake() // which the held timer owes
	})
}

// At its quota a partial key gives a session that is over, though the timer has not come to it.
func TestPromise5QuotaTakesTheExpiredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{MaxPerPartial: 3}, 1, HashGood)
		defer c.Close()
		const soon = time.Duration(1<<tickShift) / 2
		for i, ttl := range []time.Duration{time.Hour, soon, time.Hour} {
			if err := c.UpdateTTL(Key{"p", strconv.Itoa(i)}, i, ttl); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(soon)
		if err := c.Update(Key{"p", "new"}, 3); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Lookup(Key{"p", "0"}); !ok || c.Stats().Quota != 0 {
			t.Errorf("the oldest session is there: %v, %d went by the quota; want it there, for another was over", ok, c.Stats().Quota)
		}
	})
}

// The place in the wheel that a session leaves behind is given up before anybody asks the wheel what
// is due.
func TestPromise9FreedSlotNeverComesDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{MaxPerPartial: 1, MaxWeight: 10, Weigh: func(_ Key, v int) int64 { return int64(v) }}, 1, HashGood)
		defer c.Close()
		for _, s := range []struct {
			partial, id string
			weight      int
			ttl         time.Duration
		}{
			{"p", "a", 1, time.Second},
			{"p", "a", 1, time.Hour}, // the wheel still says 1 s
			{"q", "b", 9, time.Hour},
		} {
			if err := c.UpdateTTL(Key{s.partial, s.id}, s.weight, s.ttl); err != nil {
				t.Fatal(err)
			}
		}
		holdTimer(c)
		time.Sleep(2 * time.Second)
		if err := c.Update(Key{"p", "c"}, 5); err != nil { // takes p's only place, and then needs weight
			t.Fatal(err)
		}
		if st := c.Stats(); st.Quota != 1 || st.Evicted != 1 || st.Sessions != 1 {
			t.Errorf("%+v; want one session gone for the quota, one evicted, one left", st)
		}
		c.wake() // which the held timer owes
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Error(err)
		}
	})
}

// Whatever a hold of the lock looks at or changes counts as work, or its bound would bound nothing.
func TestPromise9HoldsCountWhatTheyDo(t *testing.T) {
	const sessions = 100
	c := NewForTest(Config[int]{MaxSessions: sessions}, 1, HashGood)
	defer c.Close()
	s := c.shards[0].Load()
	if err := c.Update(Key{"p", "0"}, 0); err != nil || s.mu.maxWork != 1 {
		t.Errorf("an Update counts as work on %d sessions; want 1", s.mu.maxWork)
	}
	storeIn(t, c, "p", sessions, time.Hour)
	for range maxUse {
		for i := range sessions {
			c.Lookup(Key{"p", strconv.Itoa(i)})
		}
	}
	s.mu.Lock()
	gave, ok := s.evictByHandLocked(c.now(), nil)
	looked := 0 // at those that are left
	for slot := range s.mu.place {
		if n := s.nodeLocked(uint32(slot)); n != nil && n.Item.meta.Load()&useMask == 0 {
			looked++
		}
	}
	work := s.mu.work
	s.unlock()
	c.giveBack(gave)
	if !ok || looked != eviction.MaxExamined || int(work) != looked+1 { // all are in use: one goes without a look
		t.Errorf("an eviction looked at %d sessions and removed one, and counts as work on %d; want %d and %d",
			looked, work, eviction.MaxExamined, eviction.MaxExamined+1)
	}
}

// A hold of the lock begins an eviction unless that could exceed its batch.
func TestPromise9NoEvictionExceedsTheBatch(t *testing.T) {
	const one = eviction.MaxExamined + 1 // it looks at so many, and removes one
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	s := c.shards[0].Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.mu.work = 0 }()
	for work := range batchSessions + 1 {
		s.mu.work = work
		fits := work+one+2 <= batchSessions // beside one that is over, and the one that is stored
		if begins := !s.batchUsedUpLocked(); begins != fits {
			t.Errorf("after work on %d of %d sessions an eviction of %d begins: %v; want %v", work, batchSessions, one, begins, fits)
		}
	}
}

// At its quota a partial key's newest 64 sessions are looked at for one that is over, no more.
func TestPromise5QuotaLooksForTheExpiredWithinLimits(t *testing.T) {
	for newer, wantExpired := range map[int]bool{0: true, scanExpired - 1: true, scanExpired: false, 2*scanExpired - 2: false} {
		synctest.Test(t, func(t *testing.T) {
			c := NewForTest(Config[int]{MaxPerPartial: 2 * scanExpired}, 1, HashGood)
			defer c.Close()
			const soon = time.Duration(1<<tickShift) / 2
			for i := range 2 * scanExpired {
				ttl := time.Hour
				if i == 2*scanExpired-1-newer {
					ttl = soon
				}
				if err := c.UpdateTTL(Key{"p", strconv.Itoa(i)}, i, ttl); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(soon)
			if err := c.Update(Key{"p", "new"}, 0); err != nil {
				t.Fatal(err)
			}
			if _, ok := c.Lookup(Key{"p", "0"}); ok != wantExpired {
				t.Errorf("one is over, with %d newer ones: the oldest stays: %v; want %v", newer, ok, wantExpired)
			}
		})
	}
}
