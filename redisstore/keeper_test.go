package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

var one = session.Key{Partial: "a partial key", ID: "an id"}

// behind returns a Store that reaches a server through a proxy.
func behind(t *testing.T, cfg Config) (*Store, *proxy) {
	t.Helper()
	p := through(t, standalone(t, kinds[0]).Addrs[0])
	cfg.Addrs = []string{p.addr}
	s := open(t, cfg)
	update(t, s, one, "s", time.Hour)
	return s, p
}

// becomes waits until the figures of a Store are what they should be.
func becomes(t *testing.T, s *Store, what string, holds func(Stats) bool) {
	t.Helper()
	if err := eventually(func() bool { return holds(s.Stats()) }); err != nil {
		t.Fatalf("never: %s; Stats() = %+v", what, s.Stats())
	}
}

func unreachable(st Stats) bool { return st.Reachable == 0 }
func reachable(st Stats) bool   { return st.Reachable > 0 && st.Reachable == st.Nodes }
func idle(st Stats) bool        { return st.InFlight == 0 }

// Nobody calls meanwhile: it is the keeper that notices, and that connects again.
func TestAnOutageEndsByItself(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    Config
		outage func(*proxy)
	}{
		"cut":    {Config{}, (*proxy).cut},
		"frozen": {Config{Timeout: 100 * time.Millisecond}, (*proxy).freeze},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := behind(t, c.cfg)
			for range 3 {
				c.outage(p)
				becomes(t, s, "the outage is noticed", unreachable)
				p.heal()
				becomes(t, s, "the outage is over", reachable)
				if err := eventually(func() bool { _, err := s.Lookup(t.Context(), one); return err == nil }); err != nil {
					_, err := s.Lookup(t.Context(), one)
					t.Fatalf("Lookup() = %v after the outage; want the session", err)
				}
			}
		})
	}
}

func TestCallsFailAtOnceWithoutAConnection(t *testing.T) {
	s, p := behind(t, Config{})
	p.cut()
	becomes(t, s, "the outage is noticed", unreachable)
	before := s.Stats()
	for _, err := range everyCall(t.Context(), s) {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("a call without a connection = %v; want ErrUnavailable", err)
		}
	}
	if after := s.Stats(); after.Calls != before.Calls || after.InFlight != 0 {
		t.Errorf("calls without a connection began %d round trips, and %d are under way; want none", after.Calls-before.Calls, after.InFlight)
	}
}

// everyCall makes every call once.
func everyCall(ctx context.Context, s *Store) map[string]error {
	_, errLookup := s.Lookup(ctx, one)
	_, errTake := s.Take(ctx, one)
	_, errSelect := s.SelectSession(ctx, one.Partial, 1)
	_, errNewest := s.TakeNewest(ctx, one.Partial, true)
	_, errPartial := s.DeletePartial(ctx, one.Partial)
	_, errSize := s.Size(ctx)
	var errAll error
	for _, err := range s.All(ctx) {
		errAll = err
	}
	return map[string]error{
		"Lookup": errLookup, "Take": errTake, "Update": s.Update(ctx, one, []byte("s"), time.Hour), "Delete": s.Delete(ctx, one),
		"SelectSession": errSelect, "TakeNewest": errNewest, "DeletePartial": errPartial, "Size": errSize, "All": errAll,
	}
}

// A caller never connects: the first call after the connection is lost, which the keeper may not have noticed, does not
// wait for another.
func TestCallersDoNotDial(t *testing.T) {
	s, _ := behind(t, Config{})
	if _, err := s.dial(calling, s.cfg.Addrs[0], nil, nil); !errors.Is(err, errNoDial) {
		t.Errorf("dial() for a caller = %v; want errNoDial", err)
	}
}

