package fastcache_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A remover takes sessions out; it returns the value if it says which.
type remover struct {
	name   string
	remove func(c *fastcache.Cache[int], k fastcache.Key) (v int, said bool)
}

var removers = []remover{
	{"Delete", func(c *fastcache.Cache[int], k fastcache.Key) (int, bool) { c.Delete(k); return 0, false }},
	{"Take", func(c *fastcache.Cache[int], k fastcache.Key) (int, bool) { c.Take(k); return 0, false }},
	{"DeletePartial", func(c *fastcache.Cache[int], k fastcache.Key) (int, bool) {
		c.DeletePartial(k.Partial)
		return 0, false
	}},
	{"Clear", func(c *fastcache.Cache[int], k fastcache.Key) (int, bool) { c.Clear(); return 0, false }},
	{"TakeNewest", func(c *fastcache.Cache[int], k fastcache.Key) (int, bool) {
		_, v, ok := c.TakeNewest(k.Partial)
		return v, ok
	}},
}

// A caller that has seen a session, or knows that it was stored, and then removed it, or found
// that another had removed it before, sees it no more. Values are unique.
func TestPromise3RemovedIsNeverReturned(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		for _, r := range removers {
			t.Run(r.name, func(t *testing.T) {
				c := open(t, l, fastcache.Config[int]{})
				var serial atomic.Int64
				inParallel(4, func(g int) {
					for i := range rounds(2500) {
						k := key("p", i%3)
						if (i+g)%2 == 0 {
							put(t, c, k, int(serial.Add(1)))
						}
						seen, ok := c.Lookup(k)
						if v, said := r.remove(c, k); said {
							seen, ok = v, true
						} else if r.name == "TakeNewest" {
							continue // it may have gone to another caller's hands later than to ours
						}
						if !ok {
							continue
						}
						if v, ok := c.Lookup(k); ok && v == seen {
							t.Errorf("Lookup = %d after %s", v, r.name)
						}
						if e, ok := c.Peek(k); ok && e.Value == seen {
							t.Errorf("Peek = %d after %s", e.Value, r.name)
						}
						if slices.Contains(selected(c, "p"), seen) {
							t.Errorf("SelectSession shows %d after %s", seen, r.name)
						}
						if _, v, ok := c.TakeNewest("p"); ok && v == seen {
							t.Errorf("TakeNewest = %d after %s", v, r.name)
						}
					}
				})
			})
		}
	})
}

// Two DeletePartials of one partial key: the one that comes too late to revoke anything
// must not return before the sessions are gone.
func TestPromise3SecondDeletePartialMayRelyOnTheFirst(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{})
	for i := range rounds(30_000) {
		put(t, c, key("p", 1), i)
		var begun atomic.Int32
		inParallel(2, func(g int) {
			for begun.Add(1); begun.Load() < 2; runtime.Gosched() {
			}
			c.DeletePartial("p")
			if v, ok := c.Lookup(key("p", 1)); ok {
				t.Errorf("Lookup = %d after DeletePartial", v)
			}
		})
	}
}

// Writers store while others revoke. Every session whose Update returned before a
// DeletePartial began is gone when that returns; values tell who stored them when.
func TestPromise3DeletePartialRemovesAllStoredBefore(t *testing.T) {
	const writers, ids = 3, 5
	everyLayout(t, func(t *testing.T, l layout) {
		for _, noIndex := range []bool{false, true} {
			c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
			var stored [writers]atomic.Int64 // by writer, its last Update that returned
			tooOld := func(value int, before [writers]int64, where string) {
				g, v := value%writers, value/writers
				if int64(v) <= before[g] {
					t.Errorf("NoIndex %v: %s shows version %d of writer %d; up to %d were stored before DeletePartial",
						noIndex, where, v, g, before[g])
				}
			}
			whileWorking(writers, func(g int, done func() bool) {
				for v := 1; !done(); v++ {
					put(t, c, key("p", v*(g+1)%ids), v*writers+g) // the writers replace each other's
					stored[g].Store(int64(v))
				}
			}, func() {
				inParallel(2, func(int) {
					for range rounds(300) {
						runtime.Gosched()
						var before [writers]int64
						for g := range before {
							before[g] = stored[g].Load()
						}
						c.DeletePartial("p")
						for id := range ids {
							if v, ok := c.Lookup(key("p", id)); ok {
								tooOld(v, before, "Lookup")
							}
						}
						for _, v := range c.SelectSession("p") {
							tooOld(v, before, "SelectSession")
						}
						for _, v := range c.All() {
							tooOld(v, before, "All")
						}
					}
				})
			})
			check(t, c)
			c.DeletePartial("p")
			if n := c.Size(); n != 0 {
				t.Errorf("Size() = %d after a DeletePartial that nobody disturbed", n)
			}
		}
	})
}

