package fastcache

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What others do between a first look and a second: each test stands at that instant.

// settle says that a session is over only once that is final: where a Lookup has moved the idle
// deadline in between, it looks again.
func TestSettleLooksAgainWhereItsSwapIsLost(t *testing.T) {
	const early, now, late = 10, 20, 30
	meet(t, func(start func()) bool {
		n := newNode(Key{"p", "a"}, 1, false, false)
		var wg sync.WaitGroup
		var stop atomic.Bool
		wg.Go(func() { // Lookups that move the deadline; and back, for the next round
			start()
			for !stop.Load() {
				n.Item.until.CompareAndSwap(early, late)
				n.Item.until.CompareAndSwap(late, early)
			}
		})
		wg.Go(func() {
			defer stop.Store(true)
			start()
			for range 20_000 {
				n.Item.until.Store(early)
				if !settle(n, now) {
					continue
				}
				if until := n.Item.until.Load(); until > 0 {
					t.Errorf("settle says that the session is over, and it lives until %d", until)
					return
				}
			}
		})
		wg.Wait()
		return true
	})
}

// giveBack uncounts a session on probation only when its place has been given back: who reads both
// in between never takes it for a proven one.
func TestASessionOnProbationIsUncountedAfterItsPlaceIsGivenBack(t *testing.T) {
	c := NewForTest(Config[int]{MaxWeight: 1 << 40, Weigh: func(Key, int) int64 { return 1 }}, 1, HashGood)
	defer c.Close()
	meet(t, func(start func()) bool {
		var phase atomic.Int64 // odd while giveBack is at work
		var wg sync.WaitGroup
		var stop atomic.Bool
		wg.Go(func() {
			defer stop.Store(true)
			start()
			for range 50_000 {
				c.probation.places.begun.Add(1)
				c.probation.weight.begun.Add(1)
				c.takePlace()
				c.takeWeight(1)
				phase.Add(1)
				c.giveBack(room{places: 1, weight: 1, probation: probationers{1, 1}})
				phase.Add(1)
			}
		})
		wg.Go(func() {
			start()
			for !stop.Load() {
				began := phase.Load()
				onPlaces, onWeight := c.probation.places.load(), c.probation.weight.load()
				places, weight := c.places.Load(), c.weight.Load()
				if began%2 == 1 && phase.Load() == began && (places > onPlaces || weight > onWeight) {
					t.Errorf("%d places, %d on probation, weights %d and %d: a session on probation looks proven",
						places, onPlaces, weight, onWeight)
					return
				}
			}
		})
		wg.Wait()
		return true
	})
}

// A session that is replaced keeps the uses of the old version, and the place that they earn it.
func TestAHotSessionThatIsReplacedStays(t *testing.T) {
	const places = 16
	hot := Key{"hot", "a"}
	for _, replaced := range []bool{false, true} {
		c := NewForTest(Config[int]{MaxSessions: places}, 1, HashGood)
		fill(t, c, "other", places/2)
		if err := c.Update(hot, 1); err != nil {
			t.Fatal(err)
		}
		for range maxUse {
			c.Lookup(hot)
		}
		if replaced {
			if err := c.Update(hot, 2); err != nil {
				t.Fatal(err)
			}
		}
		fill(t, c, "new", places+places/2)
		if _, ok := c.Peek(hot); !ok {
			t.Errorf("replaced: %v: the session that was used %d times was evicted before others that were never used", replaced, maxUse)
		}
		c.Close()
	}
}