// More callers than the client library has places: without places of our own some would wait in it, whatever
// their contexts say.
func TestAFrozenServerHoldsNobodyBeyondHisContext(t *testing.T) {
	const places, rounds = 64, 30
	s, p := behind(t, Config{MaxInFlight: places})
	p.freeze()
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 * places {
			wg.Go(func() {
				if _, err := s.Lookup(ctx, one); !errors.Is(err, context.Canceled) {
					t.Errorf("Lookup() of a frozen server = %v; want that its context is cancelled", err)
				}
			})
		}
		becomes(t, s, "all places are taken", func(st Stats) bool { return st.InFlight == places })
		cancel()
		wg.Wait() // for ever, if one waits for the server
		if st := s.Stats(); st.InFlight != places {
			t.Fatalf("%d round trips are under way after their callers left; want %d: nobody has answered", st.InFlight, places)
		}
	}
	p.heal()
	becomes(t, s, "the places are free again", idle)
	if _, err := s.Lookup(t.Context(), one); err != nil {
		t.Errorf("Lookup() = %v after the server goes on; want the session", err)
	}
}

func TestAFrozenServerGivesThePlacesBackWithItsConnection(t *testing.T) {
	s, p := behind(t, Config{Timeout: 200 * time.Millisecond, MaxInFlight: 4})
	p.freeze()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := s.Lookup(context.Background(), one); !errors.Is(err, ErrUnavailable) {
				t.Errorf("Lookup() of a frozen server = %v; want ErrUnavailable, though its context never ends", err)
			}
		})
	}
	wg.Wait()
	becomes(t, s, "its connection is closed, with all that waited for it", idle)
	becomes(t, s, "it is noticed", unreachable)
}

// Callers have 1 ms, and the server is 5 ms away: none of them could ever connect.
func TestCallersInAHurryDoNotKeepAnOutageUp(t *testing.T) {
	s, p := behind(t, Config{})
	p.cut()
	becomes(t, s, "the outage is noticed", unreachable)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				hurry, cancel := context.WithTimeout(ctx, time.Millisecond)
				if _, err := s.Lookup(hurry, one); err == nil {
					t.Error("Lookup() = nil within 1 ms; the proxy is not in force")
				}
				<-hurry.Done()
				cancel()
			}
		})
	}
	p.slow(5 * time.Millisecond)
	p.heal()
	becomes(t, s, "the outage is over", reachable)
	stop()
	wg.Wait()
	if _, err := s.Lookup(t.Context(), one); err != nil {
		t.Errorf("Lookup() = %v for a caller who has the time; want the session", err)
	}
}

func TestNewNeedsNoServer(t *testing.T) {
	for _, cfg := range []Config{{}, {Mode: Sentinel, Primary: "main"}, {Mode: Cluster}} {
		t.Run(fmt.Sprint("Mode=", cfg.Mode), func(t *testing.T) {
			var d Config
			switch cfg.Mode {
			case Standalone:
				d = standalone(t, kinds[0])
			case Sentinel:
				d = sentinels(t, kinds[0]).cfg
			case Cluster:
				d = cluster(t, kinds[0]).cfg
			}
			p := through(t, d.Addrs[0])
			p.cut()
			cfg.Addrs = []string{p.addr}
			s := openUnready(t, cfg)
			becomes(t, s, "it has tried to connect", func(st Stats) bool { return st.Dials > 1 })
			late, cancel := context.WithCancel(t.Context())
			cancel()
			if err := s.Ready(late); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) {
				t.Errorf("Ready() = %v; want the context's error and ErrUnavailable", err)
			}
			p.heal()
			if err := s.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			update(t, s, one, "s", time.Hour)
		})
	}
}

func TestCloseWaitsForNoServer(t *testing.T) {
	s, p := behind(t, Config{})
	p.freeze()
	failed := make(chan error)
	go func() { _, err := s.Lookup(t.Context(), one); failed <- err }()
	becomes(t, s, "the call is under way", func(st Stats) bool { return st.InFlight == 1 })
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v; want nil", err)
	}
	if err := <-failed; !errors.Is(err, session.ErrClosed) {
		t.Errorf("a call that Close overtook = %v; want session.ErrClosed", err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, session.ErrClosed) {
		t.Errorf("Ready() after Close = %v; want session.ErrClosed", err)
	}
}
