package fastcache_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// scaled is a large number, or less of it for the race detector and -short.
func scaled(n int) int {
	if raced {
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

// unwound runs f in a goroutine of its own and reports how it ended: "returned", "panicked"
// or "exited".
func unwound(f func()) (end string) {
	var wg sync.WaitGroup
	wg.Go(func() {
		end = "exited"
		defer func() {
			if recover() != nil {
				end = "panicked"
			}
		}()
		f()
		end = "returned"
	})
	wg.Wait()
	return end
}

// unwinders end a callback otherwise than by a return.
var unwinders = map[string]func(){"panicked": func() { panic("by the test") }, "exited": runtime.Goexit}

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

// A callback that is in the middle of iterations when it panics or exits holds up nobody.
func TestPromise8CallbackMayEndInsideItsIterations(t *testing.T) {
	for name, end := range unwinders {
		t.Run(name, func(t *testing.T) {
			everyBubble(t, func(t *testing.T, l layout) {
				var c *fastcache.Cache[int]
				var ended atomic.Int64
				c = open(t, l, fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
					if rm.Key.Partial != "p" {
						return
					}
					for range c.All() {
						for k := range c.SelectSession("stays") {
							c.Demote(k)
							put(t, c, key("new", rm.Value), 1)
							ended.Add(1)
							end()
						}
					}
					t.Error("the callback found no session to end at")
				}})
				put(t, c, key("stays", 1), 1)
				for i := range 100 {
					put(t, c, key("p", i), i)
				}
				if n := c.DeletePartial("p"); n != 100 {
					t.Errorf("DeletePartial = %d; want 100", n)
				}
				synctest.Wait()
				if st := c.Stats(); st.ReportPanics != 100 || st.PendingReports != 0 || ended.Load() != 100 || st.Sessions != 101 {
					t.Errorf("%d panics counted, %d pending, %d ended, %d sessions; want 100, 0, 100, 101",
						st.ReportPanics, st.PendingReports, ended.Load(), st.Sessions)
				}
				wantWorking(t, c)
			})
		})
	}
}

// A callback that hangs holds up the reports of its own shard only.
func TestPromise8HangingCallbackHoldsUpItsShardOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var delivered atomic.Int64
		c := open(t, layout{shards: 8, mask: fastcache.HashGood}, fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
			if rm.Value == 0 {
				<-release
			}
			delivered.Add(1)
		}})
		for i := range 800 {
			put(t, c, key("p", i), i)
		}
		if n := c.Clear(); n != 800 {
			t.Errorf("Clear() = %d; want 800", n)
		}
		synctest.Wait()
		pending := c.Stats().PendingReports
		if n := int(delivered.Load()); n+pending != 800 || pending < 1 || pending > 200 {
			t.Errorf("%d reports delivered, %d pending while one hangs; want those of seven shards of eight delivered", n, pending)
		}
		wantWorking(t, c)
		close(release)
		synctest.Wait()
		if n := c.Stats().PendingReports; n != 0 {
			t.Errorf("%d reports pending when nothing hangs", n)
		}
	})
}

// Weigh runs before anything is claimed: when it panics or exits, nothing has changed.
func TestPromise5WeighThatDoesNotReturnChangesNothing(t *testing.T) {
	for want, end := range unwinders {
		t.Run(want, func(t *testing.T) {
			everyLayout(t, func(t *testing.T, l layout) {
				const bad = -7
				c := open(t, l, fastcache.Config[int]{MaxSessions: 300, MaxWeight: 10_000, Weigh: func(_ fastcache.Key, v int) int64 {
					if v == bad {
						end()
					}
					return int64(v)
				}})
				for i := range 100 {
					put(t, c, key(fmt.Sprint(i%7), i), i)
				}
				before := c.Stats()
				for i := range 200 { // half of the keys are new
					k := key(fmt.Sprint(i%7), i)
					if got := unwound(func() { _ = c.Update(k, bad) }); got != want {
						t.Errorf("Update %s; want that Weigh %s", got, want)
					}
					if i < 100 {
						wantValue(t, c, k, i)
					} else {
						wantMiss(t, c, k)
					}
				}
				if after := c.Stats(); after != before {
					t.Errorf("Stats after: %+v; want as before: %+v", after, before)
				}
				wantWorking(t, c)
			})
		})
	}
}

