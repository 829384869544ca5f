package loading_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

var ctx = context.Background()

func key(id int) fastcache.Key { return fastcache.Key{Partial: "example.net:443", ID: fmt.Sprint(id)} }

// A source is what the load function of a test asks. Its answers are numbered, so that each load is told apart.
type source struct {
	loads   atomic.Int64
	running atomic.Int64
	most    atomic.Int64 // that ran at once

	gate chan struct{} // a load takes one from it before it returns; nil: it does not wait
	deaf bool          // its loads do not look at their contexts
	ttl  time.Duration
	err  error
}

func (s *source) load(ctx context.Context, _ fastcache.Key) (int, time.Duration, error) {
	n := s.loads.Add(1)
	running := s.running.Add(1)
	defer s.running.Add(-1)
	for most := s.most.Load(); running > most && !s.most.CompareAndSwap(most, running); most = s.most.Load() {
	}
	ttl, err := s.ttl, s.err
	if s.gate != nil {
		end := ctx.Done()
		if s.deaf {
			end = nil
		}
		select {
		case <-s.gate:
		case <-end:
			return 0, 0, ctx.Err()
		}
	}
	return int(n), ttl, err
}

// open makes a cache and a Cache that loads into it, and closes both when the test ends.
func open(t testing.TB, load loading.Func[int], cfg loading.Config) (*fastcache.Cache[int], *loading.Cache[int]) {
	t.Helper()
	cache, err := fastcache.New(fastcache.Config[int]{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c, err := loading.New(cache, load, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if st := c.Stats(); st.UnderWay != 0 {
			t.Errorf("%d loads are under way after Close", st.UnderWay)
		}
		cache.Close()
	})
	return cache, c
}

// want fails unless Get returns a value.
func want(t testing.TB, c *loading.Cache[int], k fastcache.Key, value int) {
	t.Helper()
	if v, err := c.Get(ctx, k); v != value || err != nil {
		t.Errorf("Get = %d, %v; want %d", v, err, value)
	}
}

// An answer is what a Get in a goroutine of its own returned.
type answer struct {
	value int
	err   error
}

// ask calls Get in a goroutine of its own.
func ask(ctx context.Context, c *loading.Cache[int], k fastcache.Key) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		v, err := c.Get(ctx, k)
		got <- answer{v, err}
	}()
	return got
}

func TestAKeyIsLoadedOnceAndThenServed(t *testing.T) {
	s := &source{}
	cache, c := open(t, s.load, loading.Config{})
	for range 3 {
		want(t, c, key(1), 1)
	}
	want(t, c, key(2), 2)
	if v, ok := cache.Lookup(key(1)); v != 1 || !ok {
		t.Errorf("Lookup of what was loaded = %d, %v; want 1", v, ok)
	}
}

func TestTenThousandWaitersShareOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiters = 10_000
		s := &source{gate: make(chan struct{})}
		_, c := open(t, s.load, loading.Config{})
		var wg sync.WaitGroup
		for range waiters {
			wg.Go(func() {
				if v, err := c.Get(ctx, key(1)); v != 1 || err != nil {
					t.Errorf("Get = %d, %v; want 1", v, err)
				}
			})
		}
		synctest.Wait()
		s.gate <- struct{}{}
		wg.Wait()
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads for %d waiters; want 1", n, waiters)
		}
		if st := c.Stats(); st.Joined != waiters-1 || st.Loads != 1 {
			t.Errorf("%+v; want %d joined and 1 load", st, waiters-1)
		}
	})
}

// All leave at their own deadlines, and what the load returns at last is not kept: a Delete came meanwhile, and nobody waits.
func TestTenThousandWaitersLeaveALoadThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const waiters = 10_000
		s := &source{gate: make(chan struct{}), deaf: true}
		cache, c := open(t, s.load, loading.Config{})
		var wg sync.WaitGroup
		for i := range waiters {
			wg.Go(func() {
				patience := time.Duration(1+i) * time.Millisecond
				waits, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				began := time.Now()
				if v, err := c.Get(waits, key(1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != patience {
					t.Errorf("Get = %d, %v after %v; want its deadline after %v", v, err, time.Since(began), patience)
				}
			})
		}
		time.Sleep(waiters / 2 * time.Millisecond)
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads for %d waiters; want 1", n, waiters)
		}
		cache.Delete(key(1))
		later := ask(ctx, c, key(1))
		wg.Wait()
		synctest.Wait()
		s.gate <- struct{}{} // to either of the two
		s.gate <- struct{}{}
		if a := <-later; a != (answer{2, nil}) {
			t.Errorf("who asked after the Delete gets %+v; want 2", a)
		}
		synctest.Wait()
		want(t, c, key(1), 2)
	})
}

func TestAWaiterLeavesAndTheLoadGoesOnForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{gate: make(chan struct{})}
		_, c := open(t, s.load, loading.Config{})
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		first := ask(soon, c, key(1))
		synctest.Wait()
		second := ask(ctx, c, key(1))
		if a := <-first; !errors.Is(a.err, context.DeadlineExceeded) {
			t.Errorf("who leaves gets %+v; want its own deadline", a)
		}
		synctest.Wait()
		s.gate <- struct{}{}
		if a := <-second; a != (answer{1, nil}) {
			t.Errorf("who stays gets %+v; want 1", a)
		}
	})
}

