package fastcache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// fill stores n sessions of a partial key.
func fill(t *testing.T, c *Cache[int], partial string, n int) {
	t.Helper()
	for i := range n {
		if err := c.Update(Key{partial, fmt.Sprint(i)}, i); err != nil {
			t.Fatal(err)
		}
	}
}

// While DeletePartial frees what it has revoked, an Update that needs room takes it from there: no
// live session is evicted while a revoked one holds a place. DeletePartial stands still here.
func TestRevokedSessionsMakeRoomBeforeLiveOnes(t *testing.T) {
	const half = 64
	one := func(Key, int) int64 { return 1 }
	for name, tc := range map[string]struct {
		cfg    Config[int]
		update func(c *Cache[int], k Key) error
	}{
		"places":         {Config[int]{MaxSessions: 2 * half}, func(c *Cache[int], k Key) error { return c.Update(k, 1) }},
		"weight":         {Config[int]{MaxWeight: 2 * half, Weigh: one}, func(c *Cache[int], k Key) error { return c.Update(k, 1) }},
		"InvalidateAll":  {Config[int]{MaxSessions: 2 * half, Overflow: InvalidateAll}, func(c *Cache[int], k Key) error { return c.Update(k, 1) }},
		"on probation":   {Config[int]{MaxSessions: 2 * half}, func(c *Cache[int], k Key) error { return c.UpdateOnProbation(k, 1, time.Hour) }},
		"with IdleTTL":   {Config[int]{MaxSessions: 2 * half, IdleTTL: time.Hour}, func(c *Cache[int], k Key) error { return c.Update(k, 1) }},
		"by OnRemove":    {Config[int]{MaxSessions: 2 * half, OnRemove: func(Removal[int]) {}}, func(c *Cache[int], k Key) error { return c.Update(k, 1) }},
		"under a quota":  {Config[int]{MaxSessions: 2 * half, MaxPerPartial: half}, func(c *Cache[int], k Key) error { return c.Update(k, 1) }},
		"heavy sessions": {Config[int]{MaxWeight: 4 * half, Weigh: func(Key, int) int64 { return 2 }}, func(c *Cache[int], k Key) error { return c.Update(k, 1) }},
	} {
		for _, shards := range []int{1, 8} {
			for _, freed := range []int{0, 1, half / 2} {
				t.Run(fmt.Sprintf("%s/shards=%d/freed=%d", name, shards, freed), func(t *testing.T) {
					c := NewForTest(tc.cfg, shards, HashGood)
					defer c.Close()
					fill(t, c, "gone", half)
					fill(t, c, "live", half)
					sw := c.revoke("gone")
					for range freed {
						room, _ := c.sweepNext(sw)
						c.giveBack(room)
					}
					for i := range half {
						if err := tc.update(c, Key{"new", fmt.Sprint(i)}); err != nil {
							t.Fatal(err)
						}
						if st := c.Stats(); st.Evicted != 0 || st.Cleared != 0 || st.Sessions > 2*half {
							t.Fatalf("Update %d: %d live sessions were evicted, %d cleared, %d are there; want 0, 0, %d at most",
								i, st.Evicted, st.Cleared, st.Sessions, 2*half)
						}
					}
					if st := c.Stats(); int(st.Revoked) != half || st.Sessions != 2*half {
						t.Errorf("%d sessions have gone as revoked, %d are there; want %d and %d", st.Revoked, st.Sessions, half, 2*half)
					}
					if more := tc.update(c, Key{"new", "another"}); more != nil || c.Stats().Evicted+c.Stats().Cleared+c.Stats().Quota == 0 {
						t.Errorf("Update = %v, and nothing went for it; no revoked session was left", more)
					}
					if _, more := c.sweepNext(sw); more || sw.count != half {
						t.Errorf("the sweep has more: %v, and has counted %d; want none and %d", more, sw.count, half)
					}
					c.endSweep(sw)
					if c.sweeping() {
						t.Error("a sweep is running; want none")
					}
					if err := c.CheckInvariantsForTest(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// Several sweeps stand still, some of which have no resident left: an Update takes the next that has.
func TestUpdatesPassSweepsThatHaveNothingLeft(t *testing.T) {
	c := NewForTest(Config[int]{MaxSessions: 40}, 4, HashGood)
	defer c.Close()
	var sweeps []*sweep[int]
	for p := range 4 {
		partial := fmt.Sprint("gone", p)
		fill(t, c, partial, 5)
		sweeps = append(sweeps, c.revoke(partial))
	}
	fill(t, c, "live", 20)
	c.giveBackAll(sweeps[0])
	for i := range 5 {
		c.Delete(Key{"gone1", fmt.Sprint(i)}) // frees it, and the sweep has yet to pass it
	}
	fill(t, c, "more", 10)
	if n := c.Size(); n != 40 {
		t.Fatalf("%d sessions; want a full cache", n)
	}
	fill(t, c, "new", 10)
	if st := c.Stats(); st.Evicted != 0 || st.Sessions != 40 || c.revoking.Load() == 4 {
		t.Errorf("%d live sessions were evicted, %d are there, %d of 4 sweeps run; want 0, 40 and fewer",
			st.Evicted, st.Sessions, c.revoking.Load())
	}
	count := 0
	for _, sw := range sweeps {
		c.giveBackAll(sw)
		c.endSweep(sw)
		count += sw.count
	}
	if count != 20 || c.revoking.Load() != 0 {
		t.Errorf("%d sessions were counted, %d sweeps run; want 20 and none", count, c.revoking.Load())
	}
	if err := c.CheckInvariantsForTest(); err != nil {
		t.Error(err)
	}
}

// giveBackAll frees the rest of a sweep, as DeletePartial does.
func (c *Cache[V]) giveBackAll(sw *sweep[V]) {
	for {
		room, more := c.sweepNext(sw)
		if !more {
			return
		}
		c.giveBack(room)
	}
}

// DeletePartial counts what it revoked, whichever call freed it, and not what had expired.
func TestDeletePartialCountsWhatItRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{MaxSessions: 100, TTL: time.Hour}, 4, HashGood)
		defer c.Close()
		fill(t, c, "p", 10)
		if err := c.UpdateTTL(Key{"p", "brief"}, 1, time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // less than a tick: it is still there
		if n := c.DeletePartial("p"); n != 10 || c.Size() != 0 {
			t.Errorf("DeletePartial() = %d and leaves %d; want 10 and none", n, c.Size())
		}
		if st := c.Stats(); st.Revoked != 10 || st.Expired != 1 {
			t.Errorf("%d revoked, %d expired; want 10 and 1", st.Revoked, st.Expired)
		}
	})
}

// One session that weighs as much as several expired ones of other shards takes the room of all of
// them: the first that was found is not the end of the search.
func TestExpiredOfOtherShardsGoFirstUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const expired, heavy = 32, 8
		weigh := func(_ Key, v int) int64 { return int64(v) }
		c := NewForTest(Config[int]{MaxWeight: 2 * expired, Weigh: weigh, TTL: time.Hour}, 8, HashGood)
		defer c.Close()
		for i := range expired {
			if err := c.Update(Key{"live", fmt.Sprint(i)}, 1); err != nil {
				t.Fatal(err)
			}
			if err := c.UpdateTTL(Key{"short", fmt.Sprint(i)}, 1, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		holdTimer(c)
		time.Sleep(3 * time.Second)
		for i := range expired / heavy {
			if err := c.Update(Key{"heavy", fmt.Sprint(i)}, heavy); err != nil {
				t.Fatal(err)
			}
			if st := c.Stats(); st.Evicted != 0 || int(st.Expired) < (i+1)*heavy {
				t.Fatalf("heavy session %d: %d live ones were evicted, %d expired ones removed; want 0 and %d at least",
					i, st.Evicted, st.Expired, (i+1)*heavy)
			}
		}
		c.wake() // which the held timer owes
	})
}
