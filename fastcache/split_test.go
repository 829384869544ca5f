package fastcache

import (
	"fmt"
	"runtime"
	"testing"
)

// full returns a cache of one shard with so many sessions that it has no free slot, which splits from now on as soon as it
// can. The value of a session is its number.
func full(t *testing.T, sessions int, mask uint64) *Cache[int] {
	t.Helper()
	c := NewForTest(Config[int]{}, Splitting, mask)
	c.splitSlots = sessions + 1
	for i := range sessions {
		mustPut(t, c, Key{fmt.Sprint("p", i%7), fmt.Sprint(i)}, i)
	}
	c.splitSlots = smallShard
	if s := c.shards[0].Load(); c.manyShards() || s.mu.free != noSlot {
		t.Fatalf("%d sessions do not fill one shard", sessions)
	}
	return c
}

// However far an iteration has come, shards that split do not make it miss a session, or meet it twice.
func TestPromise7AllYieldsEachSessionOnceWhileShardsSplit(t *testing.T) {
	const sessions = 1024 // four batches
	for _, mask := range []uint64{HashGood, HashTruncated} {
		for after := 0; after < sessions; after += 100 {
			c := full(t, sessions, mask)
			yielded := make([]int, sessions)
			n := 0
			for _, v := range c.All() {
				if v < sessions {
					yielded[v]++
				}
				if n++; n == after || n == after+300 {
					before := c.ShardsForTest()
					for i := 0; c.ShardsForTest() < min(4*before, 4); i++ {
						mustPut(t, c, Key{"new", fmt.Sprint(n, i)}, sessions)
					}
				}
			}
			for v, times := range yielded {
				if times != 1 {
					t.Fatalf("All yields session %d %d times, where shards split after %d; want once", v, times, after)
				}
			}
			if err := c.CheckInvariantsForTest(); err != nil {
				t.Fatal(err)
			}
			if got := c.DeletePartial("new") + c.Clear(); got < sessions || c.Size() != 0 {
				t.Fatalf("%d sessions were removed, %d are left; want %d and more removed, and none left", got, c.Size(), sessions)
			}
			c.Close()
		}
	}
}

