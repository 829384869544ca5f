package fastcache

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Lookup compares ids of 16 to 32 bytes by their ends, others as strings, and takes the length of an
// entry's id from a few bits: no id that is asked for may pass for another. Under a constant hash an
// id that is alone in its cache is what the short way compares with.
func TestPromise9IDsAreComparedInFull(t *testing.T) {
	const id = "0123456789abcdefghijklmnopqrstuv" // 32 bytes
	ids := []string{"", id[:1], id[:15], id[:16], id[:17], id[:31], id, id + "w", id + id, id + id + id}
	sets := [][]string{ids}
	for i := range ids {
		sets = append(sets, ids[i:i+1])
	}
	for _, mask := range []uint64{HashGood, HashConstant} {
		for _, stored := range sets {
			c := NewForTest(Config[int]{}, 1, mask)
			for i, id := range stored {
				if err := c.Update(Key{"p", id}, i); err != nil {
					t.Fatal(err)
				}
			}
			for i, id := range stored {
				if v, ok := c.Lookup(Key{"p", id}); v != i || !ok {
					t.Errorf("mask %#x: Lookup of an id of %d bytes = %d, %v; want %d, true", mask, len(id), v, ok, i)
				}
				wantNoOther(t, c, id)
			}
			c.Close()
		}
	}
}

// wantNoOther looks for ids that differ from one in any byte, or are longer by what the bits for the
// length do not hold.
func wantNoOther(t *testing.T, c *Cache[int], id string) {
	t.Helper()
	for at := range len(id) {
		other := id[:at] + "!" + id[at+1:]
		if v, ok := c.Lookup(Key{"p", other}); ok {
			t.Fatalf("mask %#x: Lookup of an id of %d bytes that differs in byte %d = %d; want absent", c.hashMask, len(id), at, v)
		}
	}
	for _, more := range []int{1 << 8, 1 << 16, 1 << 24} {
		if v, ok := c.Lookup(Key{"p", id + strings.Repeat("x", more)}); ok {
			t.Fatalf("mask %#x: Lookup of an id of %d bytes = %d; want absent", c.hashMask, len(id)+more, v)
		}
	}
}

// So are partial keys. Alone in a cache and under a constant hash each is what the short way compares with, under XXHash
// one that the digest tells apart.
func TestPromise9PartialKeysAreComparedInFull(t *testing.T) {
	text := strings.Repeat("0123456789abcdefghijklmnopqrstuvw", 3)
	for _, hash := range []uint64{HashGood, HashConstant} {
		for length := range 80 {
			c := NewForTest(Config[int]{}, 1, hash)
			partial := text[:length]
			mustPut(t, c, Key{partial, "id"}, length)
			if v, ok := c.Lookup(Key{partial, "id"}); !ok || v != length {
				t.Errorf("Lookup with a partial key of %d bytes = %d, %v", length, v, ok)
			}
			others := []string{partial + "x", text[:max(length, 1)-1] + "!"}
			for at := range length {
				others = append(others, partial[:at]+"!"+partial[at+1:], partial[:at])
			}
			for _, other := range others {
				if v, ok := c.Lookup(Key{other, "id"}); ok {
					t.Errorf("Lookup with the partial key %q = %d; stored was %q", other, v, partial)
				}
			}
			c.Close()
		}
	}
}

// A hit on an id that its node holds takes the short way through Lookup, and a default cache has
// nothing to count or to time there. The long way gives the same answers, but takes half as long again.
func TestCommonHitsTakeTheShortWay(t *testing.T) {
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	lookup := func(key Key) (v int, ok, long bool) {
		c.hits = newHitCounts() // which the short way does not touch, and for Lookup alone: an Update would date its node
		defer func() { c.hits = nil }()
		v, ok = c.Lookup(key)
		return v, ok, c.hits.total() > 0
	}
	const id = "0123456789abcdefghijklmnopqrstuv"
	longest := id + id + id
	for length := range longestText {
		key := Key{"p", longest[:length]} // 96 bytes at most
		if err := c.Update(key, length); err != nil {
			t.Fatal(err)
		}
		if v, ok, long := lookup(key); v != length || !ok || long {
			t.Errorf("Lookup of an id of %d bytes = %d, %v, by the long way: %v", length, v, ok, long)
		}
		c.Delete(key) // or its tag may be taken for another's
	}
	key := Key{"p", longest}
	if err := c.Update(key, -1); err != nil {
		t.Fatal(err)
	}
	if v, ok, long := lookup(key); v != -1 || !ok || !long {
		t.Errorf("Lookup of an id of 97 bytes = %d, %v, by the long way: %v; want -1, true, true", v, ok, long)
	}
}

func TestOnlyWhoAsksForItPaysForClockAndCounts(t *testing.T) {
	for _, tc := range []struct {
		cfg              Config[int]
		clocked, counted bool
	}{
		{Config[int]{}, false, false},
		{Config[int]{TTL: time.Second, MaxPerPartial: 1}, false, false},
		{Config[int]{RecordStats: true}, false, true},
		{Config[int]{ExactClock: true}, true, false},
		{Config[int]{IdleTTL: time.Hour}, true, false},
	} {
		c := NewForTest(tc.cfg, 1, HashGood)
		if clocked := c.revoking.Load() != 0; clocked != tc.clocked || c.clocked != tc.clocked || (c.hits != nil) != tc.counted {
			t.Errorf("%+v: Lookup reads the clock: %v, counts: %v; want %v, %v", tc.cfg, clocked, c.hits != nil, tc.clocked, tc.counted)
		}
		if c.sweeping() {
			t.Errorf("%+v: a sweep is under way", tc.cfg)
		}
	}
}

// The eviction hand sees up to three uses since it last came by, each once, and counting them touches
// nothing else that an entry packs into the same word.
func TestUsesAreCountedOnceAndUpToThree(t *testing.T) {
	for _, length := range []int{0, 5, 33, 200} {
		id := strings.Repeat("i", length)
		n := newNode(Key{"", id}, 1, false)
		for _, uses := range []int{0, 1, 2, 3, 4, 5, 1000} {
			for range uses {
				n.Item.noteUse()
			}
			if got := n.Item.takeUses(); got != uint32(min(uses, 3)) {
				t.Errorf("%d uses are seen as %d", uses, got)
			}
			if got := n.Item.takeUses(); got != 0 || idOf(n) != id {
				t.Errorf("%d uses are seen again as %d, and the id of %d bytes has %d", uses, got, length, len(idOf(n)))
			}
		}
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
