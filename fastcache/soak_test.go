//go:build unix

package fastcache_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// The soak test: SOAK=30m loads caches of every kind of configuration from several
// goroutines, closes some in the middle, and stops the load every few seconds to hold
// counts, invariants, memory and goroutines against each other. It loads only its own
// process (and a child that it stops and continues) and ends by itself.

const (
	soakWorkers  = 4
	soakRound    = 2500 * time.Millisecond // of load, between two quiet points
	soakEpisodes = 8                       // rounds from one stopped child to the next
	soakPartials = 64
	soakIDs      = 400 // per partial key
)

// A soakSession is a value that knows its key and deadline.
type soakSession struct {
	key  fastcache.Key
	over atomic.Int64 // the latest instant that its deadline can be, by soak.now; 0: not known yet
	_    [64]byte     // weighs something in a heap profile
}

type soakCacheT = fastcache.Cache[*soakSession]

// A soakCache is a cache under load with what its users counted.
type soakCache struct {
	name   string
	cfg    fastcache.Config[*soakSession]
	c      *soakCacheT
	maxTTL time.Duration

	updates, deletes, takes, keepLasts, revoked, cleared atomic.Int64
	reported                                             [fastcache.Closed + 1]atomic.Int64
}

// soakConfigs are the configurations. The short TTLs let the timer do most of the removing.
func soakConfigs() map[string]fastcache.Config[*soakSession] {
	weigh := func(k fastcache.Key, _ *soakSession) int64 { return int64(len(k.ID)) }
	type cfg = fastcache.Config[*soakSession]
	return map[string]cfg{
		"tight":      {MaxSessions: 64},
		"three":      {MaxSessions: 3, ExactClock: true},
		"weight":     {MaxWeight: 6000, Weigh: weigh},
		"both":       {MaxWeight: 3000, MaxSessions: 900, Weigh: weigh, MaxPerPartial: 20},
		"quota":      {MaxPerPartial: 3, MaxSessions: 5000},
		"idle":       {IdleTTL: 40 * time.Millisecond, MaxSessions: 20000},
		"noindex":    {NoIndex: true, MaxSessions: 10000},
		"invalidate": {MaxSessions: 2000, Overflow: fastcache.InvalidateAll},
		"big":        {MaxSessions: 100000, RecordStats: true},
		"exact":      {MaxSessions: 9000, ExactClock: true, RecordStats: true},
	}
}

// A soak is one run.
type soak struct {
	t      *testing.T
	base   time.Time
	caches []atomic.Pointer[soakCache] // replaced when closed

	mu      sync.Mutex // guards retired
	retired []*soakCache

	ops, hits, closed, expiredHits, reports atomic.Int64
	stall                                   atomic.Int64 // the longest time that this process did not run
	failed                                  atomic.Bool
}

func (s *soak) now() int64 { return int64(time.Since(s.base)) }

func (s *soak) errorf(format string, args ...any) {
	if !s.failed.Swap(true) {
		s.t.Errorf(format, args...)
	}
}

// open makes a cache that counts its reports.
func (s *soak) open(name string, cfg fastcache.Config[*soakSession]) *soakCache {
	sc := &soakCache{name: name, cfg: cfg, maxTTL: 400 * time.Millisecond}
	cfg.OnRemove = func(r fastcache.Removal[*soakSession]) {
		s.reports.Add(1)
		sc.reported[r.Reason].Add(1)
		if r.Value.key != r.Key {
			s.errorf("%s: %v is reported with the value of %v", name, r.Key, r.Value.key)
		}
		switch n := sc.reported[r.Reason].Load(); {
		case n%9973 == 0:
			panic("soak: a callback that fails")
		case n%4999 == 0:
			time.Sleep(time.Millisecond) // one that is slow
		}
	}
	c, err := fastcache.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	sc.c = c
	return sc
}

func soakKey(rng *rand.Rand) fastcache.Key {
	p, id := rng.IntN(soakPartials), rng.IntN(soakIDs)
	return fastcache.Key{Partial: soakNames[p], ID: soakNames[id]}
}

var soakNames = func() (names [soakIDs]string) {
	for i := range names {
		names[i] = fmt.Sprint(i) + strings.Repeat("x", i%7*i%80) // short, wide and long keys
	}
	return names
}()

