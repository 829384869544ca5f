package fastcache_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"go.uber.org/goleak"

	"github.com/sessioncache/sessioncache/fastcache"
)

func TestPromise10CloseEndsTheCache(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		var r recorder[int]
		c := fastcache.NewForTest(fastcache.Config[int]{OnRemove: r.record, RecordStats: true}, l.shards, l.mask)
		for i := range 1000 {
			put(t, c, key(fmt.Sprint(i%7), i), i)
		}
		for range 3 {
			if err := c.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			if n := r.reasons()[fastcache.Closed]; n != 1000 {
				t.Errorf("%d sessions reported closed when Close has returned; want 1000", n)
			}
		}
		afterClose(t, c)
		if n := len(r.all()); n != 1000 {
			t.Errorf("%d reports in all; want 1000", n)
		}
	})
}

// afterClose checks what every method does in a cache that is closed.
func afterClose(t *testing.T, c *fastcache.Cache[int]) {
	t.Helper()
	k := key("1", 1)
	if err := c.Update(k, 1); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("Update after Close = %v; want ErrClosed", err)
	}
	if err := c.UpdateTTL(key("new", 1), 1, time.Second); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("UpdateTTL after Close = %v; want ErrClosed", err)
	}
	wantSeen(t, c, k, false, "after Close")
	if _, ok := c.Take(k); ok || c.Delete(k) || c.Demote(k) {
		t.Error("Take, Delete or Demote finds a session after Close")
	}
	if _, _, ok := c.TakeNewest("1"); ok {
		t.Error("TakeNewest finds a session after Close")
	}
	if _, _, ok := c.TakeNewestKeepLast("1"); ok {
		t.Error("TakeNewestKeepLast finds a session after Close")
	}
	if n := c.DeletePartial("1") + c.Clear() + c.Size() + c.Stats().PendingReports + c.Stats().PartialKeys; n != 0 {
		t.Errorf("DeletePartial, Clear, Size, pending reports and partial keys after Close add up to %d; want 0", n)
	}
	check(t, c)
}

func TestPromise10CloseOfAnUnusedCache(t *testing.T) {
	c, err := fastcache.New(fastcache.Config[int]{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	afterClose(t, c)
}

// Several Close at once: each returns only when all is over.
func TestPromise10ConcurrentCloseWaits(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		release := make(chan struct{})
		var begun, reported atomic.Int64
		c := fastcache.NewForTest(fastcache.Config[int]{OnRemove: func(fastcache.Removal[int]) {
			begun.Add(1)
			<-release
			reported.Add(1)
		}}, l.shards, l.mask)
		for i := range 100 {
			put(t, c, key("p", i), i)
		}
		inParallel(4, func(g int) {
			if g == 0 {
				for begun.Load() == 0 { // a Close is under way
					runtime.Gosched()
				}
				close(release)
				return
			}
			c.Close()
			if n := reported.Load(); n != 100 {
				t.Errorf("Close returned after %d reports; want 100", n)
			}
		})
	})
}

// Close comes while everything else goes on, the timer's expiry passes included.
func TestPromise10CloseDuringTraffic(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
		for range rounds(30) {
			var stored, reported atomic.Int64
			c := fastcache.NewForTest(fastcache.Config[int]{MaxSessions: 50, MaxPerPartial: 20, TTL: time.Microsecond,
				OnRemove: func(fastcache.Removal[int]) { reported.Add(1) }}, l.shards, l.mask)
			closing := make(chan struct{})
			whileWorking(4, func(g int, done func() bool) {
				if g == 0 {
					<-closing
					c.Close()
					c.Close()
					return
				}
				for i := 0; !done(); i++ {
					k := key(fmt.Sprint(i%4), i%60)
					if err := c.UpdateTTL(k, i, time.Duration(1+i%3*i%3*1e9)); err == nil {
						stored.Add(1)
					} else if !errors.Is(err, fastcache.ErrClosed) {
						t.Errorf("Update = %v", err)
					} else {
						runtime.Gosched()
					}
					switch i % 6 {
					case 0:
						c.TakeNewest(k.Partial)
					case 1:
						c.DeletePartial(k.Partial)
					case 2:
						c.Lookup(k)
					}
				}
			}, func() {
				for stored.Load() < 300 {
					runtime.Gosched()
				}
				close(closing)
				c.Close()
				if err := c.Update(key("p", 1), 1); !errors.Is(err, fastcache.ErrClosed) {
					t.Errorf("Update after Close = %v; want ErrClosed", err)
				}
			})
			check(t, c)
			if n := c.Size(); n != 0 {
				t.Errorf("Size() = %d after Close", n)
			}
			// What a TakeNewest or a DeletePartial removed that was under way is reported soon.
			for c.Stats().PendingReports > 0 {
				runtime.Gosched()
			}
			if reported.Load() != stored.Load() {
				t.Errorf("%d reports of %d sessions", reported.Load(), stored.Load())
			}
		}
	})
}

// Close leaves no timer behind that would keep the process from its rest.
func TestPromise10CloseStopsTheTimer(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := fastcache.NewForTest(fastcache.Config[int]{TTL: time.Minute}, l.shards, l.mask)
		put(t, c, key("p", 1), 1)
		c.Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := c.Stats().WakeUps; n != 0 {
			t.Errorf("%d wake-ups after Close", n)
		}
	})
}

// abandon makes a cache with sessions and an armed timer, and forgets it.
func abandon(t *testing.T, cfg fastcache.Config[*[64]byte]) weak.Pointer[fastcache.Cache[*[64]byte]] {
	c, err := fastcache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		put(t, c, key(fmt.Sprint(i%7), i), new([64]byte))
	}
	c.Lookup(key("1", 1))
	c.DeletePartial("1")
	return weak.Make(c)
}

// A cache that is garbage is collected without Close, although its timer is armed and its
// values know nothing of it; only what has nothing to report is certain to go.
func TestPromise10AbandonedCacheIsCollected(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for name, cfg := range map[string]fastcache.Config[*[64]byte]{
		"plain":    {},
		"reported": {OnRemove: func(fastcache.Removal[*[64]byte]) {}},
		"idle":     {IdleTTL: time.Hour, RecordStats: true, MaxPerPartial: 10},
		"NoIndex":  {NoIndex: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := abandon(t, cfg)
			for range 1000 {
				if w.Value() == nil {
					return
				}
				runtime.Gosched() // a report may still be on its way
				runtime.GC()
			}
			t.Error("the cache is still in memory after 1000 collections")
		})
	}
}
