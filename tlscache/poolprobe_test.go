package tlscache

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
)

// A takingStore counts what is taken from it.
type takingStore struct {
	session.Indexed
	takes, selects atomic.Int64
}

func (s *takingStore) TakeNewest(ctx context.Context, partial string, keepLast bool) (session.Entry, error) {
	s.takes.Add(1)
	return s.Indexed.TakeNewest(ctx, partial, keepLast)
}

func (s *takingStore) SelectSession(ctx context.Context, partial string, limit int) ([]session.Entry, error) {
	s.selects.Add(1)
	return s.Indexed.SelectSession(ctx, partial, limit)
}

// openAtMost is longer than an open breaker waits before it lets a probe through, where its Store answers at all.
const openAtMost = time.Second

// trip makes as many calls that fail as open a breaker.
func trip(g *guard.Guard) {
	for !g.Stats().BreakerOpen {
		_, _ = guard.Do(time.Second, g, guard.NoProbe, func(context.Context) (struct{}, error) { return struct{}{}, errDown })
	}
}

// No handshake waits for a probe, so one that takes a ticket loses it.
func TestNoTicketIsTakenToProbeAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &takingStore{Indexed: newMemory(t, session.MemoryConfig{})}
		cfg, err := ClientConfig{Store: store, Keyring: ring(t, secret(1)), SingleUse: true}.validate()
		if err != nil {
			t.Fatal(err)
		}
		p, err := newStorePool(cfg, new(clock), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		trip(p.guard)
		time.Sleep(openAtMost)
		key := poolKey(viewScope("a"), "host.example")
		if tk, why := p.take(key, p.clock.read()); tk != nil || why != MissStoreError {
			t.Errorf("take = %v, %v with the breaker open; want nothing, %v", tk, why, MissStoreError)
		}
		synctest.Wait()
		if n := store.takes.Load(); n != 0 || !p.guard.Stats().BreakerOpen {
			t.Errorf("%d tickets taken as probes; want 0, and the breaker open", n)
		}
		p.peek(key, p.clock.read()) // takes nothing away
		synctest.Wait()
		if n := store.selects.Load(); n != 1 || p.guard.Stats().BreakerOpen {
			t.Errorf("%d probes that take nothing; want 1, which closes the breaker", n)
		}
	})
}