// update stores a session, most often with a short TTL, one in eight on probation.
func (s *soak) update(sc *soakCache, k fastcache.Key, ttl time.Duration) {
	v := &soakSession{key: k}
	store := sc.c.UpdateTTL
	if ttl%8 == 0 {
		store = sc.c.UpdateOnProbation
	}
	err := store(k, v, ttl)
	if err == nil {
		v.over.Store(s.now() + int64(ttl))
		sc.updates.Add(1)
	} else if !errors.Is(err, fastcache.ErrClosed) {
		s.errorf("%s: an Update of %v = %v", sc.name, k, err)
	}
}

// found checks what an operation that began at an instant returned.
func (s *soak) found(sc *soakCache, what string, k fastcache.Key, v *soakSession, begin int64) {
	s.hits.Add(1)
	if v == nil || v.key != k {
		s.errorf("%s: %s(%v) = %v", sc.name, what, k, v)
		return
	}
	over := v.over.Load()
	if over == 0 || begin < over {
		return
	}
	// Without ExactClock a Lookup is promised this only while the process runs.
	if what == "Lookup" && !sc.cfg.ExactClock && sc.cfg.IdleTTL == 0 && s.stall.Load() > int64(800*time.Millisecond) {
		s.expiredHits.Add(1)
		return
	}
	s.errorf("%s: %s returns a session %v after its deadline; the longest that nothing ran was %v", sc.name, what, time.Duration(begin-over), time.Duration(s.stall.Load()))
}

// work loads the caches until the context ends.
func (s *soak) work(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		sc := s.caches[rng.IntN(len(s.caches))].Load()
		for range 64 {
			s.one(sc, rng)
		}
		s.ops.Add(64)
	}
}

// one makes one call.
func (s *soak) one(sc *soakCache, rng *rand.Rand) {
	c, k, begin := sc.c, soakKey(rng), s.now()
	switch op := rng.IntN(1000); {
	case op < 400:
		if v, ok := c.Lookup(k); ok {
			s.found(sc, "Lookup", k, v, begin)
		}
	case op < 750:
		s.update(sc, k, time.Duration(1+rng.Int64N(int64(sc.maxTTL))))
	case op < 780:
		s.update(sc, k, time.Duration(1+rng.Int64N(int64(2*time.Second))))
	case op < 830:
		if e, ok := c.Peek(k); ok {
			s.found(sc, "Peek", k, e.Value, begin)
			if left := e.Expires.Sub(s.base); int64(left) <= begin {
				s.errorf("%s: Peek shows a deadline %v ago", sc.name, time.Duration(begin)-left)
			}
		}
	case op < 870:
		if v, ok := c.Take(k); ok {
			sc.takes.Add(1)
			s.found(sc, "Take", k, v, begin)
		}
	case op < 910:
		if c.Delete(k) {
			sc.deletes.Add(1)
		}
	case op < 940:
		c.Demote(k)
	case op < 985:
		s.group(sc, k.Partial, begin, op)
	default:
		s.whole(sc, rng)
	}
}

// group calls what works on a partial key.
func (s *soak) group(sc *soakCache, partial string, begin int64, op int) {
	c := sc.c
	if op >= 975 {
		sc.revoked.Add(int64(c.DeletePartial(partial)))
		return
	}
	if op >= 965 {
		for k, v := range c.SelectSession(partial) {
			s.found(sc, "SelectSession", k, v, begin)
		}
		return
	}
	if sc.cfg.NoIndex {
		return
	}
	if op >= 955 {
		if k, v, ok := c.TakeNewestKeepLast(partial); ok {
			sc.keepLasts.Add(1) // taken, or not
			s.found(sc, "TakeNewestKeepLast", k, v, begin)
		}
	} else if k, v, ok := c.TakeNewest(partial); ok {
		sc.takes.Add(1)
		s.found(sc, "TakeNewest", k, v, begin)
	}
}

// whole calls what works on a whole cache, rarely.
func (s *soak) whole(sc *soakCache, rng *rand.Rand) {
	c := sc.c
	switch n := rng.IntN(3000); {
	case n == 0:
		sc.cleared.Add(int64(c.Clear()))
	case n < 4:
		for k, v := range c.All() {
			s.found(sc, "All", k, v, 0)
		}
	case n < 8:
		fastcache.Foldl(c, func(_ fastcache.Key, _ *soakSession, n int) int { return n + 1 }, 0)
	case n < 12:
		for e := range c.Entries() {
			s.found(sc, "Entries", e.Key, e.Value, 0)
		}
	case n < 200:
		c.Stats()
	default:
		s.checkBound(sc)
	}
}

func (s *soak) checkBound(sc *soakCache) {
	if n := sc.c.Size(); sc.cfg.MaxSessions > 0 && n > sc.cfg.MaxSessions {
		s.errorf("%s: Size() = %d; want at most %d", sc.name, n, sc.cfg.MaxSessions)
	}
}

