package loading_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

func TestAPanicReachesEveryWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, cause := make(chan struct{}), errors.New("a cause")
		cache, c := open(t, func(context.Context, fastcache.Key) (int, time.Duration, error) {
			<-gate
			panic(cause)
		}, loading.Config{NegativeTTL: time.Hour})
		const waiters = 3
		got := make(chan any, waiters)
		for range waiters {
			go func() {
				defer func() { got <- recover() }()
				c.Get(ctx, key(1))
			}()
		}
		synctest.Wait()
		close(gate)
		for range waiters {
			p, ok := (<-got).(*loading.PanicError)
			if !ok || p.Value != cause || !errors.Is(p, cause) || !strings.Contains(string(p.Stack), "TestAPanicReachesEveryWaiter") {
				t.Errorf("a waiter panics with %v; want a PanicError with the value and the stack", p)
			}
		}
		if cache.Size() != 0 || c.Stats().Panics != 1 || c.Stats().KeptErrors != 0 {
			t.Errorf("%+v and %d sessions; want one panic, and nothing kept", c.Stats(), cache.Size())
		}
	})
}

// Nor does it take a place among MaxLoads along.
func TestGoexitHangsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := open(t, func(context.Context, fastcache.Key) (int, time.Duration, error) {
			runtime.Goexit()
			return 1, 0, nil
		}, loading.Config{NegativeTTL: time.Hour, MaxLoads: 1})
		for range 2 {
			if v, err := c.Get(ctx, key(1)); v != 0 || !errors.Is(err, loading.ErrExited) {
				t.Errorf("Get = %d, %v; want ErrExited", v, err)
			}
		}
	})
}

func TestAtMostMaxLoadsRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, keys = 3, 20
		s := &source{gate: make(chan struct{})}
		_, c := open(t, s.load, loading.Config{MaxLoads: most})
		var got []<-chan answer
		for i := range keys {
			got = append(got, ask(ctx, c, key(i)))
		}
		synctest.Wait()
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if v, err := c.Get(soon, key(keys)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %d, %v while all places are taken; want its deadline", v, err)
		}
		if n := s.loads.Load(); n != most {
			t.Errorf("%d loads began; want %d", n, most)
		}
		close(s.gate)
		for _, g := range got {
			if a := <-g; a.err != nil {
				t.Errorf("Get = %+v", a)
			}
		}
		if n := s.most.Load(); n != most {
			t.Errorf("%d loads ran at once; want %d", n, most)
		}
		if n := s.loads.Load(); n != keys {
			t.Errorf("%d loads; want %d, and none for the one that left", n, keys)
		}
	})
}

func TestTheLoadSeesTheValuesOfTheContextAndNotItsDeadline(t *testing.T) {
	type name struct{}
	cache, c := open(t, func(ctx context.Context, k fastcache.Key) (int, time.Duration, error) {
		_, limited := ctx.Deadline()
		if limited || k != key(1) {
			return 0, 0, errors.New("the context has a deadline, or the key is another")
		}
		return ctx.Value(name{}).(int), 0, nil
	}, loading.Config{})
	short, cancel := context.WithTimeout(context.WithValue(ctx, name{}, 7), time.Hour)
	defer cancel()
	id := []byte("1")
	if v, err := c.Get(short, fastcache.KeyOf("example.net:443", id)); v != 7 || err != nil {
		t.Errorf("Get = %d, %v; want 7", v, err)
	}
	id[0] = '2' // the key of the Get was the caller's
	if v, _ := cache.Lookup(key(1)); v != 7 {
		t.Errorf("the cache has %d; want 7 under the key as it was", v)
	}
}

func TestTheLoadNamesTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		cache, c := open(t, s.load, loading.Config{})
		for _, tt := range []struct{ ttl, want time.Duration }{{0, time.Hour}, {time.Minute, time.Minute}, {48 * time.Hour, 48 * time.Hour}} {
			s.ttl = tt.ttl
			cache.Clear()
			if _, err := c.Get(ctx, key(1)); err != nil {
				t.Error(err)
			}
			if e, ok := cache.Peek(key(1)); !ok || time.Until(e.Expires) != tt.want {
				t.Errorf("a load with TTL %v lives for %v; want %v", tt.ttl, time.Until(e.Expires), tt.want)
			}
		}
		s.ttl = -1
		cache.Clear()
		if v, err := c.Get(ctx, key(1)); v != 0 || !errors.Is(err, fastcache.ErrBadTTL) {
			t.Errorf("Get = %d, %v after a negative TTL; want ErrBadTTL", v, err)
		}
	})
}

func TestAValueThatTheCacheRefusesIsReturned(t *testing.T) {
	cache, err := fastcache.New(fastcache.Config[int]{MaxWeight: 10, Weigh: func(fastcache.Key, int) int64 { return 11 }})
	if err != nil {
		t.Fatal(err)
	}
	s := &source{}
	c, err := loading.New(cache, s.load, loading.Config{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, c, key(1), 1)
	want(t, c, key(1), 2)
	if st := c.Stats(); st.Refused != 2 || cache.Size() != 0 {
		t.Errorf("%+v and %d sessions; want 2 refused", st, cache.Size())
	}
}

func TestKeysThatCannotBeStoredAreNotLoaded(t *testing.T) {
	s := &source{}
	cache, c := open(t, s.load, loading.Config{})
	long := fastcache.Key{ID: strings.Repeat("x", fastcache.MaxKeyPart+1)}
	if _, err := c.Get(ctx, long); !errors.Is(err, fastcache.ErrKeyTooLong) || strings.Contains(err.Error(), "xx") {
		t.Errorf("Get of a long key = %v; want ErrKeyTooLong, without the key", err)
	}
	cache.Close()
	if _, err := c.Get(ctx, key(1)); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("Get after Close = %v; want ErrClosed", err)
	}
	if n := s.loads.Load(); n != 0 {
		t.Errorf("%d loads; want none", n)
	}
}

func TestCloseOfTheCacheDuringALoadLosesNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{gate: make(chan struct{})}
		cache, c := open(t, s.load, loading.Config{})
		first := ask(ctx, c, key(1))
		synctest.Wait()
		cache.Close()
		if _, err := c.Get(ctx, key(1)); !errors.Is(err, fastcache.ErrClosed) {
			t.Errorf("Get after Close = %v; want ErrClosed", err)
		}
		close(s.gate)
		if a := <-first; a != (answer{1, nil}) {
			t.Errorf("who waited gets %+v; want 1", a)
		}
	})
}

func TestCloseEndsTheLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{gate: make(chan struct{})}
		cache, c := open(t, s.load, loading.Config{MaxLoads: 1})
		cache.Update(key(3), 30)
		first, second := ask(ctx, c, key(1)), ask(ctx, c, key(2)) // one of them waits for its turn
		synctest.Wait()
		c.Close()
		for _, got := range []<-chan answer{first, second} {
			if a := <-got; !errors.Is(a.err, loading.ErrClosed) {
				t.Errorf("who waited gets %+v; want ErrClosed", a)
			}
		}
		if n := s.running.Load(); n != 0 {
			t.Errorf("%d loads run after Close", n)
		}
		if _, err := c.Get(ctx, key(1)); !errors.Is(err, loading.ErrClosed) {
			t.Errorf("Get after Close = %v; want ErrClosed", err)
		}
		want(t, c, key(3), 30)
	})
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := loading.New[int](nil, nil, loading.Config{NegativeTTL: -1, RefreshAhead: -1, MaxLoads: -1})
	if err == nil {
		t.Fatal("New accepts nothing but faults")
	}
	for _, want := range []string{"loading: ", "cache", "load function", "NegativeTTL", "RefreshAhead", "MaxLoads"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want %q in it", err, want)
		}
	}
}
