package fastcache_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// endings are the ways in which the user's code does not return.
var endings = map[string]func(){
	"panic":              func() { panic("by the test") },
	"panic(nil)":         func() { panic(nil) },
	"Goexit":             runtime.Goexit,
	"panic, then Goexit": func() { defer runtime.Goexit(); panic("by the test") },
	"Goexit, then panic": func() { defer func() { panic("by the test") }(); runtime.Goexit() },
	"Goexit, panic(nil)": func() { defer func() { panic(nil) }(); runtime.Goexit() },
	"a panic in a panic": func() { defer func() { panic("again") }(); panic("by the test") },
	"a runtime error":    func() { var p *int; *p++ },
}

// However OnRemove ends, each report is delivered once, none is left pending, and Close returns.
// Under panicnil=1 recover returns nil for panic(nil), as it does for runtime.Goexit.
func TestPromise8EachReportOnceHoweverOnRemoveEnds(t *testing.T) {
	for _, panicnil := range []string{"0", "1"} {
		t.Setenv("GODEBUG", "panicnil="+panicnil)
		for name, end := range endings {
			t.Run(name+"/panicnil="+panicnil, func(t *testing.T) {
				everyBubble(t, func(t *testing.T, l layout) { endEveryThird(t, l, end) })
			})
		}
	}
}

func endEveryThird(t *testing.T, l layout, end func()) {
	const sessions = 60
	var mu sync.Mutex
	seen := map[int]int{}
	var c *fastcache.Cache[int]
	c = fastcache.NewForTest(fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
		mu.Lock()
		seen[rm.Value]++
		if rm.Reason != fastcache.Cleared || rm.Key != key(fmt.Sprint(rm.Value%7), rm.Value) {
			t.Errorf("a report of %+v, which was never stored", rm)
		}
		mu.Unlock()
		if n := c.Stats().PendingReports; n < 1 || n > sessions {
			t.Errorf("%d reports are pending while one of %d runs", n, sessions)
		}
		if rm.Value%3 == 0 {
			end()
		}
	}}, l.shards, l.mask)
	for i := range sessions {
		put(t, c, key(fmt.Sprint(i%7), i), i)
	}
	c.Clear()
	if err := c.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	for i := range sessions {
		if seen[i] != 1 {
			t.Errorf("session %d was reported %d times; want once", i, seen[i])
		}
	}
	if st := c.Stats(); st.PendingReports != 0 || st.ReportPanics != sessions/3 {
		t.Errorf("%d pending, %d panics; want 0, %d", st.PendingReports, st.ReportPanics, sessions/3)
	}
}

// A Close that OnRemove calls would wait for itself. It says so and changes nothing, before the
// cache's Close, during it, and in the deferred functions of a callback that ends its goroutine.
func TestPromise10CloseByOnRemoveIsRefused(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var c *fastcache.Cache[int]
		var refused atomic.Int64
		tryClose := func() {
			if err := c.Close(); !errors.Is(err, fastcache.ErrCloseByOnRemove) {
				t.Errorf("Close by OnRemove = %v; want ErrCloseByOnRemove", err)
			}
			refused.Add(1)
		}
		c = fastcache.NewForTest(fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
			defer tryClose()
			if rm.Value%3 == 0 {
				runtime.Goexit()
			}
			func() { tryClose() }()
		}}, l.shards, l.mask)
		for i := range 30 {
			put(t, c, key("p", i), i)
		}
		c.Clear()
		synctest.Wait()
		put(t, c, key("p", 1), 1) // the cache is open
		wantValue(t, c, key("p", 1), 1)
		put(t, c, key("q", 3), 3)
		inParallel(3, func(int) {
			if err := c.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			if n := refused.Load(); n != 20+20+10+2+1 { // 10 of 30 end early
				t.Errorf("%d Close were refused when Close has returned; want 53", n)
			}
		})
		if err := c.Close(); err != nil {
			t.Errorf("a further Close() = %v", err)
		}
	})
}

// Caches may hold caches: an OnRemove closes those that leave, and waits for their reports.
func TestPromise10OnRemoveMayCloseAnotherCache(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		type inner = fastcache.Cache[int]
		var reported atomic.Int64
		outer := open(t, l, fastcache.Config[*inner]{OnRemove: func(rm fastcache.Removal[*inner]) {
			if err := rm.Value.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			if n := rm.Value.Stats().PendingReports; n != 0 {
				t.Errorf("Close returned with %d reports pending", n)
			}
		}})
		for i := range 5 {
			c := fastcache.NewForTest(fastcache.Config[int]{OnRemove: func(fastcache.Removal[int]) {
				time.Sleep(time.Millisecond)
				reported.Add(1)
			}}, l.shards, l.mask)
			for j := range 10 {
				put(t, c, key("p", j), j)
			}
			put(t, outer, key("p", i), c)
		}
		outer.Clear()
		synctest.Wait()
		time.Sleep(time.Second)
		if n := reported.Load(); n != 50 {
			t.Errorf("%d reports of the inner caches; want 50", n)
		}
	})
}

