package fastcache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/internal/buckets"
	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// floods are ways to make any number of keys whose searches begin in one bucket, or in neighbours.
var floods = []struct {
	name string
	key  func(i int) Key
}{
	{"one hash, one partial key", func(i int) Key { return Key{"flood", model.CollidingPart(uint64(i))} }},
	{"one hash, many partial keys", func(i int) Key { return keyWith(fmt.Sprint("flood", i), 0x1234_5678_9abc_def0) }},
	{"one bucket of every table", func(i int) Key { return keyWith("flood", 0x1234_5678_9abc_0000+uint64(i)) }},
	{"eight buckets of a table of 1024", func(i int) Key { return keyWith("flood", 0x1234_5678_9abc_0000+uint64(i%8)<<22+uint64(i)) }},
	{"a bucket in four of a table of 1024", func(i int) Key { return keyWith("flood", 0x1234_5678_0000_0000+uint64(i%64)<<24+uint64(i)) }},
}

// inBucket returns the i-th key of a bucket of a table of n, in the lower half of the bucket.
func inBucket(n, bucket, i int) Key {
	return keyWith("p", (uint64(bucket)<<32+uint64(n)-1)/uint64(n)+uint64(i))
}

// farKey returns the i-th of n keys that lie evenly in the upper three quarters of any table, also while they
// are few.
func farKey(i, n int) Key { return keyWith("far", 1<<30+uint64(i*1009%n)*(3<<30/uint64(n))) }

// A spot is a bucket of a shard.
type spot struct{ shard, bucket int }

func (c *Cache[V]) spotOf(key Key) spot {
	digest := c.digest(key)
	shard := int(digest >> c.shardShift)
	return spot{shard, c.tables[shard].Load().Number(uint32(digest))}
}

func mustPut(t *testing.T, c *Cache[int], key Key, value int) {
	t.Helper()
	if err := c.Update(key, value); err != nil {
		t.Fatal(err)
	}
}

func mustBeInOrder[V any](t *testing.T, c *Cache[V]) {
	t.Helper()
	if err := c.CheckInvariantsForTest(); err != nil {
		t.Fatal(err)
	}
}

// However many sessions are made for one bucket, or for neighbours, they displace each other and the few that share
// a bucket with them. No other goes for them, nor any that comes later.
func TestPromise9CraftedKeysDisplaceEachOther(t *testing.T) {
	SkipUnderRace(t)
	const honest, flooded = 3000, 3000
	honestKey := func(i int) Key { return Key{fmt.Sprint("honest", i%10), fmt.Sprint(i)} }
	for _, flood := range floods {
		for _, shards := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s/shards=%d", flood.name, shards), func(t *testing.T) {
				c := NewForTest(Config[int]{MaxSessions: 8 * 4096}, shards, HashGood)
				defer c.Close()
				for i := range honest / 2 {
					mustPut(t, c, honestKey(i), i)
				}
				crowded, shared := map[spot]bool{}, map[int]bool{}
				for i := range flooded {
					mustPut(t, c, flood.key(i), -i)
					crowded[c.spotOf(flood.key(i))] = true
					if i%100 == 0 {
						mustBeInOrder(t, c)
					}
				}
				for i := range honest / 2 {
					shared[i] = crowded[c.spotOf(honestKey(i))]
				}
				for i := honest / 2; i < honest; i++ {
					mustPut(t, c, honestKey(i), i)
				}
				mustBeInOrder(t, c)
				for i := range honest {
					if v, ok := c.Lookup(honestKey(i)); !shared[i] && (!ok || v != i) {
						t.Errorf("honest session %d = %d, %v", i, v, ok)
					}
				}
				st := c.Stats()
				if st.Evicted != 0 || st.Crowded != st.Inserted-uint64(st.Sessions) || st.Crowded < flooded/2 {
					t.Errorf("%d of %d stored are left, %d evicted, %d crowded out", st.Sessions, st.Inserted, st.Evicted, st.Crowded)
				}
			})
		}
	}
}

