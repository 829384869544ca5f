package tlscache

import (
	"bytes"
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// statelessly runs a test in each version with Servers that store no session.
func statelessly(t *testing.T, f func(t *testing.T, kind string, version uint16)) {
	everywhere(t, func(t *testing.T, kind string, version uint16) {
		if strings.HasPrefix(kind, "stateless") {
			f(t, kind, version)
		}
	})
}

// Nothing but secrets is shared: whoever has them resumes, also after a restart.
func TestAStatelessServerResumesWhatItSealed(t *testing.T) {
	statelessly(t, func(t *testing.T, kind string, version uint16) {
		cfg := kept(t, kind, ServerConfig{})
		w := newWorld(t, cfg)
		client := w.client(version)
		w.want("first", client, false)
		for range 3 {
			w.want("again", client, true)
		}
		st := w.Stats()
		if st.Sealed != 4 || st.FoundSealed != 3 || st.Stored+st.Fallback+st.Reissued+st.Dead > 0 {
			t.Errorf("%+v; want four sealed tickets, three of them found, and nothing else", st)
		}
		if w.store != nil {
			n, err := w.store.(remote).Store.(*session.Memory).SelectSession(context.Background(), watermarkPartial, 0)
			if size, _ := w.store.(remote).Store.(*session.Memory).Size(context.Background()); err != nil || size != len(n) {
				t.Errorf("%d entries in the Store, %d of which are no sessions, %v; want no session", size, len(n), err)
			}
		}
		again := w.server.Clone()
		again.GetConfigForClient, again.WrapSession, again.UnwrapSession = nil, nil, nil
		if err := newServer(t, cfg).Install(again); err != nil { // another process
			t.Fatal(err)
		}
		if !resumes(t, again, client) {
			t.Error("another process with the secrets does not resume")
		}
	})
}

// TLS 1.2 sessions keep their lives however often their tickets are renewed, and authentication ages as ever.
func TestAStatelessSessionEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  ServerConfig
		mtls bool
		v    uint16
		want MissReason
	}{
		"TTL":        {ServerConfig{TTL: 3 * time.Hour}, false, tls.VersionTLS12, MissExpired},
		"MaxAuthAge": {ServerConfig{MaxAuthAge: 3 * time.Hour}, true, tls.VersionTLS13, MissAuthAge},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				tt.cfg.Stateless = true
				w := newWorld(t, tt.cfg, func(c *tls.Config) {
					if tt.mtls {
						c.ClientAuth = tls.RequireAnyClientCert
					}
				})
				client := w.mtls(tt.v, w.ca.issue(t))
				w.want("first", client, false)
				for range 2 {
					time.Sleep(time.Hour)
					w.want("again", client, true)
				}
				time.Sleep(time.Hour + time.Second)
				w.want("when it is over", client, false)
				if m := w.misses(); m[MissExpired]+m[MissAuthAge]+m[MissDeclined]+m[MissGone] == 0 {
					t.Errorf("misses are %v; want %q", m, tt.want)
				}
			})
		})
	}
}

