package fastcache

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A session is one object as long as its key has at most 96 bytes, of a size that follows the key's. What the index
// keeps for the group is not counted, nor the copy of a long partial key, which all its sessions share.
func TestKeysTakeNoLargerNodeThanTheyNeed(t *testing.T) {
	const small, long = 80, 1000
	for _, tc := range []struct{ partial, id, bytes, objects int }{
		{0, 0, small, 1}, {0, 32, small, 1}, {16, 16, small, 1}, {32, 0, small, 1},
		{0, 33, 96, 1}, {16, 32, 96, 1}, {32, 16, 96, 1}, {17, 32, 112, 1}, {25, 32, 112, 1}, {32, 32, 112, 1},
		{0, 65, 128, 1}, {64, 16, 128, 1}, {0, 81, 144, 1}, {48, 48, 144, 1}, {96, 0, 144, 1},
		{0, 97, long, 2}, {48, 49, long, 2}, {1000, 32, long, 2},
	} {
		key := Key{strings.Repeat("p", tc.partial), strings.Repeat("i", tc.id)}
		bytes, objects := costOf(func() { newNode[*int](key, nil, false) })
		if bytes > tc.bytes+tc.bytes/8 || objects > tc.objects { // others may allocate a little meanwhile
			t.Errorf("a key of %d and %d bytes takes %d bytes in %d objects; want %d in %d at most",
				tc.partial, tc.id, bytes, objects, tc.bytes, tc.objects)
		}
	}
}

// costOf returns what one call of f allocates.
func costOf(f func()) (bytes, objects int) {
	const runs = 10_000
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc-before.TotalAlloc) / runs, int(after.Mallocs-before.Mallocs) / runs
}

// A full cache has hardly more slots than sessions, for each slot costs memory in many arrays.
func TestFullCachesHaveFewSlotsToSpare(t *testing.T) {
	for _, tc := range []struct{ sessions, slots int }{
		{1, 16}, {15, 16}, {16, 16}, {17, 32}, {31, 32}, {32, 32}, {33, 48}, {48, 48}, {49, 64}, {1000, 1008}, {1008, 1008}, {1023, 1024}, {4096, 4096},
		{20480, 25600}, // in 8 shards of 2560 or so; in one the dice may have put more than it has slots for
	} {
		c, err := New(Config[int]{MaxSessions: tc.sessions, NoIndex: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 * tc.sessions {
			if err := c.Update(Key{"p", strconv.Itoa(i)}, i); err != nil {
				t.Fatal(err)
			}
		}
		slots := 0
		for s := range c.eachShard {
			slots += len(s.mu.place)
		}
		if slots > tc.slots || c.Size() != tc.sessions {
			t.Errorf("%d slots for %d sessions; want %d slots at most", slots, c.Size(), tc.slots)
		}
		c.Close()
	}
}

// A cache that hovers around one session keeps what it needs for it.
func TestHoveringAroundOneSessionAllocatesTheSessionAlone(t *testing.T) {
	c := NewForTest(Config[int]{NoIndex: true}, 1, HashGood)
	defer c.Close()
	key := Key{"p", "a"}
	got := testing.AllocsPerRun(1000, func() {
		if err := c.Update(key, 1); err != nil || !c.Delete(key) {
			t.Fatal("the session was not stored", err)
		}
	})
	if got > 1 {
		t.Errorf("storing and deleting the only session allocates %v objects; want 1", got)
	}
}

// Without an OnRemove no call starts a goroutine to deliver them.
func TestNothingIsDeliveredWithoutOnRemove(t *testing.T) {
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	r := &c.reporters[0]
	for i := range 1000 {
		if err := c.Update(Key{"p", "a"}, i); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		delivering := r.mu.delivering
		r.mu.Unlock()
		if delivering {
			t.Fatal("an Update started a goroutine to deliver reports to nobody")
		}
	}
}