// A crowd has 64 sessions at most, and gives up the one whose Update is longest ago.
func TestPromise9TheOldestOfACrowdGoes(t *testing.T) {
	for _, flood := range floods[:3] {
		t.Run(flood.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // in which all deadlines are the same
				var gone []int
				c := NewForTest(Config[int]{OnRemove: func(r Removal[int]) {
					if r.Reason == Crowded {
						gone = append(gone, r.Value)
					}
				}}, 8, HashGood)
				defer c.Close()
				want := []int{}
				rng := rand.New(rand.NewPCG(1, 2))
				order := []int{} // of the Updates, oldest first
				for i := range 400 {
					if i > 100 && i%3 == 0 {
						renewed := rng.IntN(len(order))
						mustPut(t, c, flood.key(order[renewed]), order[renewed])
						order = append(order, order[renewed])
						order = slices.Delete(order, renewed, renewed+1)
					}
					if i > 100 && i%5 == 0 {
						deleted := rng.IntN(len(order))
						if !c.Delete(flood.key(order[deleted])) {
							t.Fatalf("Delete does not find session %d of a crowd", order[deleted])
						}
						order = slices.Delete(order, deleted, deleted+1)
					}
					mustPut(t, c, flood.key(i), i)
					if order = append(order, i); len(order) > 64 {
						want, order = append(want, order[0]), order[1:]
					}
					synctest.Wait()
				}
				mustBeInOrder(t, c)
				if !slices.Equal(gone, want) || len(want) < 100 || c.Size() != 64 || c.Stats().Crowded != uint64(len(want)) {
					t.Errorf("gone: %v\nwant: %v\n%d are left, Stats counts %d", gone, want, c.Size(), c.Stats().Crowded)
				}
				for _, i := range order {
					if v, ok := c.Lookup(flood.key(i)); !ok || v != i {
						t.Errorf("Lookup of session %d = %d, %v", i, v, ok)
					}
				}
			})
		})
	}
}

// A session that comes into a full crowd takes over the room of the one that goes: in a full cache no other goes,
// neither by an eviction nor because an overflow clears all.
func TestPromise9ACrowdMakesRoomInAFullCache(t *testing.T) {
	weigh := func(_ Key, v int) int64 { return int64(v) }
	for name, cfg := range map[string]Config[int]{
		"count":          {MaxSessions: 200},
		"weight":         {MaxWeight: 200, Weigh: weigh},
		"invalidating":   {MaxSessions: 200, Overflow: InvalidateAll},
		"both, no index": {MaxSessions: 200, MaxWeight: 200, Weigh: weigh, NoIndex: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewForTest(cfg, 1, HashGood)
			defer c.Close()
			flood := floods[0].key
			for i := range 200 - crowdLimit {
				mustPut(t, c, keyWith("honest", ^c.digest(flood(0))^uint64(i)<<24), 1) // of other buckets
			}
			for i := range 500 {
				mustPut(t, c, flood(i), 1)
			}
			mustBeInOrder(t, c)
			if st := c.Stats(); st.Sessions != 200 || st.Evicted+st.Cleared != 0 || st.Crowded != 500-crowdLimit {
				t.Errorf("%d sessions, %d evicted, %d cleared, %d crowded out; want 200, 0, 0, %d",
					st.Sessions, st.Evicted, st.Cleared, st.Crowded, 500-crowdLimit)
			}
		})
	}
}

// What has expired goes before any of a crowd does, also within the tick of its deadline, when the timer
// has yet to come.
func TestPromise9ExpiredSessionsOfACrowdGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		flood := floods[0].key
		for i := range crowdLimit {
			ttl := time.Hour
			if i >= crowdLimit-10 {
				ttl = time.Second + time.Duration(i)
			}
			if err := c.UpdateTTL(flood(i), i, ttl); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second + crowdLimit) // the tick is not over
		if n := c.Size(); n != crowdLimit {
			t.Fatalf("Size() = %d; want %d, or the tick is over", n, crowdLimit)
		}
		for i := range 10 {
			mustPut(t, c, flood(crowdLimit+i), i)
		}
		if st := c.Stats(); st.Expired != 10 || st.Crowded != 0 {
			t.Errorf("%d expired, %d crowded out; want 10 and 0", st.Expired, st.Crowded)
		}
		mustPut(t, c, flood(crowdLimit+10), 1)
		if st := c.Stats(); st.Crowded != 1 {
			t.Errorf("%d crowded out of a crowd that nobody has left; want 1", st.Crowded)
		}
	})
}

// One hold of the lock does a bounded amount of work, also where all that has expired in this tick goes before one
// of a crowd does.
func TestPromise9ACrowdIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		for i := range 3 * batchSessions {
			if err := c.UpdateTTL(farKey(i, 3*batchSessions), i, time.Second); err != nil {
				t.Fatal(err)
			}
		}
		for i := range crowdLimit {
			mustPut(t, c, keyWith("p", uint64(i)), i)
		}
		time.Sleep(time.Second) // the tick is not over
		mustPut(t, c, keyWith("p", crowdLimit), 1)
		if st := c.Stats(); c.MaxWorkForTest() > batchSessions || st.Crowded != 1 || st.Expired != 3*batchSessions {
			t.Errorf("%d sessions worked on under one lock, %d crowded out, %d expired; want %d at most, 1 and %d",
				c.MaxWorkForTest(), st.Crowded, st.Expired, batchSessions, 3*batchSessions)
		}
	})
}