// The old version may be gone when its room is claimed for the new one: the Update begins anew.
func TestAnUpdateLooksAgainWhetherTheOldVersionStillResides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10
		weigh := func(_ Key, v int) int64 { return int64(v) }
		c := NewForTest(Config[int]{MaxWeight: most, Weigh: weigh, TTL: time.Hour}, 1, HashGood)
		defer c.Close()
		k := Key{"p", "a"}
		if err := c.UpdateTTL(k, 5, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := c.Update(Key{"p", "b"}, 5); err != nil {
			t.Fatal(err)
		}
		digest := c.digest(k)
		s, old := &c.shards[0], c.find(digest, k)
		u := &update[int]{key: k, digest: digest, weight: 7, ttl: time.Hour, next: never,
			fresh: newNode(k, 7, true, false)}
		s.mu.Lock()
		u.now = c.now()
		c.setDeadline(u.fresh, u.now, u.ttl)
		kill(old, Expired, u.now) // a Lookup with a later clock, or TakeNewest, has just ended it
		out := s.claimLocked(u, old)
		if out != again || s.residesLocked(old) {
			t.Errorf("outcome %d, the old version resides: %v; want %d and false", out, s.residesLocked(old), again)
		}
		if u.room.places != 1 || u.room.weight != 5 {
			t.Errorf("the Update holds %+v; want the room of the old version", u.room)
		}
		s.unlock()
		if err := c.store(u); err != nil {
			t.Fatal(err)
		}
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Error(err)
		}
		if st := c.Stats(); st.Weight > most {
			t.Errorf("weight %d; want %d at most", st.Weight, most)
		}
	})
}

// Who carries a killed session to its shard looks whether it still resides: another may have freed
// it, and another session may have its slot.
func TestWhoRemovesASessionLooksWhetherItStillResides(t *testing.T) {
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	k := Key{"p", "a"}
	if err := c.Update(k, 1); err != nil {
		t.Fatal(err)
	}
	n := c.find(c.digest(k), k)
	c.Delete(k)
	for i, reuse := range []func(){func() {}, func() { fill(t, c, "q", 3) }} {
		reuse()
		before := c.Size()
		if room := c.removeNode(n, Taken); room.places != 0 || c.Size() != before {
			t.Errorf("case %d: removing a session that has gone gives room for %d", i, room.places)
		}
		c.giveBack(c.removeNode(n, Quota))
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
	}
	if st := c.Stats(); st.Deleted != 1 || st.Taken != 0 || st.Quota != 0 || st.Sessions != 3 {
		t.Errorf("%+v; want one session deleted and three there", st)
	}
}

// What else a new version takes over: slot and place in the order of eviction it inherits; deadline,
// weight and probation are its own.
func TestANewVersionHasItsOwnDeadlineWeightAndProbation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		weigh := func(_ Key, v int) int64 { return int64(v) }
		for _, idle := range []time.Duration{0, time.Minute} {
			c := NewForTest(Config[int]{MaxWeight: 100, Weigh: weigh, IdleTTL: idle}, 1, HashGood)
			k := Key{"p", "a"}
			for i, step := range []struct {
				value, ttl, onProbation int
			}{{7, 30, 1}, {3, 50, 0}, {9, 10, 1}, {9, 20, 1}, {1, 5, 0}} {
				ttl := time.Duration(step.ttl) * time.Second
				store := c.UpdateTTL
				if step.onProbation == 1 {
					store = c.UpdateOnProbation
				}
				if err := store(k, step.value, ttl); err != nil {
					t.Fatal(err)
				}
				e, ok := c.Peek(k)
				st := c.Stats()
				if !ok || e.Value != step.value || !e.Expires.Equal(time.Now().Add(ttl)) ||
					st.Weight != int64(step.value) || st.OnProbation != step.onProbation || st.Sessions != 1 {
					t.Errorf("idle %v, version %d: %+v, %v, weight %d, %d on probation; want %+v", idle, i, e, ok, st.Weight, st.OnProbation, step)
				}
				if err := c.CheckInvariantsForTest(); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(6 * time.Second)
			if n := c.Size(); n != 0 {
				t.Errorf("idle %v: %d sessions are left after the last version's deadline", idle, n)
			}
			c.Close()
		}
	})
}

