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

// The formula of docs/tuning.md: what a full cache of pointers takes, by the length of its keys and the sessions of a partial key.
func TestSessionsTakeWhatThePageSays(t *testing.T) {
	if strconv.IntSize != 64 {
		t.Skip("the page speaks of pointers of 64 bits")
	}
	const sessions = 20480
	weigh := func(Key, *int) int64 { return 1 }
	for _, tc := range []struct {
		name         string
		perPartial   int
		key          int // bytes of both parts
		cfg          Config[*int]
		node, beside int
	}{
		{"32 bytes", 1, 32, Config[*int]{NoIndex: true}, 80, 66},
		{"57 bytes", 1, 57, Config[*int]{NoIndex: true}, 112, 66},
		{"96 bytes", 1, 96, Config[*int]{NoIndex: true}, 144, 66},
		{"120 bytes", 1, 120, Config[*int]{NoIndex: true}, 128 + 128, 66},
		{"one of a partial key", 1, 57, Config[*int]{}, 112, 66 + 25},
		{"two of a partial key", 2, 57, Config[*int]{}, 112, 66 + 110/2},
		{"ten of a partial key", 10, 57, Config[*int]{}, 112, 66 + 110/10},
		{"MaxWeight", 1, 57, Config[*int]{NoIndex: true, MaxWeight: 1 << 40, Weigh: weigh}, 112, 66 + 8},
		{"IdleTTL", 1, 57, Config[*int]{NoIndex: true, IdleTTL: 1 << 40}, 128 + 64, 66},
		{"RecordStats", 1, 57, Config[*int]{NoIndex: true, RecordStats: true}, 128, 66},
	} {
		cfg := tc.cfg
		cfg.MaxSessions = sessions
		value, before := new(int), heapAfterGC()
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 * sessions {
			partial, id := strconv.Itoa(100_000+i/tc.perPartial), strconv.Itoa(100_000+i)
			if err := c.Update(Key{partial, id + strings.Repeat("x", tc.key-len(partial)-len(id))}, value); err != nil {
				t.Fatal(err)
			}
		}
		got, want := (heapAfterGC()-before)/c.Size(), tc.node+tc.beside
		if c.Size() != sessions || got > want*115/100 || got < want*85/100 {
			t.Errorf("%s: %d bytes for each of %d sessions; want %d for the node and %d beside it", tc.name, got, c.Size(), tc.node, tc.beside)
		}
		c.Close()
	}
}

func heapAfterGC() int {
	runtime.GC()
	runtime.GC() // the first leaves what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