func TestALoadEndsWhenNobodyWaits(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprint("deaf=", deaf), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{gate: make(chan struct{}), deaf: deaf}
				cache, c := open(t, s.load, loading.Config{})
				soon, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				first, second := ask(soon, c, key(1)), ask(soon, c, key(1))
				<-first
				<-second
				synctest.Wait()
				if n := s.running.Load(); (n == 1) != deaf {
					t.Errorf("%d loads run after all have left", n)
				}
				third := ask(ctx, c, key(1)) // must not wait for what was given up
				synctest.Wait()
				if n := s.loads.Load(); n != 2 {
					t.Errorf("%d loads; want a second one", n)
				}
				close(s.gate)
				if a := <-third; a != (answer{2, nil}) {
					t.Errorf("Get = %+v; want 2", a)
				}
				synctest.Wait()
				if v, _ := cache.Lookup(key(1)); v != 2 {
					t.Errorf("the cache has %d; want 2, and nothing of a load that was given up", v)
				}
			})
		})
	}
}

// removals end the load of key(1) that is under way. The key has a session if present says so.
var removals = []struct {
	name    string
	present bool
	remove  func(c *fastcache.Cache[int])
	left    int // the value that the key has then
}{
	{"Delete", true, func(c *fastcache.Cache[int]) { c.Delete(key(1)) }, 0},
	{"Delete of nothing", false, func(c *fastcache.Cache[int]) { c.Delete(key(1)) }, 0},
	{"Take", true, func(c *fastcache.Cache[int]) { c.Take(key(1)) }, 0},
	{"Take of nothing", false, func(c *fastcache.Cache[int]) { c.Take(key(1)) }, 0},
	{"TakeNewest", true, func(c *fastcache.Cache[int]) { c.TakeNewest("example.net:443") }, 0},
	{"DeletePartial", true, func(c *fastcache.Cache[int]) { c.DeletePartial("example.net:443") }, 0},
	{"DeletePartial of nothing", false, func(c *fastcache.Cache[int]) { c.DeletePartial("example.net:443") }, 0},
	{"Clear", true, func(c *fastcache.Cache[int]) { c.Clear() }, 0},
	{"Clear of nothing", false, func(c *fastcache.Cache[int]) { c.Clear() }, 0},
	{"Update", false, func(c *fastcache.Cache[int]) { c.Update(key(1), 99) }, 99},
	{"Update of a session", true, func(c *fastcache.Cache[int]) { c.Update(key(1), 99) }, 99},
	{"LookupOrUpdate", false, func(c *fastcache.Cache[int]) { c.LookupOrUpdate(key(1), 99, time.Hour) }, 99},
	{"UpdateOnProbation", false, func(c *fastcache.Cache[int]) { c.UpdateOnProbation(key(1), 99, time.Hour) }, 99},
}

// Also under a load that hangs: the waiters leave at their deadlines, and what it returns at last is not kept.
func TestARemovalDuringALoadWins(t *testing.T) {
	for _, tt := range removals {
		for _, hangs := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/hangs=%v", tt.name, hangs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &source{gate: make(chan struct{}), deaf: true}
					cache, c := open(t, s.load, loading.Config{RefreshAhead: 2 * time.Hour})
					if tt.present {
						cache.Update(key(1), 50) // with a life of one hour: a Get refreshes it
					}
					soon, cancel := context.WithTimeout(ctx, time.Minute)
					defer cancel()
					got := ask(soon, c, key(1))
					synctest.Wait()
					if n := s.running.Load(); n != 1 {
						t.Fatalf("%d loads run; want 1", n)
					}
					tt.remove(cache)
					if hangs {
						time.Sleep(time.Minute)
						synctest.Wait()
					}
					s.gate <- struct{}{}
					a := <-got
					switch {
					case tt.present && a != (answer{50, nil}):
						t.Errorf("Get of a session = %+v; want 50", a)
					case !tt.present && hangs && !errors.Is(a.err, context.DeadlineExceeded):
						t.Errorf("Get = %+v; want its deadline", a)
					case !tt.present && !hangs && a != (answer{1, nil}):
						t.Errorf("who waited gets %+v; want what was loaded", a)
					}
					synctest.Wait()
					if v, _ := cache.Lookup(key(1)); v != tt.left {
						t.Errorf("the cache has %d; want %d, not what was loaded before the removal", v, tt.left)
					}
				})
			})
		}
	}
}

func TestAGetAfterARemovalLoadsAnew(t *testing.T) {
	for _, tt := range removals {
		if tt.left != 0 || tt.present {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{gate: make(chan struct{})}
				cache, c := open(t, s.load, loading.Config{})
				first := ask(ctx, c, key(1))
				synctest.Wait()
				tt.remove(cache)
				second := ask(ctx, c, key(1))
				synctest.Wait()
				if n := s.running.Load(); n != 2 {
					t.Errorf("%d loads run; want one from before the removal and one from after it", n)
				}
				close(s.gate)
				if a := <-first; a != (answer{1, nil}) {
					t.Errorf("who waited before gets %+v; want 1", a)
				}
				if a := <-second; a != (answer{2, nil}) {
					t.Errorf("who asked after it gets %+v; want 2", a)
				}
				want(t, c, key(1), 2)
			})
		})
	}
}

func TestWhatIsNoRemovalLeavesALoadAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{gate: make(chan struct{})}
		cache, c := open(t, s.load, loading.Config{})
		got := ask(ctx, c, key(1))
		synctest.Wait()
		cache.Delete(key(2))
		cache.Update(key(2), 99)
		cache.TakeNewest("example.net:443")
		cache.DeletePartial("example.org:443")
		cache.Touch(key(1), time.Hour)
		cache.Demote(key(1))
		close(s.gate)
		<-got
		if v, ok := cache.Lookup(key(1)); v != 1 || !ok {
			t.Errorf("the cache has %d, %v; want 1", v, ok)
		}
	})
}
