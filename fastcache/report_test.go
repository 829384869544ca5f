package fastcache_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessioncache/sessioncache/fastcache"
)

// One session leaves by each way there is, and each is reported once, with its reason.
func TestPromise8EveryReason(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var r recorder[string]
		c := open(t, l, fastcache.Config[string]{MaxSessions: 8, MaxPerPartial: 4, OnRemove: r.record})
		store := func(partial string, id int, v string) { put(t, c, key(partial, id), v) }
		store("a", 1, "deleted")
		c.Delete(key("a", 1))
		store("a", 2, "taken")
		c.Take(key("a", 2))
		store("a", 3, "taken as newest")
		c.TakeNewest("a")
		store("a", 4, "replaced")
		store("a", 4, "revoked 1")
		store("a", 5, "revoked 2")
		c.DeletePartial("a")
		putTTL(t, c, key("b", 1), "expired", time.Second)
		time.Sleep(time.Second + tick)
		store("q", 1, "quota")
		for i := range 4 {
			store("q", 2+i, "cleared")
		}
		c.Clear()
		for i := range 8 {
			store(fmt.Sprint(i), 1, "evicted or closed")
		}
		store("z", 1, "evicted or closed")
		c.Close()
		got := map[string][]string{}
		for _, rm := range r.all() {
			got[rm.Reason.String()] = append(got[rm.Reason.String()], rm.Value)
		}
		many := func(n int, v string) (all []string) {
			for range n {
				all = append(all, v)
			}
			return all
		}
		want := map[string][]string{
			"deleted": {"deleted"}, "taken": {"taken", "taken as newest"}, "replaced": {"replaced"},
			"revoked": {"revoked 1", "revoked 2"}, "expired": {"expired"}, "quota": {"quota"},
			"cleared": many(4, "cleared"), "evicted": many(1, "evicted or closed"), "closed": many(8, "evicted or closed"),
		}
		opts := cmp.Options{cmp.Transformer("sorted", func(in []string) map[string]int {
			count := map[string]int{}
			for _, s := range in {
				count[s]++
			}
			return count
		})}
		if diff := cmp.Diff(want, got, opts); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
		st := c.Stats()
		counted := []uint64{st.Deleted, st.Taken, st.Replaced, st.Revoked, st.Expired, st.Quota, st.Cleared, st.Evicted, st.Closed, st.Inserted}
		if diff := cmp.Diff([]uint64{1, 2, 1, 2, 1, 1, 4, 1, 8, 20}, counted); diff != "" {
			t.Errorf("Stats (-want +got):\n%s", diff)
		}
	})
}

// Under random traffic each value that was stored is reported once by the end, for one key
// in the order of its versions, and never two at once for a shard and those that it splits into.
func TestPromise8EachRemovalIsReportedOnceInOrder(t *testing.T) {
	const keys = 40
	everyLayout(t, func(t *testing.T, l layout) {
		var mu sync.Mutex
		last := map[fastcache.Key]int{} // by key, the latest version that was reported
		reported, running := map[int]int{}, atomic.Int32{}
		c := fastcache.NewForTest(fastcache.Config[int]{MaxSessions: 25, MaxPerPartial: 9, OnRemove: func(rm fastcache.Removal[int]) {
			if n := running.Add(1); int(n) > max(l.shards, 1) {
				t.Errorf("OnRemove runs %d times at once; there were %d shards at first", n, max(l.shards, 1))
			}
			mu.Lock()
			if rm.Value <= last[rm.Key] {
				t.Errorf("%v: version %d was reported after %d", rm.Key, rm.Value, last[rm.Key])
			}
			last[rm.Key] = rm.Value
			reported[rm.Value]++
			mu.Unlock()
			runtime.Gosched()
			running.Add(-1)
		}}, l.shards, l.mask)
		var version atomic.Int64
		var writers [keys]sync.Mutex // versions of one key are stored in order
		inParallel(4, func(g int) {
			rng := rand.New(rand.NewPCG(uint64(g), 8))
			for range rounds(1500) {
				id := rng.IntN(keys)
				k := key(fmt.Sprint(id%4), id)
				switch rng.IntN(8) {
				case 0:
					c.Delete(k)
				case 1:
					c.Take(k)
				case 2:
					c.TakeNewest(k.Partial)
				case 3:
					if rng.IntN(20) == 0 {
						c.DeletePartial(k.Partial)
					} else if rng.IntN(50) == 0 {
						c.Clear()
					}
				default:
					writers[id].Lock()
					put(t, c, k, int(version.Add(1)))
					writers[id].Unlock()
				}
			}
		})
		check(t, c)
		c.Close()
		for v := range int(version.Load()) {
			if reported[v+1] != 1 {
				t.Errorf("version %d was reported %d times; want once", v+1, reported[v+1])
			}
		}
		if st := c.Stats(); st.PendingReports != 0 || uint64(version.Load()) != st.Inserted+st.Replaced {
			t.Errorf("%d reports pending after Close; %d stored, %d inserted, %d replaced",
				st.PendingReports, version.Load(), st.Inserted, st.Replaced)
		}
	})
}