// A cache under a secret hash keeps all that it is told, whatever collides.
func TestSecretHashCrowdsNobodyOut(t *testing.T) {
	for _, mask := range []uint64{HashGood, HashConstant} {
		c := NewForTest(Config[int]{Hash: SecretHash}, 1, mask)
		defer c.Close()
		for i := range 1000 {
			mustPut(t, c, floods[0].key(i), i)
		}
		mustBeInOrder(t, c)
		if st := c.Stats(); st.Sessions != 1000 || st.Crowded != 0 {
			t.Errorf("%d of 1000 sessions are left, %d crowded out", st.Sessions, st.Crowded)
		}
	}
}

// Where no place within reach of a bucket is free, the largest crowd that has some pays: a session of a bucket
// that was not flooded finds room and takes none from its like, nor from a crowd that is out of reach.
func TestPromise9TheLargestCrowdWithinReachPays(t *testing.T) {
	c := NewForTest(Config[int]{MaxSessions: 4096}, 1, HashGood)
	defer c.Close()
	for i := range 2100 {
		mustPut(t, c, farKey(i, 2100), i) // so that the table is as large as it gets
	}
	n := c.tables[0].Load().Len()
	const first, flooded, away = 20, 5, 200
	stored := map[Key]int{}
	put := func(bucket, i int) {
		key := inBucket(n, bucket, i)
		mustPut(t, c, key, i)
		stored[key]++
	}
	for i := range crowdLimit {
		put(first+away, i)
	}
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			mustPut(t, c, inBucket(n, first+i%flooded, i), i)
		}
	}
	flood(0, 400)
	before := c.Stats()
	if room := (buckets.Reach + flooded) * buckets.PerBucket; before.Crowded < uint64(400-room) || before.Crowded > uint64(410-room) {
		t.Fatalf("%d of 400 crowded out of %d places; want the rest, or hardly more", before.Crowded, room)
	}
	for bucket := first - 10; bucket < first; bucket++ {
		for i := range buckets.PerBucket + 2 {
			put(bucket, i)
			mustBeInOrder(t, c)
		}
	}
	flood(400, 1000)
	mustBeInOrder(t, c)
	for key := range stored {
		if _, ok := c.Lookup(key); !ok {
			t.Errorf("a session of bucket %v went for those of a flooded one", c.spotOf(key))
		}
	}
	if st := c.Stats(); st.Evicted != 0 || st.Crowded < before.Crowded+600+10 {
		t.Errorf("%d evicted, %d crowded out; want none, and the honest ones at the cost of the flood", st.Evicted, st.Crowded)
	}
}

// A crowd that is larger, and near, but has no session within reach, would pay for nothing.
func TestPromise9WhoIsOutOfReachDoesNotPay(t *testing.T) {
	c := NewForTest(Config[int]{MaxSessions: 4096}, 1, HashGood)
	defer c.Close()
	for i := range 2100 {
		mustPut(t, c, farKey(i, 2100), i) // so that the table is as large as it gets
	}
	n := c.tables[0].Load().Len()
	const first, flooded, spared, each = 40, 11, 5, 33
	for i := range crowdLimit {
		mustPut(t, c, inBucket(n, first-20, i), i)
	}
	for bucket := range flooded {
		for i := range each {
			if bucket != spared {
				mustPut(t, c, inBucket(n, first+bucket, i), i)
			}
		}
	}
	if key := inBucket(n, first+spared, 0); c.tables[0].Load().HasRoom(uint32(c.digest(key))) {
		t.Fatal("there is room for a session of the bucket that is not flooded")
	}
	before := c.Stats().Crowded
	for i := range 10 {
		mustPut(t, c, inBucket(n, first+spared, i), i)
		mustBeInOrder(t, c)
	}
	for i := range crowdLimit {
		if _, ok := c.Lookup(inBucket(n, first-20, i)); !ok {
			t.Errorf("session %d went, and made no room", i)
		}
	}
	if got := c.Stats().Crowded - before; got != 10 {
		t.Errorf("%d went for 10 sessions", got)
	}
}

