package fastcache_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// scaled is a large number, or less of it for the race detector and -short.
func scaled(n int) int {
	if fastcache.Raced {
		n /= 20
	}
	if testing.Short() {
		n /= 10
	}
	return n
}

// wantWorking checks that no lock is held and nothing was lost: every method works, in every
// shard, and the cache is sound.
func wantWorking(t *testing.T, c *fastcache.Cache[int]) {
	t.Helper()
	size := c.Size()
	for i := range 100 { // enough to meet every shard
		k := key("works", i)
		put(t, c, k, 1)
		wantValue(t, c, k, 1)
		if !c.Delete(k) {
			t.Errorf("Delete(%v) finds nothing", k)
		}
	}
	callEverything(c, key("works", 1))
	if got := c.Size(); got != size {
		t.Errorf("Size() = %d; want %d as before", got, size)
	}
	check(t, c)
}

// Keys of 64 KiB that differ in their last bytes only: the bound on the count bounds the
// memory, too, and an evicted key is garbage.
func TestPromise9LongestKeysInNumbers(t *testing.T) {
	const bound = 50
	long := strings.Repeat("k", fastcache.MaxKeyPart-6)
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxSessions: bound})
		before := heapInUse()
		longKey := func(i int) fastcache.Key {
			return fastcache.Key{Partial: fmt.Sprintf("%s%06d", long, i/3), ID: fmt.Sprintf("%s%06d", long, i)}
		}
		n := rounds(500)
		for i := range n {
			put(t, c, longKey(i), i)
			wantValue(t, c, longKey(i), i)
		}
		found := 0
		for i := range n {
			if v, ok := c.Lookup(longKey(i)); ok && v == i {
				found++
			}
		}
		if found != bound || c.Size() != bound {
			t.Errorf("%d sessions are found, Size() = %d; want %d", found, c.Size(), bound)
		}
		if used, most := heapInUse()-before, int64(bound*2*fastcache.MaxKeyPart*3/2); used > most {
			t.Errorf("%d KiB in use for %d sessions; want at most %d", used>>10, bound, most>>10)
		}
		if got := selected(c, longKey(n-1).Partial); len(got) == 0 || got[0] != n-1 {
			t.Errorf("SelectSession shows %v; want %d first", got, n-1)
		}
		if n := c.Clear(); n != bound {
			t.Errorf("Clear() = %d; want %d", n, bound)
		}
		if used := heapInUse() - before; used > 1<<20 {
			t.Errorf("%d KiB in use when all are gone", used>>10)
		}
	})
}

// The sessions of one partial key share one copy of it, however long it is.
func TestPromise9LongPartialKeyIsKeptOnce(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{})
	const n = 2000
	partial := strings.Repeat("p", fastcache.MaxKeyPart)
	before := heapInUse()
	for i := range n {
		put(t, c, key(strings.Clone(partial), i), i)
	}
	if used := heapInUse() - before; used > n*1024 {
		t.Errorf("%d KiB in use for %d sessions of one partial key of 64 KiB", used>>10, n)
	}
	if got := c.DeletePartial(partial); got != n {
		t.Errorf("DeletePartial = %d; want %d", got, n)
	}
}

// A million partial keys with one session each, all revoked one by one.
func TestPromise9MillionPartialKeys(t *testing.T) {
	n := scaled(1_000_000)
	c, err := fastcache.New(fastcache.Config[int]{MaxSessions: n})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	empty := heapInUse()
	for i := range n {
		put(t, c, key(fmt.Sprint("tenant ", i), 1), i)
	}
	full := heapInUse() - empty
	t.Logf("%d partial keys of one session each: %d bytes per session", n, full/int64(n))
	if st := c.Stats(); st.PartialKeys != n || st.Sessions != n || st.Evicted != 0 {
		t.Errorf("%d partial keys, %d sessions, %d evicted; want %d, %[4]d, 0", st.PartialKeys, st.Sessions, st.Evicted, n)
	}
	for i := range n {
		partial := fmt.Sprint("tenant ", i)
		if i%1000 == 0 {
			wantValue(t, c, key(partial, 1), i)
			if got := selected(c, partial); len(got) != 1 || got[0] != i {
				t.Errorf("SelectSession(%q) shows %v; want %d", partial, got, i)
			}
		}
		if got := c.DeletePartial(partial); got != 1 {
			t.Fatalf("DeletePartial(%q) = %d; want 1", partial, got)
		}
	}
	if st := c.Stats(); st.PartialKeys != 0 || st.Sessions != 0 || st.Revoked != uint64(n) {
		t.Errorf("%d partial keys, %d sessions, %d revoked; want 0, 0, %d", st.PartialKeys, st.Sessions, st.Revoked, n)
	}
	if got := c.MaxWorkForTest(); got > 256 {
		t.Errorf("%d sessions worked on under one lock; want at most 256", got)
	}
	if left := heapInUse() - empty; left > full/8+64<<10 {
		t.Errorf("%d KiB in use by the empty cache that had %d KiB; want the memory given back", left>>10, full>>10)
	}
	check(t, c)
}