// Weigh runs outside all locks, once per Update: it may call every method, and one that
// hangs keeps nobody else waiting.
func TestPromise5WeighMayCallEveryMethodAndMayHang(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var c *fastcache.Cache[int]
		release := make(chan struct{})
		calls := 0
		c = open(t, l, fastcache.Config[int]{MaxWeight: 1000, Weigh: func(k fastcache.Key, v int) int64 {
			switch k.Partial {
			case "calls":
				calls++
				callEverything(c, key("other", 1))
				c.Delete(k)
				c.Clear()
			case "hangs":
				<-release
			}
			return int64(v)
		}})
		for i := range 10 {
			put(t, c, key("calls", 1), i)
			wantValue(t, c, key("calls", 1), i)
		}
		if calls != 10 || c.Size() != 1 || c.Stats().Weight != 9 {
			t.Errorf("Weigh was called %d times, Size() = %d, weight %d; want 10, 1, 9", calls, c.Size(), c.Stats().Weight)
		}
		var done atomic.Bool
		go func() {
			put(t, c, key("hangs", 1), 500)
			done.Store(true)
		}()
		synctest.Wait()
		if st := c.Stats(); done.Load() || st.Weight != 9 || st.Sessions != 1 {
			t.Errorf("Stats while Weigh hangs: %+v; want no room claimed for its session", st)
		}
		wantMiss(t, c, key("hangs", 1))
		wantWorking(t, c)
		close(release)
		synctest.Wait()
		wantValue(t, c, key("hangs", 1), 500)
		if w := c.Stats().Weight; w != 509 {
			t.Errorf("the weight is %d; want 509", w)
		}
	})
}

// Weights at the edge of int64 do not overflow, whether MaxWeight is set or not.
func TestPromise5LargestWeights(t *testing.T) {
	weights := map[int]int64{0: 0, 1: 1, 2: math.MaxInt64 / 2, 3: math.MaxInt64 - 1, 4: math.MaxInt64}
	everyLayout(t, func(t *testing.T, l layout) {
		for _, cfg := range []fastcache.Config[int]{
			{MaxWeight: math.MaxInt64}, {MaxWeight: math.MaxInt64 - 1}, {},
			{MaxWeight: math.MaxInt64, Overflow: fastcache.InvalidateAll},
		} {
			cfg.Weigh = func(_ fastcache.Key, v int) int64 { return weights[v] }
			most := uint64(math.MaxInt64)
			if cfg.MaxWeight != 0 {
				most = uint64(cfg.MaxWeight)
			}
			c := open(t, l, cfg)
			rng := rand.New(rand.NewPCG(6, 6))
			for range 500 {
				k, v := key(fmt.Sprint(rng.IntN(3)), rng.IntN(9)), rng.IntN(len(weights))
				err := c.Update(k, v)
				if tooHeavy := uint64(weights[v]) > most; errors.Is(err, fastcache.ErrTooHeavy) != tooHeavy || (err != nil) != tooHeavy {
					t.Errorf("Update with weight %d under %d = %v", weights[v], most, err)
				}
				if err == nil {
					wantValue(t, c, k, v)
				}
				sum := uint64(0) // of at most 27 sessions: it would show two that are too much together
				for _, v := range c.All() {
					sum += uint64(weights[v])
				}
				if w := c.Stats().Weight; w < 0 || uint64(w) != sum || sum > most {
					t.Errorf("the weight is %d, of what All shows %d; want the same, at most %d", w, sum, most)
				}
			}
			check(t, c)
			for k := range c.All() {
				c.Delete(k)
			}
			if st := c.Stats(); st.Weight != 0 || st.Sessions != 0 {
				t.Errorf("weight %d of %d sessions when all are gone", st.Weight, st.Sessions)
			}
		}
	})
	for _, weight := range []int64{-1, math.MinInt64} {
		c := open(t, layouts()[0], fastcache.Config[int]{Weigh: func(fastcache.Key, int) int64 { return weight }})
		if err := c.Update(key("p", 1), 1); !errors.Is(err, fastcache.ErrBadWeight) || c.Size() != 0 || c.Stats().Weight != 0 {
			t.Errorf("Update with weight %d = %v, Size() = %d; want ErrBadWeight, 0", weight, err, c.Size())
		}
	}
}

