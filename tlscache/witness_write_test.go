package tlscache

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// A gatedStore has its lookups wait before they return, and its updates before they write.
type gatedStore struct {
	session.Store
	found   func()
	update  func()
	written atomic.Int64
}

func (g *gatedStore) Lookup(ctx context.Context, key session.Key) ([]byte, error) {
	s, err := g.Store.Lookup(ctx, key)
	g.found()
	return s, err
}

func (g *gatedStore) Update(ctx context.Context, key session.Key, s []byte, ttl time.Duration) error {
	g.update()
	g.written.Add(1)
	return g.Store.Update(ctx, key, s, ttl)
}

// gatedServer returns a Server whose Store has no witness.
func gatedServer(t *testing.T) (*Server, *gatedStore) {
	t.Helper()
	_, store := failingStore(0)
	gated := &gatedStore{Store: store, found: func() {}, update: func() {}}
	s := newServer(t, ServerConfig{Store: gated, Keyring: ring(t, secret(1))})
	t.Cleanup(func() { s.Close() })
	return s, gated
}

func wantOneWitness(t *testing.T, s *Server, store *gatedStore, got ...sealing.WitnessRef) {
	t.Helper()
	stands, err := s.lookupWitness(t.Context(), s.keyring.active())
	if err != nil {
		t.Fatal(err)
	}
	for i, ref := range got {
		if ref.ID != stands.id {
			t.Errorf("handshake %d names the witness %x, and %x stands", i, ref.ID, stands.id)
		}
	}
	if n := store.written.Load(); n != 1 {
		t.Errorf("%d witnesses written; want 1", n)
	}
	if n := s.Stats().Store.Lost; n != 0 {
		t.Errorf("%d lost; want 0", n)
	}
}

// Tickets that name a witness which another handshake replaces cost their clients a full handshake.
func TestHandshakesThatFindNoWitnessWriteOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, store := gatedServer(t)
		store.found = func() { time.Sleep(time.Millisecond) } // each has found nothing before the first writes
		store.update = func() { time.Sleep(time.Millisecond) }
		got := make([]sealing.WitnessRef, 8)
		var done sync.WaitGroup
		for i := range got {
			done.Go(func() { got[i] = s.attested(t) })
		}
		done.Wait()
		wantOneWitness(t, s, store, got...)
	})
}

func TestAHandshakeThatFoundNoWitnessTakesTheOneWrittenMeanwhile(t *testing.T) {
	s, store := gatedServer(t)
	looked, released := make(chan struct{}), make(chan struct{})
	store.found = func() { close(looked); <-released }
	late := make(chan sealing.WitnessRef)
	go func() { late <- s.attested(t) }()
	<-looked
	store.found = func() {}
	first := s.attested(t)
	close(released)
	wantOneWitness(t, s, store, first, <-late)
}

// A Store that never answers one call holds up no other once it is well again.
func TestAWitnessWhoseWritingHangsIsWrittenByOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, store := gatedServer(t)
		released := make(chan struct{})
		defer close(released)
		store.update = func() { <-released }
		k, now := s.keyring.active(), s.keyring.clock.Read().Wall
		attest := func(budget time.Duration) error {
			b := guard.Grant(budget)
			defer b.End()
			_, err := s.attest(b, k, now)
			return err
		}
		var joined error
		var done sync.WaitGroup
		done.Go(func() {
			if err := attest(time.Second); err == nil {
				t.Error("a witness whose writing hangs counts as written")
			}
		})
		synctest.Wait()
		store.update = func() {}
		done.Go(func() { joined = attest(time.Minute) })
		done.Wait()
		if joined != nil {
			t.Errorf("a handshake that waited for another's writing: %v; want its own once the other gave up", joined)
		}
		if err := attest(time.Second); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// Those that wait for another's writing fail with it, and do not each call a Store that is ill.
func TestHandshakesThatShareAWritingShareItsFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, store := gatedServer(t)
		var calls atomic.Int64
		store.found = func() { time.Sleep(time.Millisecond) }
		store.update = func() {
			calls.Add(1)
			time.Sleep(time.Millisecond)
			panic("by the test")
		}
		var done sync.WaitGroup
		for range 8 {
			done.Go(func() {
				b := guard.Grant(time.Minute)
				defer b.End()
				if ref, err := s.attest(b, s.keyring.active(), s.keyring.clock.Read().Wall); err == nil {
					t.Errorf("the witness %x stands, though the Store took none", ref)
				}
			})
		}
		done.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls of a Store that fails; want 1", n)
		}
	})
}

// A writing that was given up fails at last, and has no say in the one that took its place.
func TestAWritingThatWasGivenUpEndsNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, store := gatedServer(t)
		late, second := make(chan struct{}), make(chan struct{})
		store.update = func() { <-late; panic("by the test") }
		b := guard.Grant(time.Second)
		_, err := s.attest(b, s.keyring.active(), s.keyring.clock.Read().Wall)
		b.End()
		if err == nil {
			t.Fatal("a witness whose writing hangs counts as written")
		}
		synctest.Wait() // it waits in the Store, and reads no hook any more
		store.update = func() { <-second }
		var got [2]sealing.WitnessRef
		var done sync.WaitGroup
		done.Go(func() { got[0] = s.attested(t) })
		synctest.Wait()
		close(late)
		synctest.Wait()
		done.Go(func() { got[1] = s.attested(t) })
		synctest.Wait()
		close(second)
		done.Wait()
		wantOneWitness(t, s, store, got[:]...)
	})
}
