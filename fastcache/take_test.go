package fastcache_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A ledger counts how often each value was handed out.
type ledger struct {
	mu    sync.Mutex
	count map[int]int
}

func newLedger() *ledger { return &ledger{count: map[int]int{}} }

func (l *ledger) note(v int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count[v]++
}

// wantEachOnce checks that the values 0 to n-1 were handed out once each.
func (l *ledger) wantEachOnce(t *testing.T, n int) {
	t.Helper()
	for v, times := range l.count {
		if times != 1 {
			t.Errorf("session %d was handed to %d callers", v, times)
		}
	}
	if len(l.count) != n {
		t.Errorf("%d sessions were handed out; want %d", len(l.count), n)
	}
}

func TestPromise4OneWinnerPerTake(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		n := rounds(1000)
		for i := range n {
			put(t, c, key("p", i), i)
		}
		won := newLedger()
		inParallel(4, func(int) {
			for i := range n {
				if v, ok := c.Take(key("p", i)); ok {
					won.note(v)
				}
			}
		})
		won.wantEachOnce(t, n)
		if c.Size() != 0 {
			t.Errorf("Size() = %d after all was taken", c.Size())
		}
	})
}

func TestPromise4OneWinnerPerTakeNewest(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		n := rounds(1000)
		for i := range n {
			put(t, c, key("p", i), i)
		}
		won := newLedger()
		inParallel(4, func(g int) {
			last := n
			for i := 0; ; i++ {
				if g == 3 { // takes by key what the others take as the newest
					if i == n {
						return
					}
					if v, ok := c.Take(key("p", i)); ok {
						won.note(v)
					}
					continue
				}
				k, v, ok := c.TakeNewest("p")
				if !ok {
					return
				}
				if v >= last || k != key("p", v) {
					t.Errorf("TakeNewest = %v, %d after %d; want older ones each time", k, v, last)
				}
				last = v
				won.note(v)
			}
		})
		won.wantEachOnce(t, n)
	})
}

// While sessions are stored, replaced, evicted and taken in every way, each ends once: it is
// handed to one taker, or it is reported for another reason.
func TestPromise4EachSessionEndsOnce(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := fastcache.NewForTest(fastcache.Config[int]{MaxSessions: 20, MaxPerPartial: 8, OnRemove: r.record}, l.shards, l.mask)
		handed := newLedger()
		n := rounds(2000)
		inParallel(4, func(g int) {
			for i := range n {
				partial := fmt.Sprint(i % 4)
				put(t, c, key(partial, i%30), g*n+i)
				switch i % 5 {
				case 0:
					if v, ok := c.Take(key(partial, (i+8)%30)); ok {
						handed.note(v)
					}
				case 1, 2:
					if _, v, ok := c.TakeNewest(partial); ok {
						handed.note(v)
					}
				case 3:
					c.DeletePartial(partial)
				}
			}
		})
		check(t, c)
		c.Close()
		ended := newLedger()
		taken := 0
		for _, rm := range r.all() {
			ended.note(rm.Value)
			if rm.Reason == fastcache.Taken {
				taken++
				if handed.count[rm.Value] != 1 {
					t.Errorf("session %d is reported taken and was handed to %d callers", rm.Value, handed.count[rm.Value])
				}
			}
		}
		ended.wantEachOnce(t, 4*n)
		if taken != len(handed.count) {
			t.Errorf("%d reported taken, %d handed out", taken, len(handed.count))
		}
	})
}

// Updates replace the one session that others take: it is either handed out or replaced.
func TestPromise4TakenIsNotReplaced(t *testing.T) {
	for _, l := range layouts() {
		var taken, replaced, reportedTaken, stored atomic.Int64
		c := open(t, l, fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
			switch rm.Reason {
			case fastcache.Taken:
				reportedTaken.Add(1)
			case fastcache.Replaced:
				replaced.Add(1)
			}
		}})
		put(t, c, key("p", 0), -1) // it stays, and so does the group
		whileWorking(1, func(_ int, done func() bool) {
			for !done() {
				if _, v, ok := c.TakeNewestKeepLast("p"); ok && v != -1 {
					taken.Add(1)
				}
			}
		}, func() {
			for i := range rounds(100_000) {
				put(t, c, key("p", 1), i)
				stored.Add(1)
			}
		})
		left := int64(c.Size()) - 1
		c.Close()
		if taken.Load() != reportedTaken.Load() || taken.Load()+replaced.Load()+left != stored.Load() {
			t.Errorf("%s: %d taken, %d reported taken, %d replaced and %d left of %d", l.name,
				taken.Load(), reportedTaken.Load(), replaced.Load(), left, stored.Load())
		}
	}
}