// Buckets that are flooded a little each, in a long row, fill all that is within reach. They pay for each
// other, though by chance another bucket of the row has more sessions than they.
func TestPromise9AThinFloodTakesFromItself(t *testing.T) {
	c := NewForTest(Config[int]{MaxSessions: 4096}, 1, HashGood)
	defer c.Close()
	for i := range 2100 {
		mustPut(t, c, farKey(i, 2100), i)
	}
	n := c.tables[0].Load().Len()
	const first, row, honest = 20, 123, 118 // nine a bucket fill 2*123 places ahead of the last one
	for i := range 12 {
		mustPut(t, c, inBucket(n, first+honest, i), i)
	}
	for i := range 9 + 10 {
		for bucket := range row {
			if bucket != honest && (i < 9 || bucket > honest-10) {
				mustPut(t, c, inBucket(n, first+bucket, i), i)
			}
		}
	}
	mustBeInOrder(t, c)
	for i := range 12 {
		if _, ok := c.Lookup(inBucket(n, first+honest, i)); !ok {
			t.Errorf("honest session %d went for the flood", i)
		}
	}
	if got := c.Stats().Crowded; got < 80 {
		t.Errorf("%d were crowded out; want 80 at least, or the row is not full", got)
	}
}

// The sessions of a bucket are those of two of the next table: so tables that grow keep crowds bounded and
// sessions within reach, whatever the keys and in whatever order they came.
func TestPromise9GrowthKeepsCrowdsBounded(t *testing.T) {
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 3))
		c := NewForTest(Config[int]{MaxSessions: 4096}, 1, HashGood)
		s, slots := c.shards[0].Load(), 0
		spread := 1 + rng.IntN(24) // bits in which the keys of a heap differ
		for i := range 1500 {
			heap := uint64(rng.IntN(1 + int(seed)%7))
			mustPut(t, c, keyWith("p", heap<<29+rng.Uint64N(1<<spread)<<(24-spread)), i)
			if rng.IntN(4) == 0 {
				c.TakeNewest("p")
			}
			if n := len(s.mu.place); n != slots || i%100 == 0 {
				slots = n
				mustBeInOrder(t, c)
			}
		}
		mustBeInOrder(t, c)
		c.Close()
	}
}

// A growth that took the sessions in the order of their slots would put the last of them behind all those of
// the buckets that follow, beyond reach; so would one that began in the middle of a row of full buckets.
func TestPromise9GrowthPutsSessionsNearTheirBuckets(t *testing.T) {
	const slots, first, row = 1024, 10, 32
	for _, moved := range []int{0, 224 - first - row/4} { // by so many buckets; three quarters of the second row lie from bucket 0 on
		c := NewForTest(Config[int]{MaxSessions: 4096}, 1, HashGood)
		s := c.shards[0].Load()
		far := func(i int) Key {
			return keyWith("far", (c.digest(farKey(i, slots))+uint64(moved)<<32/224)&math.MaxUint32)
		}
		for i := range slots {
			mustPut(t, c, far(i), i)
		}
		for i := 1; i < slots; i++ { // the first stays, or the shard would begin anew
			c.Delete(far(i)) // from the lowest slot up, so the highest are taken first
		}
		n := s.table.Load().Len()
		if len(s.mu.place) != slots || n != 224 {
			t.Fatalf("%d slots and %d buckets; want %d and 224", len(s.mu.place), n, slots)
		}
		put := 1
		for bucket := first; bucket < first+row; bucket++ {
			sessions := 14
			if bucket == first {
				sessions = 24
			}
			for i := range sessions {
				digest := c.digest(inBucket(n, (bucket+moved)%n, i))
				if sessions == 14 && i%2 != 0 {
					digest += 1 << 31 / uint64(n) // half of them go to the one bucket of the next table, half to the other
				}
				mustPut(t, c, keyWith("p", digest), i)
				put++
			}
		}
		for i := 1; put < slots; i++ {
			mustPut(t, c, far(i), i)
			put++
		}
		// A place in the first bucket, and no slot: so the next one has room, until the table has grown and the row
		// has closed up.
		c.Delete(inBucket(n, (first+moved)%n, 0))
		mustPut(t, c, far(slots-1), 1)
		mustBeInOrder(t, c)
		if len(s.mu.place) != slots || s.mu.free != noSlot || !s.table.Load().HasRoom(uint32(c.digest(inBucket(n, (first+moved)%n, 0)))) {
			t.Fatalf("%d slots, the next free one is %d; want %d, none, and room in the table", len(s.mu.place), s.mu.free, slots)
		}
		mustPut(t, c, inBucket(n, (first+moved)%n, 24), 24)
		mustBeInOrder(t, c)
		if st := c.Stats(); s.table.Load().Len() != 2*n || st.Crowded != 1 {
			t.Errorf("%d buckets and %d crowded out; want %d, for the table has grown, and 1", s.table.Load().Len(), st.Crowded, 2*n)
		}
		c.Close()
	}
}
