package tlscache

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// A holdingConn holds back the last two records of a client's last flight until it is released. A TLS 1.3
// server issues its ticket after the first of them, the CertificateVerify.
type holdingConn struct {
	net.Conn
	release <-chan struct{}
}

func (c holdingConn) Write(p []byte) (int, error) {
	var begins []int
	for at := 0; at+5 <= len(p); at += 5 + int(binary.BigEndian.Uint16(p[at+3:])) {
		begins = append(begins, at)
	}
	if len(begins) < 2 { // not the client's last flight
		return c.Conn.Write(p)
	}
	held := begins[len(begins)-2]
	n := 0
	if held > 0 { // else it is a TLS 1.3 client without a certificate, whose ticket is on its way
		var err error
		if n, err = c.Conn.Write(p[:held]); err != nil {
			return n, err
		}
	}
	<-c.release
	m, err := c.Conn.Write(p[held:])
	return n + m, err
}

// A heldOpen is a full handshake that its client holds open, after VerifyConnection let it in, until a
// revocation has returned.
type heldOpen struct {
	version uint16
	kind    string // of store
	client  string
	revoke  string
	past    bool // past the gate
}

func TestRevocationReachesHandshakesThatAreHeldOpen(t *testing.T) {
	for _, kind := range []string{"memory", "remote", "fallback tickets"} {
		for _, client := range []string{"anonymous", "certificate", "Principal"} {
			for _, revoke := range []string{"principal", "server name", "all"} {
				if client == "anonymous" && revoke == "principal" {
					continue // it has none
				}
				for _, past := range []bool{false, true} {
					name := kind + "/" + client + "/" + revoke + map[bool]string{true: "/past the gate"}[past]
					t.Run(name, func(t *testing.T) {
						versions(t, func(t *testing.T, version uint16) {
							heldOpen{version, kind, client, revoke, past}.run(t)
						})
					})
				}
			}
		}
	}
}

func (h heldOpen) config(t testing.TB) (cfg ServerConfig) {
	switch h.kind {
	case "remote":
		cfg = ServerConfig{Store: remote{newMemory(t, session.MemoryConfig{})}, Keyring: ring(t, secret(1)), Budget: long}
	case "fallback tickets":
		store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
		store.set(down)
		cfg = ServerConfig{Store: store, Keyring: ring(t, secret(1))}
	}
	if h.client == "Principal" {
		cfg.Principal = func(tls.ConnectionState) string { return "somebody" }
	}
	return cfg
}

func (h heldOpen) run(t *testing.T) {
	w := newWorld(t, h.config(t))
	letIn := make(chan struct{}, 9)
	w.server.VerifyConnection = func(tls.ConnectionState) error { letIn <- struct{}{}; return nil }
	principal, client := "somebody", w.client(h.version)
	if h.client == "certificate" {
		mutual(w.ca)(w.server)
		cert := w.ca.issue(t)
		principal, client = principalOf(t, cert), w.mtls(h.version, cert)
	}
	if inner := w.server; h.past {
		w.server = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return inner, nil }}
	}
	release, done := make(chan struct{}), make(chan error, 2)
	a, b := memPipe()
	go func() {
		_, err := tls.Server(a, w.server).Write([]byte("x"))
		done <- err
	}()
	go func() {
		_, err := tls.Client(holdingConn{b, release}, client).Read(make([]byte, 1))
		done <- err
	}()
	<-letIn
	err := map[string]func() error{
		"principal":   func() error { return w.RevokePrincipal(t.Context(), principal) },
		"server name": func() error { return w.RevokeServerName(t.Context(), host) },
		"all":         func() error { return w.RevokeAll(t.Context()) },
	}[h.revoke]()
	if (err != nil) != (h.kind == "fallback tickets") {
		t.Fatal(err) // an error where the Store is down, and heeded here nevertheless
	}
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	w.want("the session of the handshake that was held open", client, false)
	// Memory gives up at once what it had by then.
	if got := w.misses()[MissRevoked] + w.misses()[MissGone]; !h.past && got != 1 {
		t.Errorf("misses: %v; want 1 for revoked", w.misses())
	}
	w.want("that of a handshake after the revocation", client, !h.past)
}

// A user's VerifyPeerCertificate, or his GetConfigForClient, may be what denies a client; so a handshake
// counts from before they are asked.
func TestRevocationReachesHandshakesThatGetConfigForClientLetIn(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{}, func(cfg *tls.Config) {
			cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		})
		get := layerOf(w.server).before.get
		revoked := false
		layerOf(w.server).before.get = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			cfg, err := get(hello)
			if !revoked { // the client has been let in by now
				revoked = true
				if err := w.RevokeAll(t.Context()); err != nil {
					t.Error(err)
				}
			}
			return cfg, err
		}
		client := w.client(version)
		w.want("let in before the revocation", client, false)
		w.want("its session", client, false)
		w.want("one from after it", client, true)
	})
}

// Up to five tickets come in one ClientHello, and crypto/tls does not tell which it took.
func TestOfSeveralTicketsTheEarliestAuthenticationCounts(t *testing.T) {
	for _, order := range [][2]int64{{1, 2}, {2, 1}} {
		c := &connection{beginning: beginning{begun: clock.Stamp{Wall: 9, Order: 9}}}
		for _, auth := range order {
			c.resumes(&sealing.Record{Auth: clock.Stamp{Wall: auth, Order: auth}, Principal: sealing.PrincipalID{1}}, resumed12{})
		}
		f := c.resumed()
		if auth, ok := f.inherits(sealing.PrincipalID{1}, true); !ok || auth.Order != 1 {
			t.Errorf("of %v, inherits %d, %v; want 1", order, auth.Order, ok)
		}
		if _, ok := f.inherits(sealing.PrincipalID{2}, true); ok {
			t.Error("another principal's session inherits")
		}
		c.resumesForeign(nil)
		f = c.resumed()
		if _, ok := f.inherits(sealing.PrincipalID{1}, true); ok {
			t.Error("a session inherits that may come from a hook which knows no time")
		}
	}
	c := new(connection)
	c.resumes(&sealing.Record{Principal: sealing.PrincipalID{1}}, resumed12{})
	c.resumes(&sealing.Record{Principal: sealing.PrincipalID{2}}, resumed12{})
	if f := c.resumed(); !f.mixed {
		t.Error("sessions of two principals were found and one is inherited from")
	}
}

// VerifyConnection is the user's alone.
func TestVerifyConnectionSetAfterInstall(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		mutual(w.ca)(w.server)
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
		called := 0
		w.server.VerifyConnection = func(tls.ConnectionState) error { called++; return nil }
		client := w.mtls(version, w.ca.issue(t))
		w.want("first", client, false)
		w.want("second", client, true)
		if called != 2 {
			t.Errorf("the user's VerifyConnection was called %d times; want 2", called)
		}
	})
}

func TestVerifyConnectionOfTheUserStays(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		var verdict error
		called := 0
		w := newWorld(t, ServerConfig{}, func(cfg *tls.Config) {
			cfg.VerifyConnection = func(tls.ConnectionState) error { called++; return verdict }
		})
		for range 2 {
			if err := w.Install(w.server); err != nil {
				t.Fatal(err)
			}
		}
		client := w.client(version)
		w.want("first", client, false)
		w.want("second", client, true)
		if called != 2 {
			t.Errorf("called %d times in 2 handshakes; want 2", called)
		}
		verdict = errDown
		if _, _, err := connect(w.server, client); err == nil {
			t.Error("a connection that the user's VerifyConnection refuses is let in")
		}
	})
}