func TestPromise4TakeNewestTakesTheNewest(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		for i := range 10 {
			put(t, c, key("p", i), i)
			put(t, c, key("q", i), 100+i)
		}
		put(t, c, key("p", 3), 30) // replaced: the newest now
		c.Delete(key("p", 8))
		c.Lookup(key("p", 0)) // a use makes nothing newer
		if got, want := selected(c, "p"), []int{30, 9, 7, 6, 5, 4, 2, 1, 0}; !slices.Equal(got, want) {
			t.Errorf("SelectSession shows %v; want %v", got, want)
		}
		for _, want := range []int{30, 9, 7, 6, 5, 4, 2, 1, 0} {
			if k, v, ok := c.TakeNewest("p"); !ok || v != want || v != 30 && k != key("p", v) {
				t.Errorf("TakeNewest = %v, %d, %v; want %d", k, v, ok, want)
			}
		}
		for range 2 {
			if k, v, ok := c.TakeNewest("p"); ok {
				t.Errorf("TakeNewest = %v, %d of a partial key that is empty", k, v)
			}
		}
		if got := len(selected(c, "q")); got != 10 {
			t.Errorf("%d sessions of the other partial key are left; want 10", got)
		}
	})
}

func TestPromise4KeepLastKeepsTheLast(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		if _, _, ok := c.TakeNewestKeepLast("p"); ok {
			t.Error("TakeNewestKeepLast finds something in an empty cache")
		}
		for i := range 3 {
			put(t, c, key("p", i), i)
		}
		for _, want := range []int{2, 1, 0, 0, 0} {
			if k, v, ok := c.TakeNewestKeepLast("p"); !ok || v != want || k != key("p", v) {
				t.Errorf("TakeNewestKeepLast = %v, %d, %v; want %d", k, v, ok, want)
			}
		}
		wantValue(t, c, key("p", 0), 0)
		put(t, c, key("p", 5), 5)
		if _, v, ok := c.TakeNewestKeepLast("p"); !ok || v != 5 {
			t.Errorf("TakeNewestKeepLast = %d, %v; want 5, the last but one", v, ok)
		}
		if _, v, ok := c.TakeNewest("p"); !ok || v != 0 {
			t.Errorf("TakeNewest = %d, %v; want 0: it keeps nothing", v, ok)
		}
		if c.Size() != 0 {
			t.Errorf("Size() = %d; want 0", c.Size())
		}
	})
}

// Of two takers that keep the last, one gets the last but one, and the last stays.
func TestPromise4KeepLastConcurrently(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		n := rounds(1000)
		for i := range n {
			put(t, c, key("p", i), i)
		}
		got := newLedger()
		inParallel(4, func(int) {
			for {
				_, v, ok := c.TakeNewestKeepLast("p")
				if !ok {
					t.Error("TakeNewestKeepLast finds nothing; the last must stay")
				}
				if v == 0 || !ok {
					return
				}
				got.note(v)
			}
		})
		got.wantEachOnce(t, n-1)
		wantValue(t, c, key("p", 0), 0)
	})
}

// Sessions that are over do not count as left, in memory or not.
func TestPromise4ExpiredDoNotCountAsLeft(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		putTTL(t, c, key("p", 1), 1, time.Second) // older, soon over
		putTTL(t, c, key("p", 2), 2, time.Hour)
		putTTL(t, c, key("p", 3), 3, time.Second) // newest, soon over
		time.Sleep(time.Second)
		if n := c.Size(); n != 3 {
			t.Fatalf("Size() = %d; this test needs the expired ones in memory", n)
		}
		for range 3 {
			if _, v, ok := c.TakeNewestKeepLast("p"); !ok || v != 2 {
				t.Errorf("TakeNewestKeepLast = %d, %v; want 2, kept", v, ok)
			}
		}
		if _, v, ok := c.TakeNewest("p"); !ok || v != 2 {
			t.Errorf("TakeNewest = %d, %v; want 2", v, ok)
		}
		if _, v, ok := c.TakeNewest("p"); ok {
			t.Errorf("TakeNewest = %d; the others have expired", v)
		}
	})
}
