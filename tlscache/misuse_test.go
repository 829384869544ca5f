package tlscache

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

func TestTheZeroServerSaysSo(t *testing.T) {
	for what, s := range map[string]*Server{"zero": new(Server), "nil": nil} {
		cfg := new(tls.Config)
		for method, err := range map[string]error{
			"Install":          s.Install(cfg),
			"RevokePrincipal":  s.RevokePrincipal(t.Context(), "somebody"),
			"RevokeServerName": s.RevokeServerName(t.Context(), host),
			"RevokeAll":        s.RevokeAll(t.Context()),
		} {
			if err == nil || !strings.Contains(err.Error(), "NewServer") {
				t.Errorf("%s of a %s Server: %v; want an error that says NewServer", method, what, err)
			}
		}
		if cfg.WrapSession != nil || cfg.UnwrapSession != nil || cfg.GetConfigForClient != nil {
			t.Errorf("a %s Server left hooks", what)
		}
		if st := s.Stats(); st.Full != 0 || st.Misses == nil {
			t.Errorf("stats of a %s Server: %+v", what, st)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close of a %s Server: %v", what, err)
		}
	}
}

// A structStore is a Store that is no pointer.
type structStore struct{ session.Store }

func TestStoresThatAreNilInsideAreErrors(t *testing.T) {
	var memory *session.Memory
	var pointer *remote
	for what, store := range map[string]session.Store{"Memory": memory, "pointer": pointer} {
		_, err := NewServer(ServerConfig{Store: store, Keyring: ring(t, secret(1))})
		if err == nil || !strings.Contains(err.Error(), "Store is a nil") {
			t.Errorf("%s: %v; want an error that names Store", what, err)
		}
	}
	s, err := NewServer(ServerConfig{Store: structStore{newMemory(t, session.MemoryConfig{})}, Keyring: ring(t, secret(1))})
	if err != nil {
		t.Fatalf("a Store that is a struct: %v", err)
	}
	s.Close()
}

func TestErrorsOfServersSayFromWhatToWhat(t *testing.T) {
	for _, tt := range []struct {
		cfg  ServerConfig
		want string
	}{
		{ServerConfig{TTL: -1}, "TTL is -1ns; want from 1ns to 168h0m0s, or 0 for 24h0m0s"},
		{ServerConfig{TTL: session.MaxTTL + 1}, "TTL is 168h0m0.000000001s; want from 1ns to 168h0m0s, or 0 for 24h0m0s"},
		{ServerConfig{MaxAuthAge: -time.Second}, "MaxAuthAge is -1s; want at least 1ns, or 0 for 168h0m0s"},
		{ServerConfig{Budget: -1}, "Budget is -1ns; want at least 1ns, or 0 for 5ms"},
		{ServerConfig{MaxInFlight: -3}, "MaxInFlight is -3; want at least 1, or 0 for 256"},
	} {
		if _, err := NewServer(tt.cfg); err == nil || err.Error() != "tlscache: "+tt.want {
			t.Errorf("NewServer: %v; want %q", err, tt.want)
		}
	}
	err := newServer(t, ServerConfig{}).Install(nil)
	if err == nil || !strings.Contains(err.Error(), "http.Server.TLSConfig") {
		t.Errorf("Install(nil): %v; want it to say what to set", err)
	}
}

// A revocation inside a full handshake holds, whatever becomes of the secrets meanwhile: its session is
// stored under a secret that was unknown when its principal was revoked.
func TestSecretsReplacedInsideAHandshakeDoNotEndARevocation(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		versions(t, func(t *testing.T, version uint16) {
			cfg.Keyring = ring(t, secret(1))
			w := newWorld(t, cfg)
			mutual(w.ca)(w.server)
			cert := w.ca.issue(t)
			first := true
			w.server.VerifyConnection = func(tls.ConnectionState) error {
				if !first {
					return nil
				}
				first = false
				if err := w.RevokePrincipal(t.Context(), principalOf(t, cert)); err != nil {
					t.Error(err)
				}
				return cfg.Keyring.Replace(secret(2))
			}
			client := w.mtls(version, cert)
			w.want("a handshake with a revocation inside", client, false)
			w.want("its session", client, false)
			w.want("one from after it", client, true)
		})
	})
}

// The other process knows the former secret alone, so its watermark has no name under the new one.
func TestARevocationElsewhereReachesAHandshakeInWhichSecretsAreReplaced(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p := newPair(t, ring(t, secret(1)), ring(t, secret(1)))
		first := true
		p.server.VerifyConnection = func(tls.ConnectionState) error {
			if !first {
				return nil
			}
			first = false
			if err := p.other.RevokePrincipal(t.Context(), "somebody"); err != nil {
				t.Error(err)
			}
			return p.keyring.Replace(secret(2))
		}
		client := p.client(version)
		p.want("a handshake with a revocation inside", client, false)
		p.want("its session", client, false)
		p.want("one from after it", client, true)
	})
}

// A resumed handshake shows no certificate, so what GetCertificate returns by now is no part of it; what
// the Config itself shows is part of the scope, as far as names and root go.
func TestSessionsAndTheServersOwnRenewedCertificate(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		leaf := w.server.Certificates[0]
		w.server = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &leaf, nil }}
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
		client := w.client(version)
		w.want("first", client, false)
		leaf = w.ca.issue(t, host)
		w.want("GetCertificate has a renewed one", client, true)
		if err := w.RevokeServerName(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		w.want("after its key was lost and its sessions were revoked", client, false)

		w.server = &tls.Config{Certificates: []tls.Certificate{leaf}}
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
		client = w.client(version)
		w.want("first", client, false)
		w.server.Certificates[0] = w.ca.issue(t, host)
		w.want("Certificates has a renewed one", client, true)
		w.server.Certificates[0] = w.ca.issue(t, host, "other.example")
		w.want("Certificates has one of other names", client, false)
	})
}

// A certificate that is over does not end sessions by itself: a client that checks does not offer them.
func TestSessionsOfAServerWhoseCertificateIsOver(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		later := func() time.Time { return w.server.Certificates[0].Leaf.NotAfter.Add(time.Hour) }
		checks := w.client(version)
		w.want("first", checks, false)
		checks.Time = later
		if _, _, err := connect(w.server, checks); err == nil {
			t.Error("a client that checks connects to a server whose certificate is over")
		}
		if st := w.Stats(); st.Offered != 0 {
			t.Errorf("it offered %d tickets; want none", st.Offered)
		}
	})
}

func TestClientsThatDoNotCheckResumeThoughTheCertificateIsOver(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		key, over := newKey(t), template("over")
		over.NotAfter = over.NotBefore.Add(time.Minute) // an hour ago
		der, err := x509.CreateCertificate(rand.Reader, over, w.ca.cert, key.Public(), w.ca.key)
		if err != nil {
			t.Fatal(err)
		}
		w.server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
		client := w.client(version, func(cfg *tls.Config) {
			cfg.InsecureSkipVerify = true
			cfg.Time = func() time.Time { return over.NotBefore } // Go's client checks that much whatever it is told
		})
		w.want("first, which it does not check either", client, false)
		w.want("second", client, true)
	})
}