// One partial key with a million sessions: a gateway's only upstream.
func TestPromise9MillionSessionsOfOnePartialKey(t *testing.T) {
	n := scaled(1_000_000)
	c, err := fastcache.New(fastcache.Config[int]{MaxSessions: n})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	empty := heapInUse()
	for i := range n {
		put(t, c, key("p", i), i)
	}
	t.Logf("%d sessions of one partial key: %d bytes per session", n, (heapInUse()-empty)/int64(n))
	for k, v := range c.SelectSession("p") {
		if v != n-1 || k != key("p", v) {
			t.Errorf("SelectSession shows %v, %d first; want %d", k, v, n-1)
		}
		break
	}
	next := n
	for _, v := range c.SelectSession("p") {
		if next--; v != next {
			t.Fatalf("SelectSession shows %d; want %d, newest first", v, next)
		}
	}
	if next != 0 {
		t.Errorf("SelectSession ends at %d; want all down to 0", next)
	}
	many := n / 100
	for i := range many {
		if _, v, ok := c.TakeNewest("p"); !ok || v != n-1-i {
			t.Fatalf("TakeNewest = %d, %v; want %d", v, ok, n-1-i)
		}
		if middle := n/2 + i/2*(1-i%2*2); i > 1 && !c.Delete(key("p", middle)) {
			t.Fatalf("Delete of session %d, in the middle, finds nothing", middle)
		}
	}
	left := c.Size()
	if want := n - 2*many + 2; left != want {
		t.Errorf("Size() = %d; want %d", left, want)
	}
	if got := len(selected(c, "p")); got != left {
		t.Errorf("SelectSession shows %d sessions; Size() = %d", got, left)
	}
	for i := range n - left { // up to a million again
		put(t, c, key("p", n+i), i)
	}
	if got := c.DeletePartial("p"); got != n {
		t.Errorf("DeletePartial = %d; want %d", got, n)
	}
	if st := c.Stats(); st.PartialKeys != 0 || st.Sessions != 0 {
		t.Errorf("%d partial keys, %d sessions; want none", st.PartialKeys, st.Sessions)
	}
	if got := c.MaxWorkForTest(); got > 256 {
		t.Errorf("%d sessions worked on under one lock; want at most 256", got)
	}
	check(t, c)
}

// All sessions expire at one instant, while readers look: none sees one from that instant on,
// and a tick later the memory is free.
func TestPromise1AllExpireAtOnceUnderTheEyesOfReaders(t *testing.T) {
	const life = time.Hour
	n := scaled(100_000)
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: n})
				time.Sleep(tick / 3) // a deadline within a tick: at its start the pass comes too early, at its end late
				deadline := time.Now().Add(life)
				for i := range n {
					putTTL(t, c, key(fmt.Sprint(i%7), i), i, life)
				}
				if got := len(collect(t, c)); got != n {
					t.Errorf("All shows %d sessions; want %d", got, n)
				}
				look := func(g int) {
					alive := time.Now().Before(deadline)
					for i := g; i < n; i += 97 {
						if _, ok := c.Lookup(key(fmt.Sprint(i%7), i)); ok != alive {
							t.Errorf("Lookup finds session %d: %v at %v from the deadline", i, ok, time.Until(deadline))
						}
					}
					if !alive {
						if k, _, ok := c.TakeNewest(fmt.Sprint(g)); ok {
							t.Errorf("TakeNewest returns %v at %v from the deadline", k, time.Until(deadline))
						}
					}
					seen := len(selected(c, fmt.Sprint(g)))
					for range c.All() {
						seen++
					}
					if (seen > 0) != alive {
						t.Errorf("iterations show %d sessions at %v from the deadline", seen, time.Until(deadline))
					}
				}
				inParallel(3, func(g int) {
					time.Sleep(time.Until(deadline) - 1)
					look(g)
					time.Sleep(time.Nanosecond)
					for range 18 { // until beyond the tick, some while the timer works
						look(g)
						time.Sleep(time.Millisecond)
					}
				})
				synctest.Wait()
				if got := c.Size(); got != 0 {
					t.Errorf("Size() = %d a tick after the deadline; want 0", got)
				}
				if got := c.MaxWorkForTest(); got > 256 {
					t.Errorf("%d sessions worked on under one lock; want at most 256", got)
				}
			})
		})
	}
}

