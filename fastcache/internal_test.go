package fastcache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// nodeOf returns the node that a key finds in the table.
func nodeOf[V any](c *Cache[V], key Key) *node[V] { return c.find(c.digest(key), key) }

// holdTimer plays a timer that is late: it does not run until the test calls wake.
func holdTimer[V any](c *Cache[V]) {
	c.alarm.mu.Lock()
	defer c.alarm.mu.Unlock()
	c.alarm.mu.timer.Stop() // pending stays: wake takes it off
}

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

// A Lookup that finds a session over, by a deadline that another Lookup has moved in time,
// must not kill it.
func TestPromise1IdleOutDecidesByThePresentDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{IdleTTL: time.Hour}, 1, HashGood)
		defer c.Close()
		key := Key{"p", "a"}
		if err := c.Update(key, 1); err != nil {
			t.Fatal(err)
		}
		n := nodeOf(c, key)
		old := n.Item.until.Load()
		time.Sleep(time.Hour - 1)
		if _, ok := c.Lookup(key); !ok {
			t.Fatal("Lookup misses 1 ns before the idle deadline")
		}
		time.Sleep(time.Nanosecond)
		if !c.useByClock(n, old) { // a slower Lookup, which had loaded until before
			t.Error("a Lookup misses a session that another had just kept alive")
		}
		if _, ok := c.Lookup(key); !ok {
			t.Error("a Lookup killed a session that another had just kept alive")
		}
	})
}

// A slow Lookup may find a version over that was replaced long before its deadline. The key was
// never absent, so it must look again, and only then miss.
func TestPromise2LookupOfAnOldVersionLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		key := Key{"p", "a"}
		if err := c.UpdateTTL(key, 1, time.Second); err != nil {
			t.Fatal(err)
		}
		digest, old := c.digest(key), nodeOf(c, key) // by a Lookup that then stalls
		if err := c.Update(key, 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if c.use(old) {
			t.Fatal("the old version is alive at its deadline")
		}
		if got := c.findNewer(digest, key, old); got == nil || got.Item.value != 2 {
			t.Errorf("findNewer = %v after an Update; want the new version", got)
		}
		if got := c.findNewer(digest, key, nodeOf(c, key)); got != nil {
			t.Errorf("findNewer = %v; want nil, for there is none", got)
		}
	})
}

// A use moves the idle deadline once there is a 64th of IdleTTL to gain, not before: a session that
// is looked up again and again is only read.
func TestPromise1IdleDeadlineIsMovedInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const idle, life = 64 * time.Minute, 65*time.Minute + time.Second
		c := NewForTest(Config[int]{IdleTTL: idle, TTL: life}, 1, HashGood)
		defer c.Close()
		key := Key{"p", "a"}
		if err := c.Update(key, 1); err != nil {
			t.Fatal(err)
		}
		n := nodeOf(c, key)
		for _, step := range []struct{ sleep, want time.Duration }{
			{0, idle},
			{time.Minute - 1, idle},
			{1, idle + time.Minute},
			{time.Minute - 1, life}, // the TTL is reached: there will be no further step
			{time.Minute, life},
		} {
			time.Sleep(step.sleep)
			if _, ok := c.Lookup(key); !ok {
				t.Fatal("Lookup misses a session that is in use")
			}
			if got := time.Duration(n.Item.until.Load()); got != step.want {
				t.Errorf("%v after its birth a used session is kept until %v; want %v", time.Since(c.birth), got, step.want)
			}
		}
	})
}

