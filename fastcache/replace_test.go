package fastcache

import (
	"testing"
	"testing/synctest"
	"time"
)

// What others do between a first look and a second: each test stands at that instant.

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
		s, old := c.shards[0].Load(), c.find(digest, k)
		u := &update[int]{key: k, digest: digest, weight: 7, ttl: time.Hour, next: never,
			fresh: newNode(k, 7, false)}
		s.mu.Lock()
		u.now = c.now()
		c.setDeadline(u.fresh, u.now, u.ttl)
		kill(old, Expired, u.now) // a Lookup with a later clock, or TakeNewest, has just ended it
		out := s.claimLocked(u, old)
		if out != again || s.residesLocked(old) {
			t.Errorf("outcome %d, the old version resides: %v; want %d and false", out, s.residesLocked(old), again)
		}
		if u.room.sessions != 1 || u.room.weight != 5 {
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
		u.fresh = newNode(a, 8, true)
		c.setDeadline(u.fresh, u.now, u.ttl)
		s := c.shardOf(u.digest)
		s.mu.Lock()
		old := nodeOf(c, a)
		kill(old, Expired, int64(2*time.Hour)) // a Lookup at 2h, which takes no lock
		out := s.claimLocked(u, old)
		if out == goOn && s.nodeLocked(old.Item.slot) != old && s.replaceLocked(u, old) {
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
