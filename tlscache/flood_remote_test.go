package tlscache

import (
	"crypto/tls"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

// smallStores are the two orders in which a bounded Store commonly evicts.
func smallStores(t *testing.T, places int, f func(t *testing.T, store *smallStore)) {
	for what, lru := range map[string]bool{"FIFO": false, "LRU": true} {
		t.Run(what, func(t *testing.T) { f(t, &smallStore{places: places, lru: lru}) })
	}
}

// elsewhere returns a further process for the Config of w, and the Config there.
func (w *world) elsewhere(cfg ServerConfig) (*Server, *tls.Config) {
	w.t.Helper()
	other := newServer(w.t, cfg)
	server := w.server.Clone()
	server.WrapSession, server.UnwrapSession, server.GetConfigForClient = nil, nil, nil
	if err := other.Install(server); err != nil {
		w.t.Fatal(err)
	}
	return other, server
}

// A Store elsewhere is not told who is confirmed, so who is not takes no place there.
func TestLoneClientHellosEvictNothingFromAStoreElsewhere(t *testing.T) {
	for _, mode := range []string{"", "NoFallback", "SingleUse"} {
		t.Run("mode "+mode, func(t *testing.T) {
			n := number(10_000, 500)
			smallStores(t, n/2, func(t *testing.T, store *smallStore) {
				config := func() ServerConfig {
					return ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long, MaxUnconfirmed: n / 4,
						SingleUse: mode == "SingleUse", NoFallback: mode == "NoFallback",
						Principal: func(cs tls.ConnectionState) string { return "of " + cs.ServerName }}
				}
				w := newWorld(t, config())
				revoker, _ := w.elsewhere(config())
				_, there := w.elsewhere(config())
				const revokedName = "revoked.example"
				revoked := w.client(tls.VersionTLS13, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = revokedName, true })
				w.want("to be revoked", revoked, false)
				var clients []*tls.Config
				for i := range min(200, n/25) {
					c := w.client([]uint16{tls.VersionTLS12, tls.VersionTLS13}[i%2])
					w.want("first", c, false)
					if i%4 < 3 || mode != "" { // the others have returned never: their first tickets count too
						w.want("second", c, true)
					}
					clients = append(clients, c)
				}
				held := revoked.ClientSessionCache
				revoked.ClientSessionCache = keepGet{held}
				if err := revoker.RevokePrincipal(t.Context(), "of "+revokedName); err != nil {
					t.Fatal(err)
				}
				full := w.Stats().Full
				for i := range 10 {
					w.flood(n / 10)
					for j := i; j < len(clients); j += 10 {
						w.want("during the flood", clients[j], true)
					}
				}
				if got := w.Stats().Full - full; got < uint64(n/10*10) {
					t.Errorf("%d handshakes got as far as their ticket; want %d, or the test shows nothing", got, n)
				}
				for i, c := range clients {
					if i%2 == 0 {
						w.want("after the flood", c, true)
					} else if !resumes(t, there, c) {
						t.Error("after the flood a client does not resume with another process")
					}
				}
				if size, evicted := store.size(); evicted != 0 {
					t.Errorf("the Store has %d of %d and has evicted %d; want none", size, n/2, evicted)
				}
				if resumes(t, there, revoked) {
					t.Error("a revoked client resumes with another process")
				}
			})
		})
	}
}

// A ClientHello that resumes can be sent again by anyone who saw it, and is as lone as others.
func TestRepeatedClientHellosEvictNoConfirmedSession(t *testing.T) {
	n := number(10_000, 600)
	play := func(t *testing.T, cfg ServerConfig) {
		w := newWorld(t, cfg)
		var clients []*tls.Config
		for range min(20, n/30) {
			c := w.client(tls.VersionTLS13)
			w.want("first", c, false)
			w.want("second", c, true)
			clients = append(clients, c)
		}
		victim := w.client(tls.VersionTLS13)
		w.want("the one that is listened to", victim, false)
		w.want("the one that is listened to", victim, true)
		resumed := w.Stats().Resumed
		victim.ClientSessionCache = keepGet{victim.ClientSessionCache}
		w.floodWith(victim, n)
		// A Local Store has the session among its next victims once it was resumed.
		if got := w.Stats().Resumed - resumed; got < uint64(n/5) {
			t.Errorf("%d handshakes resumed; want %d, or the test shows nothing", got, n)
		}
		for _, c := range clients {
			w.want("after the flood", c, true)
		}
	}
	t.Run("memory", func(t *testing.T) {
		play(t, ServerConfig{Store: newMemory(t, session.MemoryConfig{MaxSessions: n / 4})})
	})
	smallStores(t, n/4, func(t *testing.T, store *smallStore) {
		play(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long})
		if _, evicted := store.size(); evicted != 0 {
			t.Errorf("the Store has evicted %d; want none", evicted)
		}
	})
}

// A sealed ticket holds what a handle does: its Store must say that it is not revoked. One that was issued because the
// Store failed is for when it fails.
func TestSealedTicketsResumeOnlyWhileTheStoreAnswers(t *testing.T) {
	small := &smallStore{}
	store := &faulty{Store: small}
	k := ring(t, secret(1))
	w := newWorld(t, ServerConfig{Store: store, Keyring: k, Budget: long})
	m := capture(t, w, w.client(tls.VersionTLS13))
	sealed := w.wrapped(m)
	store.set(down)
	w.wantMiss("sealed, and the Store is down", sealed, m, MissStoreError)
	if w.unwrapped(w.wrapped(m), m) == nil {
		t.Error("a ticket of while the Store is down does not resume then")
	}
	store.set(nil)
	if w.unwrapped(sealed, m) == nil {
		t.Error("a sealed ticket does not resume when the Store answers again")
	}
	there, server := w.elsewhere(ServerConfig{Keyring: k})
	local := &world{t: t, ca: w.ca, server: server, Server: there}
	local.wantMiss("in a process without the Store", sealed, m, MissGone)
	st := w.Stats()
	if st.Sealed != 1 || st.FoundSealed != 1 || st.Fallback != 1 || st.FoundFallback != 1 || st.Stored != 0 {
		t.Errorf("stats: %+v; want 1 sealed and 1 fallback ticket, each found once, and none stored", st)
	}
	m.cs.HandshakeComplete = true // as of QUIC, whose tickets come after the client's Finished
	if _, _, err := k.keys().OpenHandle(w.wrapped(m)); err != nil {
		t.Errorf("the ticket of a finished handshake is no handle: %v", err)
	}
}
