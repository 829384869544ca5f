package index

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// The tests of this file stand for what is easily got wrong with a map that is read without a lock:
// growth stalls its writers, so it must stay small; regular digests must not make long searches; and
// nothing may allocate but a new group.

func TestTheNumberOfMapsGrowsWithTheExpectedGroups(t *testing.T) {
	for _, c := range []struct {
		name       string
		groups     int
		wantedMaps int
	}{
		{name: "none is one map", groups: 0, wantedMaps: 1},
		{name: "one", groups: 1, wantedMaps: 1},
		{name: "one map is full", groups: 1024, wantedMaps: 1},
		{name: "one more than fits into one", groups: 1025, wantedMaps: 2},
		{name: "two maps are full", groups: 2048, wantedMaps: 2},
		{name: "powers of two only", groups: 2049, wantedMaps: 4},
		{name: "the default cache", groups: 20480, wantedMaps: 32},
		{name: "a million", groups: 1 << 20, wantedMaps: 1024},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](c.groups)
			got := 0
			for range x.eachMap {
				got++
			}
			if got != c.wantedMaps {
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
	const most = groupsPerMap + 5*32 // five standard deviations
	for m := range x.eachMap {
		if got, _ := m.size(); got > most {
			t.Errorf("the map of %d entries from %d on holds %d groups; want about %d", m.span, m.first, got, groupsPerMap)
		}
	}
	if got := x.Len(); got != groups {
		t.Errorf("Len() = %d; want %d", got, groups)
	}
}

// Where there are more groups than were expected, maps split: none grows beyond its share.
func TestNoMapGrowsBeyondItsShareWhileOthersAreFree(t *testing.T) {
	const groups = minEntries * groupsPerMap / 2
	x := New[int](1)
	for i := range groups {
		push(x, mix(uint64(i)), partialKey(i), i)
	}
	for m := range x.eachMap {
		if m.mu.room >= 2*groupsPerMap {
			t.Errorf("the map of %d entries from %d on has room for %d groups; want less than %d", m.span, m.first, m.mu.room, 2*groupsPerMap)
		}
	}
	for i := range groups {
		wantItems(t, x, mix(uint64(i)), partialKey(i), i)
	}
	wantInvariants(t, x)
}

// Digests that differ in a few bits only, wherever those are, must use many buckets.
func TestDigestsThatDifferInAFewBitsSpreadOverTheBuckets(t *testing.T) {
	const digests = 256
	rng := rand.New(rand.NewPCG(3, 4))
	for shift := 0; shift <= 56; shift++ {
		for range 20 {
			base := rng.Uint64()
			inBucket, tags := map[uint32]int{}, map[uint32]bool{}
			longest := 0
			for i := range uint64(digests) {
				h := hashOf(base ^ i<<shift)
				bucket := h >> 22 // of 1024
				inBucket[bucket]++
				longest = max(longest, inBucket[bucket])
				tags[h&0xff] = true
			}
			// Random hashes use 226 ± 5 buckets and 162 ± 5 of the 256 tags.
			if len(inBucket) < 128 || longest > 10 || len(tags) < 64 {
				t.Fatalf("digests i<<%d: %d buckets, %d in one, %d tags; want about 226, 4, 162",
					shift, len(inBucket), longest, len(tags))
			}
		}
	}
}

// The same, asked of the maps themselves.
func TestARegularPatternOfDigestsMakesNoLongSearches(t *testing.T) {
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
			if beyond := x.maps[0].Load().table.Load().Beyond(); beyond > groups/2 {
				t.Errorf("%d groups lie %d buckets beyond their own; want half as many at most", groups, beyond)
			}
			wantInvariants(t, x)
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

// Between Lock's look into the map and its store, another may make the group.
func TestTwoWhoMakeTheSameGroupShareIt(t *testing.T) {
	x := New[int](1)
	m := x.maps[0].Load()
	m.mu.Lock()
	done := goBlocked(t, func() { push(x, 1, "a", 1) }) // has looked
	first := newGroup[int](1, "a")
	_, first.place = m.insertLocked(1, &first.link)
	m.mu.Unlock()
	wait(t, done, "Lock")
	if x.Find(1, "a") != first {
		t.Error("the second group took the place of the first")
	}
	wantItems(t, x, 1, "a", 1)
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

func TestANewGroupCostsOneAllocationOrTwoWithALongKey(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int
		want   float64
	}{
		{name: "empty partial key", length: 0, want: 1},
		{name: "one byte", length: 1, want: 1},
		{name: "host and port", length: 20, want: 1},
		{name: "the longest inline", length: inlinePartial, want: 1},
		{name: "one byte longer", length: inlinePartial + 1, want: 2},
		{name: "64 KiB", length: 1 << 16, want: 2},
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
