package fastcache_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// tick is how long a session that is over may stay in memory.
const tick = time.Duration(1 << 24)

// A layout is a number of shards and a mask over the digest, under which a suite runs.
type layout struct {
	name   string
	shards int
	mask   uint64
}

func layouts() (all []layout) {
	for _, shards := range []int{1, 8} {
		all = append(all,
			layout{fmt.Sprintf("shards=%d/hash=good", shards), shards, fastcache.HashGood},
			layout{fmt.Sprintf("shards=%d/hash=constant", shards), shards, fastcache.HashConstant},
			layout{fmt.Sprintf("shards=%d/hash=truncated", shards), shards, fastcache.HashTruncated},
			layout{fmt.Sprintf("shards=%d/hash=secret", shards), shards, fastcache.HashSecret})
	}
	all = append(all,
		layout{"shards=splitting/hash=good", fastcache.Splitting, fastcache.HashGood},
		layout{"shards=splitting/hash=truncated", fastcache.Splitting, fastcache.HashTruncated})
	return all
}

// everyLayout runs a suite under each layout, in real time.
func everyLayout(t *testing.T, suite func(t *testing.T, l layout)) {
	t.Helper()
	for _, l := range layouts() {
		t.Run(l.name, func(t *testing.T) { suite(t, l) })
	}
}

// everyBubble runs a suite under each layout, in a bubble of virtual time.
func everyBubble(t *testing.T, suite func(t *testing.T, l layout)) {
	t.Helper()
	everyLayout(t, func(t *testing.T, l layout) {
		synctest.Test(t, func(t *testing.T) { suite(t, l) })
	})
}

// open makes a cache that is checked and closed when the test ends.
func open[V any](t *testing.T, l layout, cfg fastcache.Config[V]) *fastcache.Cache[V] {
	t.Helper()
	c := fastcache.NewForTest(cfg, l.shards, l.mask)
	t.Cleanup(func() {
		check(t, c)
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		check(t, c)
		if n := c.Size(); n != 0 {
			t.Errorf("Size() = %d after Close; want 0", n)
		}
	})
	return c
}

// check checks the cache's invariants; no goroutine but the timer's may be using it.
func check[V any](t *testing.T, c *fastcache.Cache[V]) {
	t.Helper()
	if err := c.CheckInvariantsForTest(); err != nil {
		t.Errorf("invariants: %v", err)
	}
}

func key(partial string, id int) fastcache.Key {
	return fastcache.Key{Partial: partial, ID: fmt.Sprint(id)}
}

// put stores a session with the default TTL.
func put[V any](t testing.TB, c *fastcache.Cache[V], k fastcache.Key, v V) {
	t.Helper()
	if err := c.Update(k, v); err != nil {
		t.Fatalf("Update(%.40q) = %v", k, err)
	}
}

// putTTL stores a session with a TTL of its own.
func putTTL[V any](t testing.TB, c *fastcache.Cache[V], k fastcache.Key, v V, ttl time.Duration) {
	t.Helper()
	if err := c.UpdateTTL(k, v, ttl); err != nil {
		t.Fatalf("UpdateTTL(%.40q, %v) = %v", k, ttl, err)
	}
}

// readers are the ways to look for a session without removing it; the last is a use.
var readers = []struct {
	name string
	sees func(c *fastcache.Cache[int], k fastcache.Key) bool
}{
	{"Peek", func(c *fastcache.Cache[int], k fastcache.Key) bool { _, ok := c.Peek(k); return ok }},
	{"SelectSession", func(c *fastcache.Cache[int], k fastcache.Key) bool {
		for got := range c.SelectSession(k.Partial) {
			if got == k {
				return true
			}
		}
		return false
	}},
	{"All", func(c *fastcache.Cache[int], k fastcache.Key) bool {
		for got := range c.All() {
			if got == k {
				return true
			}
		}
		return false
	}},
	{"Entries", func(c *fastcache.Cache[int], k fastcache.Key) bool {
		for e := range c.Entries() {
			if e.Key == k {
				return true
			}
		}
		return false
	}},
	{"Foldl", func(c *fastcache.Cache[int], k fastcache.Key) bool {
		return fastcache.Foldl(c, func(got fastcache.Key, _ int, acc bool) bool { return acc || got == k }, false)
	}},
	{"Lookup", func(c *fastcache.Cache[int], k fastcache.Key) bool { _, ok := c.Lookup(k); return ok }},
}

// wantSeen checks that every reader sees the session, or that none does.
func wantSeen(t *testing.T, c *fastcache.Cache[int], k fastcache.Key, want bool, when string) {
	t.Helper()
	for _, r := range readers {
		if got := r.sees(c, k); got != want {
			t.Errorf("%s: %s(%v) finds it: %v; want %v", when, r.name, k, got, want)
		}
	}
}

// wantValue checks what Lookup returns.
func wantValue[V comparable](t *testing.T, c *fastcache.Cache[V], k fastcache.Key, want V) {
	t.Helper()
	if got, ok := c.Lookup(k); !ok || got != want {
		t.Errorf("Lookup(%.40q) = %v, %v; want %v", k, got, ok, want)
	}
}

// wantMiss checks that Lookup misses.
func wantMiss[V any](t *testing.T, c *fastcache.Cache[V], k fastcache.Key) {
	t.Helper()
	if got, ok := c.Lookup(k); ok {
		t.Errorf("Lookup(%.40q) = %v; want a miss", k, got)
	}
}

// selected returns the values of a partial key, in the order of SelectSession.
func selected[V any](c *fastcache.Cache[V], partial string) (values []V) {
	for _, v := range c.SelectSession(partial) {
		values = append(values, v)
	}
	return values
}

// collect returns all sessions; it fails on one that is shown twice.
func collect[V any](t *testing.T, c *fastcache.Cache[V]) map[fastcache.Key]V {
	t.Helper()
	all := map[fastcache.Key]V{}
	for k, v := range c.All() {
		if _, twice := all[k]; twice {
			t.Errorf("All() shows %v twice", k)
		}
		all[k] = v
	}
	return all
}

// A recorder is an OnRemove that keeps what it is told.
type recorder[V any] struct {
	mu   sync.Mutex
	list []fastcache.Removal[V]
	at   []time.Time
}

func (r *recorder[V]) record(rm fastcache.Removal[V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rm)
	r.at = append(r.at, time.Now())
}

// all returns what was reported so far.
func (r *recorder[V]) all() []fastcache.Removal[V] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// reasons counts the reports by reason.
func (r *recorder[V]) reasons() map[fastcache.Reason]int {
	count := map[fastcache.Reason]int{}
	for _, rm := range r.all() {
		count[rm.Reason]++
	}
	return count
}

// inParallel runs n goroutines and waits for them.
func inParallel(n int, work func(g int)) {
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() { work(g) })
	}
	wg.Wait()
}

// whileWorking runs n goroutines until work returns; they call done between two rounds.
func whileWorking(n int, background func(g int, done func() bool), work func()) {
	stop := make(chan struct{})
	done := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() { background(g, done) })
	}
	defer wg.Wait()
	defer close(stop)
	work()
}