// OnRemove of each of two caches uses the other, which removes sessions there.
func TestPromise8TwoCachesMayCallEachOther(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var caches [2]*fastcache.Cache[int]
		var calls [2]atomic.Int64
		for i := range caches {
			caches[i] = open(t, l, fastcache.Config[int]{MaxSessions: 8, OnRemove: func(rm fastcache.Removal[int]) {
				if calls[i].Add(1) < 200 {
					callEverything(caches[1-i], rm.Key)
					caches[1-i].Update(rm.Key, rm.Value)
					caches[1-i].Update(rm.Key, rm.Value)
				}
			}})
		}
		for i := range 20 {
			put(t, caches[0], key("p", i), i)
		}
		synctest.Wait()
		for i := range caches {
			if n := calls[i].Load(); n < 100 {
				t.Errorf("OnRemove of cache %d was called %d times; want the two to go on", i, n)
			}
		}
	})
}

// Loop bodies and Weigh run outside all locks: they may close the cache.
func TestPromise10TheCallersCodeMayClose(t *testing.T) {
	for name, during := range map[string]func(c *fastcache.Cache[int]){
		"All":     func(c *fastcache.Cache[int]) { c.All()(func(fastcache.Key, int) bool { c.Close(); return true }) },
		"Entries": func(c *fastcache.Cache[int]) { c.Entries()(func(fastcache.Entry[int]) bool { c.Close(); return true }) },
		"SelectSession": func(c *fastcache.Cache[int]) {
			c.SelectSession("p")(func(fastcache.Key, int) bool { c.Close(); return true })
		},
		"Foldl": func(c *fastcache.Cache[int]) {
			fastcache.Foldl(c, func(fastcache.Key, int, int) int { c.Close(); return 0 }, 0)
		},
		"Weigh": func(c *fastcache.Cache[int]) {
			if err := c.Update(key("close", 1), 1); !errors.Is(err, fastcache.ErrClosed) {
				panic(fmt.Sprintf("Update whose Weigh closes the cache = %v; want ErrClosed", err))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			everyBubble(t, func(t *testing.T, l layout) {
				var c *fastcache.Cache[int]
				var r recorder[int]
				c = fastcache.NewForTest(fastcache.Config[int]{MaxWeight: 1000, OnRemove: r.record, Weigh: func(k fastcache.Key, _ int) int64 {
					if k.Partial == "close" {
						c.Close()
					}
					return 1
				}}, l.shards, l.mask)
				for i := range 20 {
					put(t, c, key("p", i), i)
				}
				during(c)
				check(t, c)
				if n := r.reasons()[fastcache.Closed]; n != 20 || c.Size() != 0 || c.Stats().Weight != 0 {
					t.Errorf("%d sessions were closed, %d are left; want 20, 0", n, c.Size())
				}
			})
		})
	}
}

// A Weigh that does not return leaves nothing behind: no place, no weight, no lock.
func TestPromise5WeighThatEndsItsGoroutineTakesNoRoom(t *testing.T) {
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			everyBubble(t, func(t *testing.T, l layout) {
				c := open(t, l, fastcache.Config[int]{MaxWeight: 10, Weigh: func(k fastcache.Key, _ int) int64 {
					if k.Partial == "end" {
						end()
					}
					return 1
				}})
				put(t, c, key("p", 1), 1)
				for i, store := range []func(k fastcache.Key, v int, ttl time.Duration) error{c.UpdateTTL, c.UpdateOnProbation} {
					done := make(chan struct{})
					go func() {
						defer close(done)
						defer func() { recover() }()
						store(key("end", i), 1, time.Hour)
						t.Error("Update returned; Weigh did not")
					}()
					<-done
				}
				check(t, c)
				if st := c.Stats(); st.Sessions != 1 || st.Weight != 1 || st.OnProbation != 0 {
					t.Errorf("%d sessions of weight %d, %d on probation; want 1, 1, 0", st.Sessions, st.Weight, st.OnProbation)
				}
			})
		})
	}
}