// The same by the real clock, where the timer's pass takes its time.
func TestPromise1AllExpireAtOnceByTheRealClock(t *testing.T) {
	n := scaled(100_000)
	c := open(t, layout{shards: 8, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: n})
	ends := time.Now().Add(time.Second)
	var last time.Time // the latest deadline that any session can have
	for i := range n {
		life := time.Until(ends)
		if life <= 0 {
			n = i // a busy machine: do with what is stored
			break
		}
		putTTL(t, c, key(fmt.Sprint(i%7), i), i, life)
		if by := time.Now().Add(life); by.After(last) {
			last = by
		}
	}
	if n == 0 {
		t.Fatal("nothing could be stored in a second")
	}
	inParallel(3, func(g int) {
		rng := rand.New(rand.NewPCG(uint64(g), 3))
		for late := 0; c.Size() > 0 || late < 1000; {
			i := rng.IntN(n)
			k := key(fmt.Sprint(i%7), i)
			begin := time.Now()
			_, ok := c.Lookup(k)
			if g == 0 && !ok {
				_, ok = c.Peek(k)
			}
			if over := begin.Sub(last); over >= 0 {
				late++
				if ok {
					t.Errorf("session %d is found by a call that began %v after its deadline", i, over)
				}
			}
		}
	})
	if got := c.MaxWorkForTest(); got > 256 {
		t.Errorf("%d sessions worked on under one lock; want at most 256", got)
	}
}

// Any number of Updates of one key, with any TTLs, leave one session, one slot in the wheel,
// and hardly a wake-up.
func TestPromise9TTLChurnOnOneKey(t *testing.T) {
	n := scaled(100_000)
	random := func(rng *rand.Rand) time.Duration { // from a nanosecond to centuries
		return time.Duration(1 + rng.Uint64()>>(1+rng.IntN(62)))
	}
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		k, rng := key("p", 1), rand.New(rand.NewPCG(4, 4))
		for i := range n {
			putTTL(t, c, k, i, random(rng))
		}
		putTTL(t, c, k, n, time.Hour)
		wantSeen(t, c, k, true, "after the last Update")
		if st := c.Stats(); st.Sessions != 1 || st.Inserted != 1 || st.Replaced != uint64(n) || st.PartialKeys != 1 {
			t.Errorf("Stats: %+v; want one session, replaced %d times", st, n)
		}
		check(t, c) // among others: as many slots in the wheel as residents
		time.Sleep(time.Hour - 1)
		synctest.Wait()
		wantSeen(t, c, k, true, "1 ns before the last deadline")
		time.Sleep(tick + 1)
		synctest.Wait()
		st := c.Stats()
		t.Logf("%d wake-ups after %d deadlines", st.WakeUps, n)
		if st.Sessions != 0 || st.Expired != 1 || st.WakeUps > 10 {
			t.Errorf("%d sessions, %d expired, %d wake-ups; want 0, 1 and at most 10", st.Sessions, st.Expired, st.WakeUps)
		}
	})
	synctest.Test(t, func(t *testing.T) { // with time between the Updates
		c := open(t, layouts()[0], fastcache.Config[int]{})
		k, rng, n := key("p", 1), rand.New(rand.NewPCG(5, 5)), n/10
		for i := range n {
			ttl := random(rng)
			putTTL(t, c, k, i, ttl)
			rest := rng.Int64N(int64(time.Minute))
			time.Sleep(time.Duration(rest))
			if _, ok := c.Lookup(k); ok != (rest < int64(ttl)) {
				t.Errorf("Lookup finds a session of %v after %v: %v", ttl, time.Duration(rest), ok)
			}
		}
		check(t, c)
		st := c.Stats()
		t.Logf("%d wake-ups after %d Updates", st.WakeUps, n)
		if st.WakeUps > 2*uint64(n) || st.Sessions > 1 {
			t.Errorf("%d wake-ups for %d Updates of one key, %d sessions; want at most 2 each, and one", st.WakeUps, n, st.Sessions)
		}
	})
}