// A cache without a bound on the count does no more at once when it is large: no shard has more slots than when it was
// small. Promise 2 holds all along.
func TestGrowthSplitsWhatItWouldCopy(t *testing.T) {
	SkipUnderRace(t)
	for _, hash := range []Hash{XXHash, SecretHash} {
		c, err := New(Config[int]{Hash: hash, MaxWeight: 1 << 40, Weigh: func(Key, int) int64 { return 1 }})
		if err != nil {
			t.Fatal(err)
		}
		const sessions = 1 << 17
		if 2*sessions < unboundedShards*splitSessions {
			t.Fatal("too few sessions for a shard to split")
		}
		for i := range sessions {
			mustPut(t, c, Key{fmt.Sprint(i / 3), fmt.Sprint(i)}, i)
		}
		for s := range c.eachShard {
			if n := len(s.mu.place); n > splitSessions {
				t.Fatalf("a shard has %d slots; want %d at most", n, splitSessions)
			}
		}
		for i := range sessions {
			if v, ok := c.Lookup(Key{fmt.Sprint(i / 3), fmt.Sprint(i)}); !ok || v != i {
				t.Fatalf("Lookup of session %d = %d, %v", i, v, ok)
			}
		}
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// A shard prepares its split in steps, so that no Update allocates much.
func TestNoUpdateAllocatesAWholeSplit(t *testing.T) {
	c, err := New(Config[int]{NoIndex: true, MaxWeight: 1 << 40, Weigh: func(Key, int) int64 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.shards[0].Load()
	span := s.span.Load()
	var before, after runtime.MemStats
	most, split := uint64(0), 0
	for i := 0; split == 0; i++ {
		key := Key{"p", fmt.Sprint(i)}
		if c.shardOf(c.digest(key)) != s {
			continue
		}
		measured := s.mu.resident >= splitSessions-splitAhead
		if measured {
			runtime.ReadMemStats(&before)
		}
		mustPut(t, c, key, i)
		if !measured {
			continue
		}
		runtime.ReadMemStats(&after)
		most = max(most, after.TotalAlloc-before.TotalAlloc)
		if s.span.Load() != span {
			split = i
		}
	}
	if most == 0 || most > 48<<10 {
		t.Errorf("an Update allocated %d bytes beside a split; want at most 48 KiB, a third of what a split needs", most)
	}
	if err := c.CheckInvariantsForTest(); err != nil {
		t.Error(err)
	}
}

// A shard that has become smaller since it began to prepare its split forgets that.
func TestAShardThatShrinksDoesNotSplit(t *testing.T) {
	c := NewForTest(Config[int]{}, Splitting, HashGood)
	defer c.Close()
	s := c.shards[0].Load()
	for i := range smallShard - c.splitAhead + 1 {
		mustPut(t, c, Key{"p", fmt.Sprint(i)}, i)
	}
	if s.mu.parting == nil {
		t.Fatal("a shard that is nearly full prepares no split")
	}
	for i := range smallShard - c.splitAhead {
		c.Delete(Key{"p", fmt.Sprint(i)})
	}
	for i := range 100 {
		mustPut(t, c, Key{"new", fmt.Sprint(i)}, i)
		c.Delete(Key{"new", fmt.Sprint(i)})
	}
	if s.mu.parting != nil || c.manyShards() {
		t.Errorf("a split is prepared: %v; there are %d shards; want no split of a shard with one session", s.mu.parting != nil, c.ShardsForTest())
	}
}

// Sessions whose digests are too much alike to part stay in one shard, which doubles.
func TestAShardOfEqualDigestsDoubles(t *testing.T) {
	c := full(t, 64, HashConstant)
	for i := range 64 {
		mustPut(t, c, Key{"new", fmt.Sprint(i)}, i)
	}
	if s := c.shards[0].Load(); c.manyShards() || len(s.mu.place) != 128 {
		t.Errorf("%d shards, the first with %d slots; want one with 128", c.ShardsForTest(), len(s.mu.place))
	}
}

// Such a shard splits after all once others have come.
func TestAShardSplitsOnceItsDigestsDiffer(t *testing.T) {
	c := NewForTest(Config[int]{}, Splitting, HashGood)
	defer c.Close()
	for i := range smallShard + 1 {
		mustPut(t, c, keyWith("p", uint64(i)<<20), i)
	}
	if s := c.shards[0].Load(); c.manyShards() || len(s.mu.place) != 2*smallShard {
		t.Fatalf("%d shards, the first with %d slots; want one with %d", c.ShardsForTest(), len(s.mu.place), 2*smallShard)
	}
	for i := range smallShard {
		mustPut(t, c, keyWith("p", 1<<63|uint64(i)<<20), i)
	}
	if err := c.CheckInvariantsForTest(); err != nil || !c.manyShards() {
		t.Errorf("%v; the shard has split: %v; want that it has", err, c.manyShards())
	}
}

// A removal ends the leases of its key also where the key's shard has split since they began.
func TestPromise3LeasesGoWithTheirShard(t *testing.T) {
	c := full(t, 64, HashGood)
	var leases []*Lease[int]
	for i := range 64 {
		l, err := c.Lease(Key{fmt.Sprint("p", i%7), fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, l)
	}
	mustPut(t, c, Key{"new", ""}, 0)
	if err := c.CheckInvariantsForTest(); err != nil || !c.manyShards() {
		t.Fatalf("%v; the shard has split: %v", err, c.manyShards())
	}
	for _, l := range leases {
		if c.Delete(l.Key()); l.Held() {
			t.Fatal("a lease from before a split is held after a Delete of its key")
		}
	}
}