// closeOne closes a random cache under load and puts a new one in its place.
func (s *soak) closeOne(rng *rand.Rand) {
	at := &s.caches[rng.IntN(len(s.caches))]
	old := at.Load()
	if err := old.c.Close(); err != nil {
		s.errorf("%s: Close() = %v", old.name, err)
	}
	if err := old.c.Update(fastcache.Key{}, &soakSession{}); !errors.Is(err, fastcache.ErrClosed) {
		s.errorf("%s: Update after Close = %v; want ErrClosed", old.name, err)
	}
	at.Store(s.open(old.name, old.cfg))
	s.closed.Add(1)
	s.mu.Lock()
	s.retired = append(s.retired, old)
	s.mu.Unlock()
}

// round loads the caches for a while and then checks them in quiet.
func (s *soak) round(seed uint64, d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var wg sync.WaitGroup
	for w := range soakWorkers {
		rng := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() { s.work(ctx, rng) })
	}
	wg.Go(func() { // closes two caches in the middle
		rng := rand.New(rand.NewPCG(seed, soakWorkers))
		for range 2 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(rng.Int64N(int64(d / 2)))):
				s.closeOne(rng)
			}
		}
	})
	wg.Go(func() { s.watch(ctx) })
	wg.Wait()
	for _, old := range s.retired {
		s.checkCache(old)
		if n := old.c.Size(); n != 0 {
			s.errorf("%s: Size() = %d after Close; want 0", old.name, n)
		}
	}
	s.retired = nil
	for i := range s.caches {
		s.checkCache(s.caches[i].Load())
	}
}

// watch notes when the process did not run for long, which no promise covers.
func (s *soak) watch(ctx context.Context) {
	s.stall.Store(0)
	for last := time.Now(); ctx.Err() == nil; {
		time.Sleep(10 * time.Millisecond)
		now := time.Now()
		s.stall.Store(max(s.stall.Load(), int64(now.Sub(last))))
		last = now
	}
}

// checkCache checks that nothing was lost, in a cache that is not called. The timer may run.
func (s *soak) checkCache(sc *soakCache) {
	st, reported, err := s.settle(sc)
	if err != nil {
		s.errorf("%s: %v", sc.name, err)
	}
	removed := st.Deleted + st.Taken + st.Expired + st.Evicted + st.Quota + st.Revoked + st.Cleared + st.Closed
	if st.Inserted != removed+uint64(st.Sessions) {
		s.errorf("%s: %d inserted, %d removed and %d left: %+v", sc.name, st.Inserted, removed, st.Sessions, st)
	}
	s.checkBound(sc)
	for _, c := range []struct {
		what      string
		got       uint64
		want, max int64
	}{
		{"Inserted+Replaced", st.Inserted + st.Replaced, sc.updates.Load(), 0},
		{"Deleted", st.Deleted, sc.deletes.Load(), 0},
		{"Taken", st.Taken, sc.takes.Load(), sc.takes.Load() + sc.keepLasts.Load()},
		{"Revoked", st.Revoked, sc.revoked.Load(), 0},
		{"Cleared", st.Cleared, sc.cleared.Load(), 0},
	} {
		if c.what == "Cleared" && sc.cfg.Overflow == fastcache.InvalidateAll {
			c.max = math.MaxInt64
		}
		if got := int64(c.got); got < c.want || got > max(c.want, c.max) {
			s.errorf("%s: Stats counts %s %d, the callers %d (at most %d): %+v", sc.name, c.what, got, c.want, c.max, st)
		}
	}
	for r, got := range st.byReason() {
		if n := reported[r]; n != int64(got) {
			s.errorf("%s: %d sessions left as %v, %d were reported", sc.name, got, r, n)
		}
	}
	if n := sc.c.MaxWorkForTest(); n > 256 {
		s.errorf("%s: %d sessions of work under one lock; want at most 256", sc.name, n)
	}
}

type soakStats struct{ fastcache.Stats }

func (st soakStats) byReason() map[fastcache.Reason]uint64 {
	return map[fastcache.Reason]uint64{
		fastcache.Deleted: st.Deleted, fastcache.Taken: st.Taken, fastcache.Replaced: st.Replaced,
		fastcache.Expired: st.Expired, fastcache.Evicted: st.Evicted, fastcache.Quota: st.Quota,
		fastcache.Revoked: st.Revoked, fastcache.Cleared: st.Cleared, fastcache.Closed: st.Closed,
	}
}