// With a Store, all processes heed a revocation; without one, this process does, and Stats say that it is alone.
func TestStatelessSessionsAreRevoked(t *testing.T) {
	statelessly(t, func(t *testing.T, kind string, version uint16) {
		cfg := kept(t, kind, ServerConfig{})
		w := newWorld(t, cfg)
		elsewhere := cfg
		elsewhere.Keyring = ring(t, secret(1))
		other := w.server.Clone()
		other.GetConfigForClient, other.WrapSession, other.UnwrapSession = nil, nil, nil
		if err := newServer(t, elsewhere).Install(other); err != nil {
			t.Fatal(err)
		}
		client := w.insistent(version)
		w.want("first", client, false)
		revoked := *client.ClientSessionCache.(*lastSession)
		if err := w.RevokeServerName(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		w.want("revoked", client, false)
		client.ClientSessionCache = &revoked
		shared := cfg.Store != nil
		if got := resumes(t, other, client); got == shared {
			t.Errorf("another process: resumed = %v; want %v", got, !shared)
		}
		if got := w.Stats().RevokedHere; (got == 0) != shared {
			t.Errorf("RevokedHere = %d; want it to say whether others know", got)
		}
	})
}

// While the Store of the revocations is down, a ticket that it has to answer for does not resume. What is issued meanwhile does.
func TestAStatelessServerWhoseStoreIsDown(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		store := &moodyStore{Store: remote{newMemory(t, session.MemoryConfig{})}}
		w := newWorld(t, ServerConfig{Stateless: true, Store: store, Keyring: ring(t, secret(1)), Budget: long})
		client := w.client(version)
		w.want("first", client, false)
		w.want("again", client, true)
		store.fails.Store(true)
		w.want("once the Store is down", client, false)
		w.want("with what was issued then", client, true)
		store.fails.Store(false)
	})
}

// Tickets of a Server with a Store need that Store, and its handles lead to it.
func TestAStatelessServerWithoutAStoreDoesNotTakeWhatAStoreAnswersFor(t *testing.T) {
	store := remote{newMemory(t, session.MemoryConfig{})}
	before := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long})
	w := newWorld(t, ServerConfig{Stateless: true, Keyring: ring(t, secret(1))})
	before.ca, before.server.Certificates = w.ca, w.server.Certificates
	m := capture(t, before, before.client(tls.VersionTLS13))
	sealed := before.wrapped(m)
	if before.unwrapped(sealed, m) == nil || sealed[0] != sealing.FormatRecord {
		t.Fatal("no sealed ticket")
	}
	handle := before.wrapped(m.resumed())
	if handle[0] != sealing.FormatHandle {
		t.Fatal("no handle")
	}
	for what, ticket := range map[string][]byte{"a sealed ticket": sealed, "a handle": handle} {
		if w.unwrapped(ticket, m) != nil {
			t.Errorf("%s of a Server with a Store is resumed without it", what)
		}
	}
	if got := w.misses()[MissGone]; got != 2 {
		t.Errorf("misses are %v; want 2 of %q", w.misses(), MissGone)
	}
}

// What does not fit into a ClientHello is no ticket.
func TestAStatelessTicketIsBounded(t *testing.T) {
	statelessly(t, func(t *testing.T, kind string, version uint16) {
		w := newWorld(t, kept(t, kind, ServerConfig{}), func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
		client := w.mtls(version, withExtension(t, 40_000))
		w.want("first", client, false)
		w.want("again", client, false)
		if st := w.Stats(); st.TooLarge != 2 || st.Dead != 2 {
			t.Errorf("TooLarge = %d, Dead = %d; want 2 each", st.TooLarge, st.Dead)
		}
	})
}

// 0-RTT could be replayed.
func TestStatelessSessionsHaveNoEarlyData(t *testing.T) {
	w := newWorld(t, ServerConfig{Stateless: true})
	m := capture(t, w, w.client(tls.VersionTLS13)).fresh()
	m.ss.EarlyData = true
	got := w.unwrapped(w.wrapped(m), m)
	if got == nil || got.EarlyData {
		t.Errorf("%+v; want a session without early data", got)
	}
	if a, b := w.wrapped(m), w.wrapped(m); bytes.Equal(a, b) {
		t.Error("two tickets are equal")
	}
}

func TestWhatAStatelessServerCannotDoIsAnError(t *testing.T) {
	_, err := NewServer(ServerConfig{Stateless: true, SingleUse: true, NoFallback: true, MaxUnconfirmed: 7, Store: newMemory(t, session.MemoryConfig{})})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"SingleUse", "NoFallback", "MaxUnconfirmed is 7", "Store is session.Local"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%v; want it to name %s", err, field)
		}
	}
}
