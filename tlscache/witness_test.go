package tlscache

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// attested makes sure that there is a witness, and that the next handles do not look for it.
func (s *Server) attested(t testing.TB) sealing.WitnessRef {
	t.Helper()
	b := guard.Grant(time.Minute)
	defer b.End()
	id, err := s.attest(b, s.keyring.active(), s.keyring.clock.Read().Wall)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A pair is two processes that share a Store and secrets.
type pair struct {
	*world
	other *Server
	store *faulty
	small *smallStore
}

func newPair(t *testing.T, k, there *Keyring) pair {
	t.Helper()
	small, store := failingStore(0)
	config := func(k *Keyring) ServerConfig {
		return ServerConfig{Store: store, Keyring: k, Budget: long, Principal: func(tls.ConnectionState) string { return "somebody" }}
	}
	w := newWorld(t, config(k))
	other, _ := w.elsewhere(config(there))
	return pair{w, other, store, small}
}

// loseRevocation lets the other process revoke all, and the Store lose that before this process hears of it.
func (p pair) loseRevocation() {
	p.t.Helper()
	if err := p.other.RevokePrincipal(p.t.Context(), "somebody"); err != nil {
		p.t.Fatal(err)
	}
	p.other.Close()
	p.small.forget()
}

// A successor is issued later than the ticket that resumed during an outage, and is worth no more.
func TestSuccessorsOfFallbackTicketsNameTheWitnessOfTheFirst(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		for what, before := range map[string]bool{"a witness stands again before the outage": true, "after it": false} {
			t.Run(what, func(t *testing.T) {
				p := newPair(t, ring(t, secret(1)), ring(t, secret(1)))
				client := p.client(version)
				p.attested(t)
				p.store.set(down)
				p.want("first", client, false)
				p.store.set(nil)
				p.loseRevocation()
				if before {
					p.attested(t)
				}
				p.store.set(down)
				p.want("during the outage", client, true)
				p.want("during the outage, once more", client, true)
				p.store.set(nil)
				p.attested(t)
				p.want("after it", client, false)
			})
		}
	})
}

// The Store may answer again in the middle of a handshake. What it keeps is not asked for a witness.
func TestWhatTheStoreDidNotAnswerForIsNotStored(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p := newPair(t, ring(t, secret(1)), ring(t, secret(1)))
		p.attested(t)
		m := capture(t, p.world, p.client(version))
		p.store.set(down)
		fallback := p.wrapped(m)
		if p.unwrapped(fallback, m) == nil {
			t.Fatal("the fallback ticket does not resume during the outage; the test shows nothing")
		}
		p.store.set(nil)
		p.loseRevocation()
		m.cs.HandshakeComplete = true
		successor := p.wrapped(m.resumed())
		p.attested(t)
		p.wantMiss("the successor", successor, m, MissGone)
	})
}

// Where nothing was lost, the Store has the session once it has answered for it.
func TestSuccessorsOfFallbackTicketsAreStoredAgain(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p := newPair(t, ring(t, secret(1)), ring(t, secret(1)))
		p.attested(t)
		client := p.client(version)
		p.store.set(down)
		p.want("first", client, false)
		p.want("during the outage", client, true)
		p.store.set(nil)
		p.want("after it", client, true)
		if st := p.Stats(); st.Stored != 1 || st.Store.Lost != 0 {
			t.Errorf("%d stored, %d lost; want 1, 0", st.Stored, st.Store.Lost)
		}
		p.want("after it, by a handle", client, true)
	})
}

// The client of a handshake that is held open proves who it is at its begin.
func TestAHandshakeThatIsHeldOpenNamesTheWitnessOfItsBegin(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p := newPair(t, ring(t, secret(1)), ring(t, secret(1)))
		p.attested(t)
		m := capture(t, p.world, p.client(version))
		held := p.open(m.cs.ServerName)
		p.loseRevocation()
		p.attested(t)
		for what, fault := range map[string]fault{"sealed": nil, "fallback": down} {
			p.store.set(fault)
			ticket, err := held.WrapSession(m.cs, m.fresh().ss)
			p.store.set(nil)
			if err != nil {
				t.Fatal(err)
			}
			if what == "sealed" && version == tls.VersionTLS12 {
				continue // it is stored
			}
			p.wantMiss(what, ticket, m, MissGone)
		}
	})
}