// A loop whose body panics or exits, writers being about, leaves no lock behind.
func TestPromise7BodyMayPanicOrExit(t *testing.T) {
	for want, end := range unwinders {
		t.Run(want, func(t *testing.T) {
			everyLayout(t, func(t *testing.T, l layout) {
				for _, noIndex := range []bool{false, true} {
					c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
					const stay = 300
					for i := range stay {
						put(t, c, key("p", i), i)
					}
					n, at := 0, 0
					stop := func() {
						if n++; n == at {
							end()
						}
					}
					loops := map[string]func(){
						"All": func() {
							for range c.All() {
								stop()
							}
						},
						"Entries": func() {
							for range c.Entries() {
								stop()
							}
						},
						"SelectSession": func() {
							for range c.SelectSession("p") {
								stop()
							}
						},
						"Foldl": func() {
							fastcache.Foldl(c, func(fastcache.Key, int, int) int { stop(); return 0 }, 0)
						},
					}
					whileWorking(1, func(_ int, done func() bool) {
						for i := 0; !done(); i++ {
							put(t, c, key("q", i%50), i)
							c.Delete(key("q", (i+25)%50))
							runtime.Gosched()
						}
					}, func() {
						for name, loop := range loops {
							for _, at = range []int{1, 256, stay} { // first, at the end of a batch, about last
								n = 0
								if got := unwound(loop); got != want {
									t.Errorf("%s %s; want that its body %s", name, got, want)
								}
							}
						}
					})
					for i := range stay {
						wantValue(t, c, key("p", i), i)
					}
					for i := range 50 {
						c.Delete(key("q", i))
					}
					if noIndex {
						check(t, c)
						put(t, c, key("works", 1), 1)
						if got := c.Clear(); got != stay+1 {
							t.Errorf("Clear() = %d; want %d", got, stay+1)
						}
						continue
					}
					wantWorking(t, c)
				}
			})
		})
	}
}

// valuesOf stores values of one type under keys whose bytes fill an entry to the brim, or lie
// behind it, and expects each back, also after collections and replacements.
func valuesOf[V comparable](t *testing.T, value func(i int) V) {
	var v V
	t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
		for _, noIndex := range []bool{false, true} {
			c := open(t, layouts()[0], fastcache.Config[V]{NoIndex: noIndex})
			lengths := []int{0, 1, 37, 38, 39, 101, 102, 103, 300}
			keyOf := func(i int) fastcache.Key {
				return fastcache.Key{Partial: strings.Repeat("p", i%2), ID: strings.Repeat("i", lengths[i/2])}
			}
			for range 2 { // the second time as replacements
				for i := range 2 * len(lengths) {
					put(t, c, keyOf(i), value(i))
				}
				runtime.GC()
				for i := range 2 * len(lengths) {
					wantValue(t, c, keyOf(i), value(i))
					if e, ok := c.Peek(keyOf(i)); !ok || e.Key != keyOf(i) {
						t.Errorf("Peek(%q) = %q, %v", keyOf(i), e.Key, ok)
					}
				}
			}
			for i := range 2 * len(lengths) {
				if got, ok := c.Take(keyOf(i)); !ok || got != value(i) {
					t.Errorf("Take(%q) = %.40v, %v; want value %d", keyOf(i), got, ok, i)
				}
			}
			var zero V
			if got, ok := c.Take(keyOf(0)); ok || got != zero {
				t.Errorf("Take = %.40v, %v of an empty cache; want the zero value", got, ok)
			}
		}
	})
}

// Values of no size, of odd sizes, and larger than any size class do not get in the key's way.
func TestPromise9ValuesOfAnySize(t *testing.T) {
	valuesOf(t, func(int) struct{} { return struct{}{} })
	valuesOf(t, func(int) [0]*int { return [0]*int{} })
	valuesOf(t, func(i int) bool { return i%2 == 0 })
	valuesOf(t, func(i int) [3]byte { return [3]byte{byte(i), 1, byte(i)} })
	valuesOf(t, func(i int) complex128 { return complex(float64(i), 1) })
	valuesOf(t, func(i int) any { return strings.Repeat("v", i) })
	valuesOf(t, func(i int) string { return strings.Repeat("v", 1000*i) })
	valuesOf(t, func(i int) (v [64 << 10]byte) {
		v[0], v[len(v)-1] = byte(i), byte(i+1)
		return v
	})
}
