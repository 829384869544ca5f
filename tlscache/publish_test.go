package tlscache

import (
	"crypto/tls"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A failingStore is a smallStore that can be made to fail.
func failingStore(limit time.Duration) (*smallStore, *faulty) {
	small := &smallStore{cap: limit}
	return small, &faulty{Store: small}
}

// A Store that cuts lives short, or was emptied, loses watermarks while clients keep their tickets.
func TestRevocationsOutliveAStoreThatForgets(t *testing.T) {
	for _, revoker := range []string{"revoker lives", "revoker is gone"} {
		for _, ticket := range []string{"fallback", "sealed", "stored"} {
			for _, how := range []string{"cuts lives", "is emptied"} {
				t.Run(revoker+"/"+ticket+"/"+how, func(t *testing.T) {
					versions(t, func(t *testing.T, version uint16) {
						if ticket == "sealed" && version != tls.VersionTLS13 {
							t.Skip("TLS 1.2 knows its clients before the ticket")
						}
						bubble(t, func(t *testing.T) {
							limit := time.Duration(0)
							if how == "cuts lives" {
								limit = time.Hour
							}
							small, store := failingStore(limit)
							config := func() ServerConfig {
								return ServerConfig{Store: store, Keyring: ring(t, secret(1)), Principal: func(tls.ConnectionState) string { return "somebody" }}
							}
							w := newWorld(t, config())
							defer w.Close()
							other, _ := w.elsewhere(config())
							defer other.Close()
							client := w.client(version)
							if ticket == "fallback" {
								store.set(down)
							}
							w.want("first", client, false)
							if ticket == "stored" {
								w.want("second", client, true)
							}
							store.set(nil)
							client.ClientSessionCache = keepGet{client.ClientSessionCache}
							time.Sleep(time.Minute)
							if err := other.RevokePrincipal(t.Context(), "somebody"); err != nil {
								t.Fatal(err)
							}
							if revoker == "revoker is gone" {
								other.Close()
							}
							time.Sleep(30 * time.Minute)
							if how == "is emptied" {
								small.forget()
							}
							for range 4 {
								time.Sleep(time.Hour)
								w.want("revoked", client, false)
							}
						})
					})
				})
			}
		}
	}
}

// What is not revoked resumes as long as before: nothing was lost.
func TestSealedTicketsResumeForTheirWholeLife(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		bubble(t, func(t *testing.T) {
			_, store := failingStore(0)
			const ttl = 6 * 24 * time.Hour
			w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), TTL: ttl})
			defer w.Close()
			visitor := w.client(version) // whose visits show that the Store keeps things
			for range 30 {
				w.resumes(visitor)
				time.Sleep(5 * time.Minute)
			}
			client := w.client(version)
			store.set(down)
			w.want("first", client, false)
			time.Sleep(20 * time.Minute)
			store.set(nil)
			client.ClientSessionCache = keepGet{client.ClientSessionCache}
			for range 3 {
				for range 24 {
					time.Sleep(time.Hour)
					w.resumes(visitor)
				}
				w.want("a fallback ticket", client, true)
			}
			if st := w.Stats(); st.Store.Lost != 0 || st.FoundFallback != 3 {
				t.Errorf("%d lost, %d fallback tickets found; want 0, 3", st.Store.Lost, st.FoundFallback)
			}
		})
	})
}

// storedIn stores a session of a full handshake of TLS 1.2.
func storedIn(t *testing.T, w *world) (ticket []byte, m moment) {
	t.Helper()
	m = capture(t, w, w.client(tls.VersionTLS12))
	ticket = w.wrapped(m)
	if w.unwrapped(ticket, m) == nil {
		t.Fatal("a new session is not found")
	}
	time.Sleep(time.Second) // stamps of two clocks of one instant have no order
	return ticket, m
}

func TestWatermarksThatTheStoreLosesAreWrittenAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		small, store := failingStore(0)
		config := func() ServerConfig { return ServerConfig{Store: store, Keyring: ring(t, secret(1))} }
		w, other := newWorld(t, config()), newServer(t, config())
		defer w.Close()
		ticket, m := storedIn(t, w)
		if err := other.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := small.Delete(t.Context(), watermarkKey(w.keyring.active().Everything)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookAgain + time.Second)
		if st := other.Stats().Store; st.Lost != 1 {
			t.Errorf("%d lost; want 1", st.Lost)
		}
		w.wantMiss("revoked elsewhere, and the Store lost it", ticket, m, MissRevoked)
		time.Sleep(7*24*time.Hour + time.Hour)
		p := &other.publisher
		p.mu.Lock()
		if n := len(p.mu.of); n != 0 || p.mu.timer != nil {
			t.Errorf("%d watermarks are kept in the Store after a week; want none, and no timer", n)
		}
		p.mu.Unlock()
		other.Close()
	})
}

