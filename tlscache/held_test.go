package tlscache

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"testing"
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
	if len(begins) < 3 { // not the flight with the client's certificate
		return c.Conn.Write(p)
	}
	held := begins[len(begins)-2]
	n, err := c.Conn.Write(p[:held])
	if err != nil {
		return n, err
	}
	<-c.release
	m, err := c.Conn.Write(p[held:])
	return n + m, err
}

// A client that was let in before a revocation, and holds its handshake open, has a session afterwards
// that was issued after the revocation; it is revoked all the same.
func TestRevocationReachesFullHandshakesThatAreHeldOpen(t *testing.T) {
	for _, again := range []bool{false, true} {
		name := map[bool]string{false: "installed once", true: "installed twice"}[again]
		t.Run(name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				w := newWorld(t, ServerConfig{})
				letIn := make(chan struct{}, 9)
				mutual(w.ca)(w.server)
				w.server = w.server.Clone()
				w.server.WrapSession, w.server.UnwrapSession = nil, nil
				w.server.VerifyConnection = func(tls.ConnectionState) error { letIn <- struct{}{}; return nil }
				for range map[bool]int{false: 1, true: 3}[again] {
					if err := w.Install(w.server); err != nil {
						t.Fatal(err)
					}
				}
				cert := w.ca.issue(t)
				client := w.mtls(version, cert)

				release := make(chan struct{})
				a, b := memPipe()
				done := make(chan error, 2)
				go func() {
					_, err := tls.Server(a, w.server).Write([]byte("x"))
					done <- err
				}()
				go func() {
					_, err := tls.Client(holdingConn{b, release}, client).Read(make([]byte, 1))
					done <- err
				}()
				<-letIn
				if err := w.RevokePrincipal(t.Context(), principalOf(t, cert)); err != nil {
					t.Fatal(err)
				}
				close(release)
				for range 2 {
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				w.want("the session of the handshake that was held open", client, false)
				if got := w.misses()[MissRevoked]; got != 1 {
					t.Errorf("misses: %v; want 1 for revoked", w.misses())
				}
				w.want("that of a handshake after the revocation", client, true)
			})
		})
	}
}

// Whoever sets VerifyConnection after Install takes the note away, not the resumption.
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