// The callback holds no lock: it may call everything but Close.
func TestPromise8CallbackMayCallEveryMethod(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		var c *fastcache.Cache[int]
		var calls atomic.Int64
		c = fastcache.NewForTest(fastcache.Config[int]{MaxSessions: 10, OnRemove: func(rm fastcache.Removal[int]) {
			if calls.Add(1) < 50 { // each call removes sessions, whose reports would call again
				callEverything(c, rm.Key)
				c.Clear()
			}
		}}, l.shards, l.mask)
		for i := range 100 {
			put(t, c, key(fmt.Sprint(i%3), i), i)
		}
		c.Close()
		check(t, c)
		if calls.Load() < 100 {
			t.Errorf("%d reports of 100 sessions", calls.Load())
		}
	})
}

// A callback that panics, or ends its goroutine, is counted and the others are delivered.
func TestPromise8PanicAndGoexitAreSurvived(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("by the test") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			everyBubble(t, func(t *testing.T, l layout) {
				var r recorder[int]
				c := open(t, l, fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
					r.record(rm)
					if rm.Value%3 == 0 {
						end()
					}
				}})
				for i := range 300 {
					put(t, c, key(fmt.Sprint(i%7), i), i)
				}
				if n := c.Clear(); n != 300 {
					t.Errorf("Clear() = %d; want 300", n)
				}
				synctest.Wait()
				if n := len(r.all()); n != 300 {
					t.Errorf("%d reports; want 300", n)
				}
				if st := c.Stats(); st.ReportPanics != 100 || st.PendingReports != 0 {
					t.Errorf("%d panics, %d pending; want 100, 0", st.ReportPanics, st.PendingReports)
				}
				put(t, c, key("p", 3), 3) // Close, too, must not wait for ever
			})
		})
	}
}

// A callback that hangs delays no Update and no expiry: its queue grows, and is delivered
// in order once it returns.
func TestPromise8SlowCallbackDelaysNobody(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		release := make(chan struct{})
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{MaxSessions: 100, OnRemove: func(rm fastcache.Removal[int]) {
			<-release
			r.record(rm)
		}})
		for i := range 1000 {
			put(t, c, key("p", 1), i)
		}
		synctest.Wait()
		if n := c.Stats().PendingReports; n != 999 {
			t.Errorf("%d reports pending; want 999", n)
		}
		if n := c.Stats().Replaced; n != 999 {
			t.Errorf("%d replaced; want 999", n)
		}
		wantValue(t, c, key("p", 1), 999)
		putTTL(t, c, key("p", 2), -1, time.Second)
		time.Sleep(time.Second + tick)
		synctest.Wait()
		if n := c.Size(); n != 1 {
			t.Errorf("Size() = %d; want expiry to go on while the callback hangs", n)
		}
		close(release)
		synctest.Wait()
		next := 0
		for _, rm := range r.all() {
			if rm.Key == key("p", 1) {
				if rm.Value != next {
					t.Errorf("version %d was reported; want %d", rm.Value, next)
				}
				next++
			}
		}
		if n := c.Stats().PendingReports; n != 0 || next != 999 {
			t.Errorf("%d reports pending, %d delivered; want 0, 999", n, next)
		}
	})
}

// A session that was over before a call removed it is reported as expired.
func TestPromise8ExpiredKeepsItsReason(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{TTL: time.Second, OnRemove: r.record, MaxPerPartial: 2})
		put(t, c, key("a", 1), 1)
		put(t, c, key("b", 1), 2)
		put(t, c, key("c", 1), 3)
		put(t, c, key("d", 1), 4)
		put(t, c, key("e", 1), 5)
		put(t, c, key("f", 1), 6)
		put(t, c, key("f", 2), 7)
		time.Sleep(time.Second)
		c.Delete(key("a", 1))
		c.Take(key("b", 1))
		c.DeletePartial("c")
		put(t, c, key("d", 1), 40)
		put(t, c, key("f", 3), 60)
		c.TakeNewest("e")
		if n := c.Clear(); n != 2 {
			t.Errorf("Clear() = %d; want 2", n)
		}
		synctest.Wait()
		if got := r.reasons(); got[fastcache.Expired] != 7 || got[fastcache.Cleared] != 2 || len(got) != 2 {
			t.Errorf("reports: %v; want 7 expired, 2 cleared", got)
		}
	})
}

func TestPromise8ReasonString(t *testing.T) {
	want := []string{"invalid", "deleted", "taken", "replaced", "expired", "evicted", "quota", "revoked", "cleared", "closed",
		"crowded", "Reason(11)"}
	for r, want := range want {
		if got := fastcache.Reason(r).String(); got != want {
			t.Errorf("Reason(%d).String() = %q; want %q", r, got, want)
		}
	}
	if got := fastcache.Reason(255).String(); got != "Reason(255)" {
		t.Errorf("Reason(255).String() = %q", got)
	}
	if fastcache.Deleted != 1 || fastcache.Crowded != 10 {
		t.Error("the reasons are numbered 1 to 10 in the order of the documentation")
	}
}