// A partial key of 10 000 sessions goes at once for readers, and in small steps for writers.
func TestPromise3DeletePartialOfALargeGroup(t *testing.T) {
	for _, noIndex := range []bool{false, true} {
		for _, shards := range []int{1, 8} {
			c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{NoIndex: noIndex})
			const n = 10_000
			for i := range n {
				put(t, c, key("p", i), i)
				if i%10 == 0 {
					put(t, c, key("q", i), i)
				}
			}
			if got := c.DeletePartial("p"); got != n {
				t.Errorf("DeletePartial = %d; want %d", got, n)
			}
			for i := range n {
				wantMiss(t, c, key("p", i))
			}
			if got := len(selected(c, "q")); got != n/10 || c.Size() != n/10 {
				t.Errorf("SelectSession of another partial key shows %d, Size() = %d; want %d", got, c.Size(), n/10)
			}
			if got := c.MaxWorkForTest(); got > 256 {
				t.Errorf("%d sessions worked on under one lock; want at most 256", got)
			}
			check(t, c)
		}
	}
}

func TestPromise3Clear(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{OnRemove: r.record})
		for i := range 600 {
			put(t, c, key(fmt.Sprint(i%7), i), i)
		}
		if n := c.Clear(); n != 600 || c.Size() != 0 {
			t.Errorf("Clear() = %d, Size() = %d; want 600, 0", n, c.Size())
		}
		if n := c.Clear(); n != 0 {
			t.Errorf("Clear() of an empty cache = %d", n)
		}
		if n := c.Stats().PartialKeys; n != 0 {
			t.Errorf("%d partial keys are left", n)
		}
		wantMiss(t, c, key("1", 1))
		check(t, c)
		put(t, c, key("1", 1), 1)
		wantValue(t, c, key("1", 1), 1)
		c.Close()
		if got := r.reasons(); got[fastcache.Cleared] != 600 || got[fastcache.Closed] != 1 {
			t.Errorf("reports: %v; want 600 cleared, 1 closed", got)
		}
	})
}

// With NoIndex, SelectSession and DeletePartial scan, and what needs the index says so.
func TestPromise6WithoutIndex(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{NoIndex: true})
		for i := range 300 {
			put(t, c, key(fmt.Sprint(i%3), i), i)
		}
		got := selected(c, "1")
		slices.Sort(got)
		if len(got) != 100 || got[0] != 1 || got[99] != 298 {
			t.Errorf("SelectSession shows %d sessions; want the 100 of its partial key", len(got))
		}
		if n := c.DeletePartial("1"); n != 100 {
			t.Errorf("DeletePartial = %d; want 100", n)
		}
		if n := c.DeletePartial("nobody's"); n != 0 {
			t.Errorf("DeletePartial of a partial key without sessions = %d", n)
		}
		wantMiss(t, c, key("1", 1))
		wantValue(t, c, key("2", 2), 2)
		for name, take := range map[string]func(string) (fastcache.Key, int, bool){
			"TakeNewest": c.TakeNewest, "TakeNewestKeepLast": c.TakeNewestKeepLast,
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s returned; want a panic", name)
					}
				}()
				take("2")
			}()
		}
		if st := c.Stats(); st.PartialKeys != 0 || st.Revoked != 100 {
			t.Errorf("Stats: %d partial keys, %d revoked; want 0, 100", st.PartialKeys, st.Revoked)
		}
	})
}
