package tlscache

import (
	"crypto/tls"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

func TestAThousandTLS12ResumptionsAreOneSession(t *testing.T) {
	for what, store := range map[string]func(*session.Memory) ServerConfig{
		"memory": func(m *session.Memory) ServerConfig { return ServerConfig{Store: m} },
		"remote": func(m *session.Memory) ServerConfig {
			return ServerConfig{Store: remote{m}, Keyring: ring(t, secret(1)), Budget: long}
		},
		"single use": func(m *session.Memory) ServerConfig { return ServerConfig{Store: m, SingleUse: true} },
	} {
		t.Run(what, func(t *testing.T) {
			memory := newMemory(t, session.MemoryConfig{})
			w := newWorld(t, store(memory))
			client := w.client(tls.VersionTLS12)
			w.want("first", client, false)
			for range number(1000, 200) {
				w.want("again", client, true)
			}
			sessions := 0
			for e := range memory.All(t.Context()) {
				if e.Key.Partial != watermarkPartial {
					sessions++
				}
			}
			if sessions != 1 {
				t.Errorf("the store has %d sessions; want 1", sessions)
			}
		})
	}
}

// A listener on the wire cannot tell that two connections belong to one client: RFC 5077 tickets are sent
// in clear.
func TestReissuedHandlesHaveNothingInCommon(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	m := capture(t, w, w.client(tls.VersionTLS12))
	first := w.wrapped(m)
	if w.unwrapped(first, m) == nil {
		t.Fatal("not found")
	}
	second := w.wrapped(m.resumed())
	if len(first) != len(second) {
		t.Errorf("handles of %d and %d bytes; want one length", len(first), len(second))
	}
	same := 0
	for i := sealing.HandleHeader; i < len(first); i++ {
		if first[i] == second[i] {
			same++
		}
	}
	if same > 8 { // by chance, 1 in 256
		t.Errorf("%d of %d bytes are the same", same, len(first)-sealing.HandleHeader)
	}
}

// offering returns a client's configuration that offers one session, whatever happens.
func (w *world) offering(version uint16, s *tls.ClientSessionState) *tls.Config {
	return w.client(version, func(cfg *tls.Config) { cfg.ClientSessionCache = keepGet{&lastSession{s}} })
}

func TestSingleUseLetsOneOfManyResume(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		versions(t, func(t *testing.T, version uint16) {
			cfg.SingleUse = true
			w := newWorld(t, cfg)
			for range number(10, 2) {
				cache := new(lastSession)
				w.want("first", w.client(version, func(c *tls.Config) { c.ClientSessionCache = cache }), false)
				var resumed atomic.Int64
				var clients sync.WaitGroup
				for range 64 {
					clients.Go(func() {
						if w.resumes(w.offering(version, cache.state)) {
							resumed.Add(1)
						}
					})
				}
				clients.Wait()
				if n := resumed.Load(); n != 1 {
					t.Errorf("%d of 64 clients that offered one handle resumed; want 1", n)
				}
			}
		})
	})
}

// A handle that was used must not come to life again when the TLS 1.2 session that it led to is
// stored again for its next handle.
func TestSingleUseHandlesStayUsed(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{SingleUse: true})
		m := capture(t, w, w.client(version))
		used := w.wrapped(m)
		if w.unwrapped(used, m) == nil {
			t.Fatal("not found")
		}
		next := w.wrapped(m.resumed())
		w.wantMiss("used", used, m, MissGone)
		if w.unwrapped(next, m) == nil {
			t.Error("the next handle is not found")
		}
	})
}

// A mismatch is no use: a listener that sees a handle on the wire cannot spend it elsewhere.
func TestMismatchesDoNotTakeTheSession(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		cfg.SingleUse = true
		w := newWorld(t, cfg)
		m := capture(t, w, w.client(tls.VersionTLS13))
		ticket := w.wrapped(m)
		name, version := m, m
		name.cs.ServerName, version.cs.Version = "other.example", tls.VersionTLS12
		w.wantMiss("another server name", ticket, name, MissServerName)
		w.wantMiss("another version", ticket, version, MissDeclined)
		scope := *w
		scope.server = w.config(func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{w.ca.issue(t, host)} }) // of fewer names
		if err := w.Install(scope.server); err != nil {
			t.Fatal(err)
		}
		scope.wantMiss("another scope", ticket, m, MissScope)
		if w.unwrapped(ticket, m) == nil {
			t.Error("the session was taken by a mismatch")
		}
	})
}
