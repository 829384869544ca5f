package loading_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

var errAbsent = errors.New("absent")

// fails fails unless Get returns errAbsent, and s has been asked a number of times.
func fails(t *testing.T, c *loading.Cache[int], s *source, loads int64) {
	t.Helper()
	if v, err := c.Get(ctx, key(1)); v != 0 || err != errAbsent {
		t.Errorf("Get = %d, %v; want the error of the load as it is", v, err)
	}
	if n := s.loads.Load(); n != loads {
		t.Errorf("%d loads; want %d", n, loads)
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	s := &source{err: errAbsent}
	cache, c := open(t, s.load, loading.Config{})
	fails(t, c, s, 1)
	fails(t, c, s, 2)
	s.err = nil
	want(t, c, key(1), 3)
	if st, leases := c.Stats(), cache.Stats().Leases; st.Errors != 2 || st.Loads != 3 || leases != 0 {
		t.Errorf("%+v and %d leases; want 2 errors of 3 loads, and no lease", st, leases)
	}
}

func TestErrorsAreKeptForAsLongAsTheLoadOrTheConfigSays(t *testing.T) {
	for _, tt := range []struct{ config, load, want time.Duration }{
		{time.Minute, 0, time.Minute},
		{0, time.Second, time.Second},
		{time.Minute, time.Hour, time.Hour},
		{time.Minute, -1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &source{err: errAbsent, ttl: tt.load}
			cache, c := open(t, s.load, loading.Config{NegativeTTL: tt.config})
			fails(t, c, s, 1)
			if tt.want > 0 {
				time.Sleep(tt.want - 1)
				fails(t, c, s, 1)
				time.Sleep(time.Nanosecond)
			}
			s.ttl = -1
			fails(t, c, s, 2)
			time.Sleep(time.Minute)
			synctest.Wait()
			if st, leases := c.Stats(), cache.Stats().Leases; st.KeptErrors != 0 || leases != 0 {
				t.Errorf("%d errors and %d leases are kept; want none", st.KeptErrors, leases)
			}
		})
	}
}

func TestARemovalEndsAKeptError(t *testing.T) {
	for _, tt := range removals {
		if tt.present {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			s := &source{err: errAbsent}
			cache, c := open(t, s.load, loading.Config{NegativeTTL: time.Hour})
			fails(t, c, s, 1)
			fails(t, c, s, 1)
			tt.remove(cache)
			s.err = nil
			if tt.left != 0 {
				want(t, c, key(1), tt.left)
				cache.Delete(key(1))
			}
			want(t, c, key(1), 2)
		})
	}
}

// An error is of a key: it is not kept when the caller's context, not the load, was the cause.
func TestTheErrorOfALoadThatWasGivenUpIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{gate: make(chan struct{})}
		cache, c := open(t, s.load, loading.Config{NegativeTTL: time.Hour})
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if v, err := c.Get(soon, key(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %d, %v; want its deadline", v, err)
		}
		synctest.Wait()
		close(s.gate)
		want(t, c, key(1), 2)
		if st := c.Stats(); st.KeptErrors != 0 || cache.Stats().Leases != 0 {
			t.Errorf("%+v, %d leases; want none kept", st, cache.Stats().Leases)
		}
	})
}

// The bound on kept errors holds, and those that go release their leases.
func TestKeptErrorsAreBounded(t *testing.T) {
	s := &source{err: errAbsent}
	cache, c := open(t, s.load, loading.Config{NegativeTTL: time.Hour})
	for i := range fastcache.DefaultMaxSessions + 1000 {
		c.Get(ctx, key(i))
	}
	if n := c.Stats().KeptErrors; n != fastcache.DefaultMaxSessions {
		t.Errorf("%d errors are kept; want %d", n, fastcache.DefaultMaxSessions)
	}
	c.Close() // waits for what they release
	if n := cache.Stats().Leases; n != 0 {
		t.Errorf("%d leases are held after Close", n)
	}
}