// settle waits for the reports and returns counts between which the timer did not run, so
// that they, the reports by reason and the invariants are of one state.
func (s *soak) settle(sc *soakCache) (soakStats, map[fastcache.Reason]int64, error) {
	var err error
	reported := map[fastcache.Reason]int64{}
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(time.Millisecond) {
		before := sc.c.Stats()
		if before.PendingReports > 0 {
			continue
		}
		err = sc.c.CheckInvariantsForTest()
		for r := range sc.reported {
			reported[fastcache.Reason(r)] = sc.reported[r].Load()
		}
		if after := sc.c.Stats(); after == before {
			return soakStats{after}, reported, err
		}
	}
	return soakStats{sc.c.Stats()}, reported, fmt.Errorf("no quiet moment within 20 s; last: %w", err)
}

// fill stores a burst in every cache and waits until all have expired by the timer alone.
func (s *soak) fill(rng *rand.Rand) {
	for i := range s.caches {
		sc := s.caches[i].Load()
		for range 3000 {
			s.update(sc, soakKey(rng), time.Duration(1+rng.Int64N(int64(100*time.Millisecond))))
		}
	}
	for i := range s.caches {
		sc := s.caches[i].Load()
		for begin := time.Now(); sc.c.Size() > 0; time.Sleep(time.Millisecond) {
			if time.Since(begin) > 10*time.Second {
				s.errorf("%s: Size() = %d long after every deadline; want 0: %+v", sc.name, sc.c.Size(), sc.c.Stats())
				break
			}
		}
		s.checkCache(sc)
	}
}

// A soakSample is what the process holds after a collection.
type soakSample struct{ heap, goroutines float64 }

func soakMeasure() soakSample {
	for range 3 {
		runtime.GC() // the second collects what finalizers and weak pointers held
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return soakSample{float64(m.HeapInuse), float64(runtime.NumGoroutine())}
}

// checkSlope requires that the median of the last third is no more than 1.2 times that of
// the first third, plus slack.
func (s *soak) checkSlope(what string, samples []float64, slack float64) string {
	third := max(len(samples)/3, 1)
	first, last := median(samples[:third]), median(samples[len(samples)-third:])
	if last > 1.2*first+slack {
		s.errorf("%s grew from %.0f to %.0f (medians of the first and last third of %d samples)", what, first, last, len(samples))
	}
	return fmt.Sprintf("%s %.0f -> %.0f", what, first, last)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func TestSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("set SOAK to a duration, such as 30m")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	s := &soak{t: t, base: time.Now()}
	for name, cfg := range soakConfigs() {
		s.caches = append(s.caches, atomic.Pointer[soakCache]{})
		s.caches[len(s.caches)-1].Store(s.open(name, cfg))
	}
	var loaded, empty, goroutines []float64
	var stops soakStops
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	begin, said := time.Now(), time.Now()
	for n := 0; !s.failed.Load() && (time.Since(begin) < d || n < 3); n++ {
		if n%soakEpisodes == 1 {
			stops.add(t, s)
		}
		s.round(rng.Uint64(), min(soakRound, d/4))
		loaded = append(loaded, soakMeasure().heap)
		s.fill(rng)
		quiet := soakMeasure()
		empty, goroutines = append(empty, quiet.heap), append(goroutines, quiet.goroutines)
		if time.Since(said) >= 10*time.Second {
			said = time.Now()
			fmt.Printf("soak: %v, round %d: %d calls, %d hits, %d reports, %d closed; heap %.1f MB loaded, %.1f MB empty; %.0f goroutines; %v\n",
				time.Since(begin).Round(time.Second), n, s.ops.Load(), s.hits.Load(), s.reports.Load(), s.closed.Load(),
				loaded[n]/1e6, quiet.heap/1e6, quiet.goroutines, &stops)
		}
	}
	for i := range s.caches {
		sc := s.caches[i].Load()
		sc.c.Close()
		s.checkCache(sc)
	}
	fmt.Printf("soak: done in %v: %d rounds, %d calls, %d hits, %d reports, %d caches closed under load, %d excused hits; %s; %s; %s; %v; failed %v\n",
		time.Since(begin).Round(time.Second), len(empty), s.ops.Load(), s.hits.Load(), s.reports.Load(), s.closed.Load(), s.expiredHits.Load(),
		s.checkSlope("heap loaded", loaded, 8<<20), s.checkSlope("heap empty", empty, 2<<20), s.checkSlope("goroutines", goroutines, 2), &stops, s.failed.Load())
}