// An Update whose predecessor left its slot while room was made stores a new session: it
// must not look for the old one's place in the table.
func TestPromise9ReplaceOfWhatJustWentEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{NoIndex: true, IdleTTL: time.Hour, MaxWeight: 10,
			Weigh: func(_ Key, v int) int64 { return int64(v) }}, 1, HashGood)
		defer c.Close()
		a, b := Key{"p", "a"}, Key{"p", "b"}
		if err := c.Update(a, 5); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		if err := c.Update(b, 5); err != nil {
			t.Fatal(err)
		}
		c.Lookup(a) // alive until 1h59; the wheel still says 1h
		holdTimer(c)
		time.Sleep(30 * time.Minute)

		u := &update[int]{key: a, weight: 8, ttl: time.Hour, now: c.now(), next: never}
		u.digest = c.digest(a)
		u.fresh = newNode(a, 8, false, true)
		c.setDeadline(u.fresh, u.now, u.ttl)
		s := c.shardOf(u.digest)
		s.mu.Lock()
		old := nodeOf(c, a)
		kill(old, Expired, int64(2*time.Hour)) // a Lookup at 2h, which takes no lock
		out := s.claimLocked(u, old)
		if out == stored && s.nodeLocked(old.Item.slot) != old && s.replaceLocked(u, old) {
			t.Error("replaced a session that is not there")
		}
		s.unlock()
		if err := c.store(u); err != nil {
			t.Fatal(err)
		}
		if v, ok := c.Lookup(a); !ok || v != 8 {
			t.Errorf("Lookup = %v, %v; want 8", v, ok)
		}
		c.wake()
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Error(err)
		}
	})
}

// Secret digests depend on a seed, so nobody can choose ids that collide, and on where a key's parts end.
func TestPromise9DigestsAreSecret(t *testing.T) {
	cfg := Config[int]{Hash: SecretHash}
	a, b := NewForTest(cfg, 1, HashGood), NewForTest(cfg, 1, HashGood)
	seen := map[uint64]bool{}
	for i := range 10_000 {
		id := fmt.Sprint(i)
		inA, partialInA := a.digest(Key{"p" + id, id}), a.partialDigest("p"+id)
		inB, partialInB := b.digest(Key{"p" + id, id}), b.partialDigest("p"+id)
		if inA == inB || partialInA == partialInB {
			t.Errorf("key %d has the same digest in two caches", i)
		}
		moved := a.digest(Key{"p", id + id})
		seen[inA], seen[moved] = true, true
	}
	if len(seen) != 20_000 {
		t.Errorf("20000 keys have %d digests", len(seen))
	}
	x, y := NewForTest(Config[int]{}, 1, HashGood), NewForTest(Config[int]{}, 1, HashGood)
	if x.partialDigest("p") == y.partialDigest("p") {
		t.Error("under XXHash a partial key has the same digest in the indexes of two caches")
	}
	parts, byID, byPartial := map[string]bool{}, map[uint64]bool{}, map[uint64]bool{}
	for id := range 256 {
		if plain := (model.Op{ID: uint8(id)}).Key().ID; len(plain) <= MaxKeyPart {
			part := model.Colliding.OfPart(plain) // all of these have one XXH64
			one := a.digest(Key{"p", part})
			other := a.digest(Key{part, "id"})
			parts[part], byID[one], byPartial[other] = true, true, true
		}
	}
	if len(parts) < 200 || len(byID) != len(parts) || len(byPartial) != len(parts) {
		t.Errorf("%d parts of one XXH64 have %d digests as ids and %d as partial keys; want 200 at least, and as many",
			len(parts), len(byID), len(byPartial))
	}
}

// A bucket's overflow count tells how many nodes lie beyond it, exactly until it is full: a
// larger one would make misses probe on for ever, a smaller one would lose a session.
func TestPromise9OverflowIsCounted(t *testing.T) {
	for _, mask := range []uint64{HashGood, HashConstant, HashTruncated} {
		c := NewForTest(Config[int]{}, 1, mask)
		s := &c.shards[0]
		for i := range 2000 { // about 100 at once, so no count is full
			if err := c.Update(Key{"p", fmt.Sprint(i)}, i); err != nil {
				t.Fatal(err)
			}
			c.Delete(Key{"p", fmt.Sprint(i*7919%(i+1) - i%3)}) // from anywhere
			if s.mu.resident > 100 {
				c.TakeNewest("p")
			}
		}
		if err := s.table.Load().Check(func(n *node[int]) uint32 { return s.mu.hash[n.Item.slot] }); err != nil {
			t.Errorf("mask %#x: %v", mask, err)
		}
		c.Close()
	}
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

// Where nobody listens to removals, no call starts a goroutine to deliver them.
func TestNothingIsDeliveredWithoutOnRemove(t *testing.T) {
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	s := &c.shards[0]
	for i := range 1000 {
		if err := c.Update(Key{"p", "a"}, i); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		delivering := s.mu.delivering
		s.mu.Unlock()
		if delivering {
			t.Fatal("an Update started a goroutine to deliver reports to nobody")
		}
	}
}
