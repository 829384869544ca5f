package index

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/puzpuzpuz/xsync/v3"
)

// The tests of this file stand for what is easily got wrong with an xsync v3 map: its growth
// stalls all writers, its hasher must do the mixing and use the seed, and Compute allocates.

func TestTheNumberOfMapsGrowsWithTheExpectedGroups(t *testing.T) {
	for _, c := range []struct {
		name       string
		groups     int
		wantedMaps int
	}{
		{name: "none is one map", groups: 0, wantedMaps: 1},
		{name: "nonsense is one map", groups: -1, wantedMaps: 1},
		{name: "one", groups: 1, wantedMaps: 1},
		{name: "one map is full", groups: 4096, wantedMaps: 1},
		{name: "one more than fits into one", groups: 4097, wantedMaps: 2},
		{name: "two maps are full", groups: 8192, wantedMaps: 2},
		{name: "powers of two only", groups: 8193, wantedMaps: 4},
		{name: "the default cache", groups: 20480, wantedMaps: 8},
		{name: "a million", groups: 1 << 20, wantedMaps: 256},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](c.groups)
			if got := len(x.maps); got != c.wantedMaps {
				t.Errorf("New(%d) has %d maps; want %d", c.groups, got, c.wantedMaps)
			}
			for _, digest := range []uint64{0, 1, 1 << 63, ^uint64(0)} {
				push(x, digest, "a", 1)
				wantItems(t, x, digest, "a", 1)
			}
		})
	}
}

func TestNoMapHoldsMuchMoreThanItsShare(t *testing.T) {
	const groups = 1 << 15
	x := New[int](groups)
	for i := range groups {
		push(x, mix(uint64(i)), partialKey(i), i)
	}
	const most = groupsPerMap + 5*64 // five standard deviations
	for i, m := range x.maps {
		if got := m.Size(); got > most {
			t.Errorf("map %d of %d holds %d groups; want about %d", i, len(x.maps), got, groupsPerMap)
		}
	}
	if got := x.Len(); got != groups {
		t.Errorf("Len() = %d; want %d", got, groups)
	}
}

// Peers that know a colliding set for one seed must know nothing about the next.
func TestTheHashDependsOnTheSeedOfTheTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const used = 1<<18 - 1 // h2 has 7 bits; a map of 2^12 groups has at most 2^11 buckets
	pairs, stillCollide := 0, 0
	for range 50 {
		seed, next := rng.Uint64(), rng.Uint64()
		byHash := map[uint64]groupKey{}
		for range 4096 {
			k := groupKey{digest: rng.Uint64()}
			other, found := byHash[spread(k, seed)&used]
			if found {
				pairs++
				if spread(k, next)&used == spread(other, next)&used {
					stillCollide++
				}
			}
			byHash[spread(k, seed)&used] = k
		}
	}
	if pairs < 1000 {
		t.Fatalf("%d colliding pairs; want enough to tell", pairs)
	}
	if stillCollide > pairs/100 {
		t.Errorf("%d of %d pairs that collide under one seed collide under the next; want next to none", stillCollide, pairs)
	}
}

// Digests that differ in a few bits only, wherever those are, must use many buckets.
func TestDigestsThatDifferInAFewBitsSpreadOverTheBuckets(t *testing.T) {
	const digests, buckets = 256, 1024
	rng := rand.New(rand.NewPCG(3, 4))
	for shift := 0; shift <= 56; shift++ {
		for range 20 {
			seed, base := rng.Uint64(), rng.Uint64()
			inBucket, tags := map[uint64]int{}, map[uint64]bool{}
			longest := 0
			for i := range uint64(digests) {
				h := spread(groupKey{digest: base ^ i<<shift}, seed)
				bucket := h >> 7 % buckets // as xsync does it
				inBucket[bucket]++
				longest = max(longest, inBucket[bucket])
				tags[h&0x7f] = true
			}
			// Random hashes use 226 ± 5 buckets and 111 ± 4 of the 128 tags.
			if len(inBucket) < 128 || longest > 10 || len(tags) < 32 {
				t.Fatalf("digests i<<%d, seed %#x: %d buckets, %d in one, %d tags; want about 226, 4, 111",
					shift, seed, len(inBucket), longest, len(tags))
			}
		}
	}
}

// The same, asked of the maps themselves.
func TestARegularPatternOfDigestsMakesNoLongChains(t *testing.T) {
	const groups = 2048
	for _, c := range []struct {
		name   string
		digest func(i uint64) uint64
	}{
		{"random", mix},
		{"counting", func(i uint64) uint64 { return i }},
		{"multiples of 2^20", func(i uint64) uint64 { return i << 20 }},
		{"multiples of 2^40", func(i uint64) uint64 { return i << 40 }},
		{"high bits only", func(i uint64) uint64 { return i << 53 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			for i := range groups {
				push(x, c.digest(uint64(i)), partialKey(i), i)
			}
			stats := x.maps[0].Stats()
			mean := groups / stats.RootBuckets
			if stats.Size != groups || stats.MaxEntries > mean+25 {
				t.Errorf("%d groups in %d buckets, up to %d in one; want about %d, mean %d",
					stats.Size, stats.RootBuckets, stats.MaxEntries, mean+10, mean)
			}
		})
	}
}

