package tlscache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A Store whose calls never return during an outage takes all places. When it heals, calls get through again
// though none of those has returned, outage after outage.
func TestGuardRecoversFromCallsThatNeverReturn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		interval time.Duration // between calls
	}{
		{"many calls a second", 5 * time.Millisecond},
		{"too few calls to open the breaker", 200 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const places = 64
				g := newGuard(places)
				forever := make(chan struct{})
				hang := func(context.Context) (int, error) { <-forever; return 0, nil }
				work := func(context.Context) (int, error) { return 1, nil }
				for outage := range 3 {
					for begin := time.Now(); time.Since(begin) < 48*time.Second; time.Sleep(tt.interval) {
						if _, err := guarded(g, time.Millisecond, hang); err == nil {
							t.Fatal("a call that never returned has an answer")
						}
					}
					if n := g.stats().InFlight; n > (outage+1)*(places+maxProbesOfAnOutage) {
						t.Errorf("outage %d: %d calls have not returned; want a bounded number", outage, n)
					}
					healed := time.Now()
					for {
						if _, err := guarded(g, time.Millisecond, work); err == nil {
							break
						}
						if time.Since(healed) > 2*(breakerLongPause<<breakerDoublings) {
							t.Fatalf("outage %d: still %+v", outage, g.stats())
						}
						time.Sleep(tt.interval)
					}
					t.Logf("outage %d: works %v after it healed: %+v", outage, time.Since(healed), g.stats())
					for range places / 2 {
						if _, err := guarded(g, time.Millisecond, work); err != nil {
							t.Fatalf("outage %d: after it works again: %v", outage, err)
						}
					}
				}
				close(forever)
				synctest.Wait()
				if st := g.stats(); st.InFlight != 0 || st.Stranded != 0 {
					t.Errorf("after all returned: %+v; want nothing in flight", st)
				}
			})
		})
	}
}

// maxProbesOfAnOutage is how many probes an outage of 48 s may strand: those with places of their own, and
// the few between long pauses.
const maxProbesOfAnOutage = 32

// Beyond a bound no places are given to others, so a Store that never heals strands no more.
func TestStrandedCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 8
		g := newGuard(places)
		forever := make(chan struct{})
		for range 100 {
			for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
				_, _ = guarded(g, time.Millisecond, func(context.Context) (int, error) { <-forever; return 0, nil })
			}
			for range 100 { // until a probe succeeds
				_, _ = guarded(g, time.Millisecond, func(context.Context) (int, error) { return 1, nil })
				time.Sleep(2 * time.Second)
			}
		}
		if st := g.stats(); st.Stranded > (maxFormer+1)*places {
			t.Errorf("%d calls are stranded; want at most %d", st.Stranded, (maxFormer+1)*places)
		}
		close(forever)
	})
}

// deafStore ignores contexts.
type deafStore struct {
	session.Store
	mu      sync.Mutex
	release chan struct{}
}

func (s *deafStore) Update(ctx context.Context, key session.Key, b []byte, ttl time.Duration) error {
	s.mu.Lock()
	release := s.release
	s.mu.Unlock()
	if release != nil {
		<-release
	}
	return s.Store.Update(context.WithoutCancel(ctx), key, b, ttl)
}

func TestRevocationReturnsWhenItsContextIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &deafStore{Store: newMemory(t, session.MemoryConfig{}), release: make(chan struct{})}
		s := newServer(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
		for name, revoke := range map[string]func(context.Context) error{
			"RevokePrincipal":  func(ctx context.Context) error { return s.RevokePrincipal(ctx, "somebody") },
			"RevokeServerName": func(ctx context.Context) error { return s.RevokeServerName(ctx, "host.example") },
			"RevokeAll":        s.RevokeAll,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			begin := time.Now()
			err := revoke(ctx)
			cancel()
			if took := time.Since(begin); took != 200*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v after %v; want %v after 200ms", name, err, took, context.DeadlineExceeded)
			}
			if !s.keyring.marks.covers(&record{auth: stamp{wall: 1, order: 1}, server: "host.example", principal: identify("somebody")}) {
				t.Errorf("%s: this process does not heed it", name)
			}
		}
		close(store.release)
		synctest.Wait()
		if n := s.revoking.Load(); n != 0 {
			t.Errorf("%d revocations under way after the Store answered; want 0", n)
		}
	})
}

func TestRevocationsThatTheStoreNeverAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &deafStore{Store: newMemory(t, session.MemoryConfig{}), release: make(chan struct{})}
		s := newServer(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
		for range maxRevoking {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := s.RevokeAll(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
		}
		begin := time.Now()
		if err := s.RevokeAll(t.Context()); err == nil || time.Since(begin) != 0 {
			t.Errorf("one more: %v after %v; want an error at once", err, time.Since(begin))
		}
		close(store.release)
	})
}

func TestStatsTellOfTheDefaultMemory(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	client := w.client(0x0304)
	w.want("first", client, false)
	if st := w.Stats().Memory; st.Sessions != 1 || st.Inserted != 1 {
		t.Errorf("Memory holds %d sessions, %d were stored; want 1, 1", st.Sessions, st.Inserted)
	}
}