// Whose clock is behind, or was put back, makes no witness older than it is.
func TestNoClockMakesAWitnessOlder(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		k, clock := clocked(t, secret(1))
		p := newPair(t, k, ring(t, secret(1)))
		p.attested(t)
		client := p.client(version)
		p.store.set(down)
		p.want("first", client, false)
		p.store.set(nil)
		p.loseRevocation()
		clock.Set(-time.Hour)
		p.attested(t)
		p.want("after a witness that says to be an hour old", client, false)
	})
}

// Sealed records outlive the rotation of secrets, as they outlive the Server's restart.
func TestSealedTicketsOutliveTheRotationOfSecrets(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		k := ring(t, secret(1))
		p := newPair(t, k, ring(t, secret(2), secret(1)))
		p.attested(t)
		replace := func(active Secret, others ...Secret) {
			t.Helper()
			if err := k.Replace(active, others...); err != nil {
				t.Fatal(err)
			}
		}
		client := p.client(version)
		p.store.set(down)
		p.want("first", client, false)
		replace(secret(1), secret(2))
		replace(secret(2), secret(1))
		p.want("after the rotation", client, true)
		p.store.set(nil)
		unconfirmed := p.client(version)
		p.want("first under the new secret, which has no witness", unconfirmed, false)
		p.want("when the store answers", client, true)
		replace(secret(2))
		p.want("without the former secret", unconfirmed, true)
		p.want("without the former secret", client, true)
		if n := p.Stats().Store.Lost; n != 0 {
			t.Errorf("%d lost; want 0", n)
		}
	})
}

// The witness under a new secret says nothing of what was lost before it was written.
func TestTheWitnessOfANewSecretDoesNotStandForThatOfTheFormer(t *testing.T) {
	k := ring(t, secret(1), secret(2))
	p := newPair(t, k, ring(t, secret(1), secret(2)))
	p.attested(t)
	m := capture(t, p.world, p.client(tls.VersionTLS13))
	if err := k.Replace(secret(2), secret(1)); err != nil {
		t.Fatal(err)
	}
	held := p.open(m.cs.ServerName)
	p.loseRevocation()
	ticket, err := held.WrapSession(m.cs, m.fresh().ss)
	if err != nil {
		t.Fatal(err)
	}
	p.wantMiss("of a handshake that began before the loss", ticket, m, MissGone)
}

func TestAWitnessThatWasLostComesBackAsAnother(t *testing.T) {
	p := newPair(t, ring(t, secret(1)), ring(t, secret(1)))
	first := p.attested(t)
	if again := p.attested(t); again != first {
		t.Errorf("the witness is %x, and then %x", first, again)
	}
	p.small.forget()
	if again := p.attested(t); again == first {
		t.Error("a Store that has lost the witness has the same one again")
	}
	if n := p.Stats().Store.Lost; n != 1 {
		t.Errorf("%d lost; want 1", n)
	}
}

// A process whose clock is behind revokes what another has revoked later, by its own clock.
func TestNoRevocationLowersThatOfAnotherProcess(t *testing.T) {
	k, clock := clocked(t, secret(1))
	p := newPair(t, k, ring(t, secret(1)))
	clock.Set(-time.Minute)
	if err := p.other.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	name := p.keyring.active().Everything
	high, err := p.lookupWatermark(t.Context(), name)
	if err != nil || high.at == 0 {
		t.Fatalf("the watermark is %d, %v", high.at, err)
	}
	if err := p.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now, err := p.lookupWatermark(t.Context(), name); err != nil || now.at < high.at {
		t.Errorf("the watermark went from %d to %d, %v; want no less", high.at, now.at, err)
	}
}

// The Store evicts a watermark, and the process that set it is gone.
func TestWatermarksThatTheStoreLosesAreWrittenAgainByThoseThatKnowThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		small, store := failingStore(0)
		config := func() ServerConfig { return ServerConfig{Store: store, Keyring: ring(t, secret(1))} }
		w, other, third := newWorld(t, config()), newServer(t, config()), newServer(t, config())
		defer w.Close()
		defer third.Close()
		ticket, m := storedIn(t, w)
		if err := other.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		other.Close()
		key := watermarkKey(w.keyring.active().Everything)
		w.wantMiss("revoked elsewhere", ticket, m, MissRevoked)
		for range 2 {
			if err := small.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			w.wantMiss("revoked, and the Store lost it", ticket, m, MissRevoked)
			time.Sleep(2 * publishPause)
			if told, err := third.lookupWatermark(t.Context(), w.keyring.active().Everything); err != nil || told.at == 0 {
				t.Errorf("the watermark is %d, %v after it was missed; want it again", told.at, err)
			}
		}
		if n := w.Stats().Store.Lost; n != 2 {
			t.Errorf("%d lost; want 2", n)
		}
		calls := store.calls.Load()
		time.Sleep(time.Hour)
		if got := store.calls.Load() - calls; got != 0 {
			t.Errorf("%d calls of the Store in an hour for what another process revoked; want none", got)
		}
	})
}