// Equal digests cost time only.
func TestGroupsWithEqualDigestsStayApart(t *testing.T) {
	x := New[int](1)
	for i := range 300 {
		push(x, 7, partialKey(i), i, i+1000)
	}
	for i := range 300 {
		if i%3 == 0 {
			revoke(x, 7, partialKey(i))
		}
	}
	for i := range 300 {
		if i%3 == 0 {
			wantItems(t, x, 7, partialKey(i))
		} else {
			wantItems(t, x, 7, partialKey(i), i+1000, i)
		}
	}
	wantInvariants(t, x)
}

// Between Lock's look into the map and its store, another may make the group. The hasher
// is the way in: Lock calls it once for the look and again for the store.
func TestTwoWhoMakeTheSameGroupShareIt(t *testing.T) {
	x := New[int](1)
	calls := 0
	x.maps[0] = xsync.NewMapOfWithHasher[groupKey, *Group[int]](func(k groupKey, seed uint64) uint64 {
		if calls++; calls == 2 {
			push(x, 1, "a", 0)
		}
		return spread(k, seed)
	})
	g := x.Lock(1, "a")
	g.PushNewest(&Node[int]{Item: 1})
	x.Unlock(g)
	wantItems(t, x, 1, "a", 1, 0)
	if got := x.Len(); got != 1 {
		t.Errorf("Len() = %d; want 1", got)
	}
	wantInvariants(t, x)
}

func wantAllocs(t *testing.T, what string, want float64, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(200, f); got != want {
		t.Errorf("%s: %v allocations; want %v", what, got, want)
	}
}

func TestWorkInAnExistingGroupAllocatesNothing(t *testing.T) {
	x := New[int](1)
	n := push(x, 1, "a", 0, 1, 2)[0]
	missing := strings.Repeat("m", 5)
	wantAllocs(t, "Find", 0, func() {
		if x.Find(1, "a") == nil || x.Find(2, missing) != nil {
			t.Fatal("Find is wrong")
		}
	})
	wantAllocs(t, "Lock and Unlock", 0, func() { x.Unlock(x.Lock(1, "a")) })
	wantAllocs(t, "LockOf and Unlock", 0, func() { x.Unlock(x.LockOf(n)) })
	wantAllocs(t, "LockExisting and Unlock", 0, func() { x.Unlock(x.LockExisting(1, "a")) })
	wantAllocs(t, "LockExisting of a missing group", 0, func() { x.LockExisting(2, missing) })
	wantAllocs(t, "Revoke of a missing group", 0, func() { revoke(x, 2, missing) })
	wantAllocs(t, "a walk", 0, func() {
		for m := x.Find(1, "a").Newest(); m != nil; m = m.Next() {
			if m.Group().Revoked() {
				t.Fatal("Revoked() = true; want false")
			}
		}
	})
	nodes := make([]Node[int], 300) // the caller's
	i := 0
	wantAllocs(t, "push and Remove", 0, func() {
		g := x.Lock(1, "a")
		g.PushNewest(&nodes[i])
		x.Unlock(g)
		remove(x, &nodes[i])
		i++
	})
}

func TestANewGroupCostsTwoAllocationsOrThreeWithALongKey(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int
		want   float64
	}{
		{name: "empty partial key", length: 0, want: 2},
		{name: "one byte", length: 1, want: 2},
		{name: "host and port", length: 20, want: 2},
		{name: "the longest inline", length: inlinePartial, want: 2},
		{name: "one byte longer", length: inlinePartial + 1, want: 3},
		{name: "64 KiB", length: 1 << 16, want: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			partial := strings.Repeat("p", c.length)
			nodes := make([]Node[int], 300) // the caller's
			i := 0
			wantAllocs(t, "Lock, PushNewest, Unlock, Remove", c.want, func() {
				g := x.Lock(1, partial)
				g.PushNewest(&nodes[i])
				x.Unlock(g)
				remove(x, &nodes[i])
				i++
			})
			i = 0
			nodes = make([]Node[int], 300)
			wantAllocs(t, "Lock, PushNewest, Unlock, Revoke", c.want, func() {
				g := x.Lock(1, partial)
				g.PushNewest(&nodes[i])
				x.Unlock(g)
				revoke(x, 1, partial)
				i++
			})
		})
	}
}