// The errors of a bad argument name the value and the limit, wrap what callers compare, and never
// show the key. The zero Cache says what is wrong, or is empty.
func TestErrorsNameTheValueAndTheLimit(t *testing.T) {
	long := func(n int) string { return string(make([]byte, n)) + "secret" }
	weight := int64(1)
	c := NewForTest(Config[int]{MaxWeight: 10, Weigh: func(Key, int) int64 { return weight }}, 1, HashGood)
	defer c.Close()
	for _, tc := range []struct {
		name   string
		key    Key
		ttl    time.Duration
		weight int64
		want   error
		text   string
	}{
		{"TTL 0", Key{"p", "secret"}, 0, 1, ErrBadTTL, "fastcache: TTL is not positive: TTL is 0s; want more than 0"},
		{"TTL -1s", Key{"p", "secret"}, -time.Second, 1, ErrBadTTL, "fastcache: TTL is not positive: TTL is -1s; want more than 0"},
		{"long Partial", Key{long(MaxKeyPart), ""}, 1, 1, ErrKeyTooLong,
			"fastcache: part of the key is longer than 64 KiB: Partial has 65542 bytes; want at most 65536"},
		{"long ID", Key{"", long(MaxKeyPart)}, 1, 1, ErrKeyTooLong,
			"fastcache: part of the key is longer than 64 KiB: ID has 65542 bytes; want at most 65536"},
		{"weight -3", Key{"p", "secret"}, 1, -3, ErrBadWeight, "fastcache: Weigh returned a negative weight: Weigh returned -3; want 0 to 10"},
		{"weight 11", Key{"p", "secret"}, 1, 11, ErrTooHeavy, "fastcache: session weighs more than MaxWeight: it weighs 11; want at most 10"},
	} {
		weight = tc.weight
		for method, err := range map[string]error{
			"UpdateTTL":         c.UpdateTTL(tc.key, 1, tc.ttl),
			"UpdateOnProbation": c.UpdateOnProbation(tc.key, 1, tc.ttl),
		} {
			if fmt.Sprint(err) != tc.text || !isError(err, tc.want) {
				t.Errorf("%s with %s = %v; want %s", method, tc.name, err, tc.text)
			}
		}
		if err := c.Update(tc.key, 1); tc.want != ErrBadTTL && fmt.Sprint(err) != tc.text {
			t.Errorf("Update with %s = %v; want %s", tc.name, err, tc.text)
		}
	}
}

func isError(err, want error) bool {
	u, ok := err.(interface{ Unwrap() error })
	return ok && u.Unwrap() == want
}

func TestTheZeroCacheIsEmptyAndSaysWhy(t *testing.T) {
	var c Cache[int]
	k := Key{"p", "a"}
	for method, err := range map[string]error{
		"Update":            c.Update(k, 1),
		"UpdateTTL":         c.UpdateTTL(k, 1, time.Hour),
		"UpdateOnProbation": c.UpdateOnProbation(k, 1, time.Hour),
	} {
		if err != ErrNotMade {
			t.Errorf("%s = %v; want ErrNotMade", method, err)
		}
	}
	found := map[string]bool{"Delete": c.Delete(k), "Demote": c.Demote(k)}
	_, found["Take"] = c.Take(k)
	_, found["Peek"] = c.Peek(k)
	_, _, found["TakeNewest"] = c.TakeNewest("p")
	_, _, found["TakeNewestKeepLast"] = c.TakeNewestKeepLast("p")
	for range c.All() {
		found["All"] = true
	}
	for range c.SelectSession("p") {
		found["SelectSession"] = true
	}
	for range c.Entries() {
		found["Entries"] = true
	}
	found["Foldl"] = Foldl(&c, func(Key, int, int) int { return 1 }, 0) != 0
	found["DeletePartial"] = c.DeletePartial("p") != 0
	found["Clear"] = c.Clear() != 0
	found["Size"] = c.Size() != 0
	found["Stats"] = c.Stats() != Stats{}
	for method, ok := range found {
		if ok {
			t.Errorf("%s finds something in the zero Cache", method)
		}
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Lookup of the zero Cache does not panic, as its comment says")
		}
	}()
	c.Lookup(k)
}