// A process that learns of a revocation by the name of one secret writes it under that of another, and nothing was lost.
func TestWatermarksUnderOneNameAreNotLostUnderAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, store := failingStore(0)
		k := ring(t, secret(1), secret(2))
		w := newWorld(t, ServerConfig{Store: store, Keyring: k})
		other := newServer(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
		defer w.Close()
		defer other.Close()
		first, m := storedIn(t, w)
		if err := k.Replace(secret(2), secret(1)); err != nil {
			t.Fatal(err)
		}
		second, _ := storedIn(t, w)
		if err := other.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantMiss("under the secret that the revoker knows", first, m, MissRevoked)
		w.wantMiss("under the other", second, m, MissRevoked)
		time.Sleep(2 * publishPause)
		if told, err := w.lookupWatermark(t.Context(), k.active().Everything); err != nil || told.at == 0 {
			t.Errorf("the watermark under the other secret is %d, %v; want it", told.at, err)
		}
		if n := w.Stats().Store.Lost; n != 0 {
			t.Errorf("%d lost; want 0", n)
		}
	})
}

// A process has dropped the secret that a watermark is named by and sealed under, and writes its own there, which is
// lower and sealed under another secret.
func TestAWatermarkThatCannotBeReadIsNotLowered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, store := failingStore(0)
		k := ring(t, secret(3))
		dropped := newServer(t, ServerConfig{Store: store, Keyring: k})
		revoker := newServer(t, ServerConfig{Store: store, Keyring: ring(t, secret(3))})
		w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(3), secret(4))})
		defer w.Close()
		defer revoker.Close()
		defer dropped.Close()
		if err := k.Replace(secret(4)); err != nil {
			t.Fatal(err)
		}
		store.set(down)
		if err := dropped.RevokeAll(t.Context()); err == nil {
			t.Fatal("RevokeAll while the Store is down: no error")
		}
		time.Sleep(time.Second) // it tries once more, in vain
		store.set(nil)
		ticket, m := storedIn(t, w)
		if err := revoker.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(longPause + time.Second) // dropped writes what it could not before
		w.wantMiss("revoked by both", ticket, m, MissRevoked)
		calls := store.calls.Load()
		time.Sleep(10 * lookAgain)
		if n := store.calls.Load() - calls; n > 60 {
			t.Errorf("%d calls of the Store in ten minutes by two processes that cannot read each other's; want a few a minute", n)
		}
	})
}

// A process that was restarted may issue nothing but handles of sessions that are stored already.
func TestAProcessThatOnlyReissuesHandlesSeesToTheWitness(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPair(t, ring(t, secret(1)), ring(t, secret(1)))
		defer p.Close()
		p.other.Close()
		client := p.client(tls.VersionTLS12)
		p.want("first", client, false)
		p.attesting.Wait() // or both find no witness, and one that the other replaces vouches for nothing
		_, restarted := p.elsewhere(ServerConfig{Store: p.store, Keyring: ring(t, secret(1)), Principal: func(tls.ConnectionState) string { return "somebody" }})
		if !resumes(t, restarted, client) {
			t.Fatal("the restarted process does not resume a stored session")
		}
		time.Sleep(time.Second)
		p.store.set(down)
		client = p.client(tls.VersionTLS12)
		if resumes(t, restarted, client) {
			t.Fatal("a new client resumes")
		}
		p.store.set(nil)
		if !resumes(t, restarted, client) {
			t.Error("a fallback ticket does not resume after the outage, though the Store lost nothing")
		}
	})
}

// A process whose clock is ahead says that the witness was written in the future. It must not get too old by that.
func TestAWitnessFromTheFutureIsWrittenAgain(t *testing.T) {
	k, clock := clocked(t, secret(1))
	p := newPair(t, k, ring(t, secret(1)))
	clock.Set(24 * time.Hour)
	first := p.attested(t)
	p.other.attested(t)
	w, err := p.lookupWitness(t.Context(), k.active())
	if now := p.other.keyring.clock.Read().Wall; err != nil || w.id != first.ID || w.wrote > now {
		t.Errorf("the witness is %x, written %v from now, %v; want %x, written by now", w.id, time.Duration(w.wrote-now), err, first.ID)
	}
}