func TestRevocationThatTheStoreDidNotTakeIsWrittenOnceItWorks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, store := failingStore(0)
		config := func() ServerConfig { return ServerConfig{Store: store, Keyring: ring(t, secret(1))} }
		w, other := newWorld(t, config()), newServer(t, config())
		defer w.Close()
		defer other.Close()
		ticket, m := storedIn(t, w)
		store.set(down)
		if err := other.RevokeAll(t.Context()); err == nil {
			t.Fatal("RevokeAll while the Store is down: no error")
		}
		time.Sleep(time.Hour)
		store.set(nil)
		time.Sleep(2 * longPause)
		w.wantMiss("revoked elsewhere while the Store was down", ticket, m, MissRevoked)
	})
}

func TestWatermarksAreWrittenUnderSecretsThatComeLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, store := failingStore(0)
		later := ring(t, secret(1))
		w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(2), secret(1))})
		other := newServer(t, ServerConfig{Store: store, Keyring: later})
		defer w.Close()
		defer other.Close()
		m := capture(t, w, w.client(tls.VersionTLS12))
		ticket := w.wrapped(m)
		time.Sleep(time.Second)
		if err := other.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := later.Replace(secret(2), secret(1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.wantMiss("revoked by a process that learnt the secret later", ticket, m, MissRevoked)
	})
}

// A configuration is loaded anew: the next Server has the Keyring, and the former is closed.
func TestTheNextServerWithAKeyringKeepsItsWatermarksInTheStore(t *testing.T) {
	for _, order := range []string{"revoked before", "revoked after"} {
		t.Run(order, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				small, store := failingStore(0)
				w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
				defer w.Close()
				ticket, m := storedIn(t, w)
				k := ring(t, secret(1))
				former := newServer(t, ServerConfig{Store: store, Keyring: k})
				var next *Server
				if order == "revoked after" {
					next = newServer(t, ServerConfig{Store: store, Keyring: k})
				}
				if err := former.RevokeAll(t.Context()); err != nil {
					t.Fatal(err)
				}
				if next == nil {
					next = newServer(t, ServerConfig{Store: store, Keyring: k})
				}
				former.Close()
				defer next.Close()
				if err := small.Delete(t.Context(), watermarkKey(w.keyring.active().Everything)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(lookAgain + time.Second)
				w.wantMiss("revoked by a Server that was replaced", ticket, m, MissRevoked)
			})
		})
	}
}

// Two processes revoke the same thing: what the later one wrote stands.
func TestWatermarksInTheStoreAreNeverLowered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, store := failingStore(0)
		config := func() ServerConfig { return ServerConfig{Store: store, Keyring: ring(t, secret(1))} }
		w, early, late := newWorld(t, config()), newServer(t, config()), newServer(t, config())
		defer w.Close()
		defer early.Close()
		if err := early.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ticket, m := storedIn(t, w)
		time.Sleep(time.Second)
		if err := late.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		late.Close()
		time.Sleep(2 * lookAgain)
		w.wantMiss("revoked by the later one", ticket, m, MissRevoked)
	})
}

// However many there are, the Store is not flooded with them.
func TestWatermarksAreWrittenAgainABoundedNumberAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &faulty{Store: &smallStore{}}
		s := newServer(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
		const n = 3 * publishCalls
		for i := range n {
			if err := s.RevokePrincipal(t.Context(), string(rune('a'+i))); err != nil {
				t.Fatal(err)
			}
		}
		begin := store.calls.Load()
		time.Sleep(lookAgain - publishPause/2)
		for pass := range int64(4) {
			calls := store.calls.Load() - begin
			if want := 2 * publishCalls * min(pass, 3); calls != want {
				t.Errorf("after %d passes the Store was called %d times; want %d", pass, calls, want)
			}
			time.Sleep(publishPause)
		}
		s.Close()
		calls := store.calls.Load()
		time.Sleep(time.Hour)
		if got := store.calls.Load() - calls; got != 0 {
			t.Errorf("after Close the Store was called %d times; want none", got)
		}
	})
}

var _ session.Store = (*smallStore)(nil)

// A ticket of the longest life resumes to its end, though the witness is written again meanwhile.
func TestAWitnessThatIsWrittenAgainCoversWhatItDidBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, ServerConfig{Store: &smallStore{}, Keyring: ring(t, secret(1)), TTL: session.MaxTTL})
		defer w.Close()
		first := w.client(tls.VersionTLS13)
		w.want("first", first, false)
		first.ClientSessionCache = keepGet{first.ClientSessionCache}
		for range 6 {
			time.Sleep(24 * time.Hour)
			w.want("another, which sees to the witness", w.client(tls.VersionTLS13), false)
			w.want("a sealed ticket", first, true)
		}
		if n := w.Stats().Store.Lost; n != 0 {
			t.Errorf("%d lost; want 0", n)
		}
	})
}
