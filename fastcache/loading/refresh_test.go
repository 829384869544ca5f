package loading_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

// ahead is the RefreshAhead of these tests. Sessions live for an hour.
const ahead = 8 * time.Minute

// due makes a key whose session, the value 1, has less than ahead left.
func due(t *testing.T, s *source, cfg loading.Config) (*fastcache.Cache[int], *loading.Cache[int]) {
	t.Helper()
	cfg.RefreshAhead = ahead
	cache, c := open(t, s.load, cfg)
	gate, err := s.gate, s.err
	s.gate, s.err = nil, nil
	want(t, c, key(1), 1)
	s.gate, s.err = gate, err
	time.Sleep(time.Hour - ahead)
	return cache, c
}

func TestASessionThatIsAboutToExpireIsLoadedAnewInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		cache, c := open(t, s.load, loading.Config{RefreshAhead: ahead})
		want(t, c, key(1), 1)
		time.Sleep(time.Hour - ahead - 1)
		want(t, c, key(1), 1)
		synctest.Wait()
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads before the session is due; want 1", n)
		}
		time.Sleep(time.Nanosecond)
		want(t, c, key(1), 1) // the old one, and at once
		synctest.Wait()
		want(t, c, key(1), 2)
		if e, _ := cache.Peek(key(1)); time.Until(e.Expires) != time.Hour {
			t.Errorf("the session lives for %v after the refresh; want an hour", time.Until(e.Expires))
		}
		synctest.Wait()
		if st := c.Stats(); st.Loads != 2 || st.Refreshes != 1 {
			t.Errorf("%+v; want 2 loads, one of them a refresh", st)
		}
	})
}

func TestOneRefreshForManyGets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{gate: make(chan struct{})}
		_, c := due(t, s, loading.Config{})
		for range 1000 {
			want(t, c, key(1), 1)
		}
		synctest.Wait()
		close(s.gate)
		synctest.Wait()
		want(t, c, key(1), 2)
		if n := s.loads.Load(); n != 2 {
			t.Errorf("%d loads; want the first and one refresh", n)
		}
	})
}

// A Get may find the session due just before the refresh stores, and look for that only afterwards.
func TestOneRefreshForManyConcurrentGets(t *testing.T) {
	s := &source{}
	cache, c := open(t, s.load, loading.Config{RefreshAhead: ahead})
	for round := range int64(500) {
		cache.UpdateTTL(key(1), 1, ahead)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 20 {
					c.Get(ctx, key(1))
				}
			})
		}
		wg.Wait()
		for c.Stats().UnderWay > 0 {
			runtime.Gosched()
		}
		if n := s.loads.Load(); n != round+1 {
			t.Fatalf("%d refreshes in %d rounds; want one in each", n, round+1)
		}
	}
}

func TestARefreshThatFailsLeavesTheSessionAndIsTriedAgain(t *testing.T) {
	for name, load := range map[string]func(s *source) loading.Func[int]{
		"error": func(s *source) loading.Func[int] { return s.load },
		"panic": func(s *source) loading.Func[int] {
			return func(ctx context.Context, k fastcache.Key) (int, time.Duration, error) {
				v, ttl, err := s.load(ctx, k)
				if err != nil {
					panic(err)
				}
				return v, ttl, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{}
				cache, c := open(t, load(s), loading.Config{RefreshAhead: ahead})
				want(t, c, key(1), 1)
				time.Sleep(time.Hour - ahead)
				s.err = errAbsent
				const second = time.Second
				for range ahead/second - 1 { // a Get each second, until one second before the deadline
					want(t, c, key(1), 1)
					synctest.Wait()
					time.Sleep(second)
				}
				if n := s.loads.Load(); n != 1+8 {
					t.Errorf("%d loads; want the first, and 8 refreshes that fail", n)
				}
				s.err = nil
				time.Sleep(second)
				want(t, c, key(1), 10) // the old one has expired
				synctest.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				if n := cache.Stats().Leases; n != 0 {
					t.Errorf("%d leases are held; want none", n)
				}
			})
		})
	}
}

func TestARefreshIsNotTriedWhileItsErrorIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{err: errAbsent, ttl: 2 * ahead}
		cache, c := open(t, s.load, loading.Config{RefreshAhead: ahead})
		cache.Update(key(1), 5)
		time.Sleep(time.Hour - ahead)
		for range 8 {
			want(t, c, key(1), 5)
			time.Sleep(ahead / 8)
		}
		fails(t, c, s, 1) // the session has expired, the error has not
	})
}

// A refresh is given up after RefreshAhead, unless others wait for it by then.
func TestARefreshThatHangsIsGivenUp(t *testing.T) {
	for _, joined := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &source{gate: make(chan struct{})}
			_, c := due(t, s, loading.Config{})
			time.Sleep(time.Minute)
			want(t, c, key(1), 1)
			time.Sleep(ahead - time.Minute) // the session expires
			var got <-chan answer
			if joined {
				got = ask(ctx, c, key(1))
			}
			time.Sleep(time.Minute - 1)
			synctest.Wait()
			if n := s.running.Load(); n != 1 {
				t.Errorf("%d loads run; want the refresh", n)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if n := s.running.Load(); (n == 1) != joined {
				t.Errorf("joined: %v; %d loads run after RefreshAhead", joined, n)
			}
			if n := s.loads.Load(); n != 2 {
				t.Errorf("%d loads; want the first and the refresh", n)
			}
			close(s.gate)
			if joined {
				if a := <-got; a.err != nil {
					t.Errorf("who joined the refresh gets %+v", a)
				}
			}
		})
	}
}

func TestARefreshWaitsForALaterGetWhereMaxLoadsAreRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{gate: make(chan struct{})}
		_, c := due(t, s, loading.Config{MaxLoads: 1})
		other := ask(ctx, c, key(2))
		synctest.Wait()
		want(t, c, key(1), 1)
		synctest.Wait()
		if n := s.loads.Load(); n != 2 {
			t.Errorf("%d loads began; want no refresh", n)
		}
		close(s.gate)
		<-other
		want(t, c, key(1), 1)
		synctest.Wait()
		want(t, c, key(1), 3)
	})
}

// A session of an Update is refreshed like one that was loaded.
func TestAnUpdatedSessionIsRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		cache, c := open(t, s.load, loading.Config{RefreshAhead: ahead})
		cache.UpdateTTL(key(1), 50, ahead+1)
		want(t, c, key(1), 50)
		synctest.Wait()
		want(t, c, key(1), 50)
		time.Sleep(time.Nanosecond)
		want(t, c, key(1), 50)
		synctest.Wait()
		want(t, c, key(1), 1)
	})
}
