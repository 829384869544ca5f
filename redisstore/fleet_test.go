package redisstore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache"
)

const host = "host.example"

// identity returns a certificate that signs itself, for a server and a client alike.
func identity(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// A member is one server of a fleet.
type member struct {
	*tlscache.Server
	cfg *tls.Config
}

// fleet returns members that have nothing in common but a secret and what is on the server, with single use: there is
// then no ticket that could be opened without the Store.
func fleet(t testing.TB, n int, cfg Config, version uint16, cert tls.Certificate, pool *x509.CertPool) (all []member) {
	t.Helper()
	secret := tlscache.NewSecret(1)
	for range n {
		ring, err := tlscache.NewKeyring(secret)
		if err != nil {
			t.Fatal(err)
		}
		server, err := tlscache.NewServer(tlscache.ServerConfig{
			Store: open(t, cfg), Keyring: ring, SingleUse: true, Budget: time.Minute, // a busy machine is no fault
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		c := &tls.Config{
			Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
			MinVersion: version, MaxVersion: version,
		}
		if err := server.Install(c); err != nil {
			t.Fatal(err)
		}
		all = append(all, member{server, c})
	}
	return all
}

// resumes makes a handshake and reports whether it resumed a session.
func resumes(t testing.TB, at member, client *tls.Config) bool {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, at.cfg)
	done := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("x"))
		done <- err
	}()
	c := tls.Client(b, client)
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatalf("client: %v", err)
	}
	if err := <-done; err != nil {
		t.Fatalf("server: %v", err)
	}
	return c.ConnectionState().DidResume
}

func TestSessionsOfOneServerResumeAtAnother(t *testing.T) {
	cert, pool := identity(t)
	for _, k := range kinds {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(k.name+" "+tls.VersionName(version), func(t *testing.T) {
				cfg := standalone(t, k)
				cfg.Prefix = fmt.Sprintf("fleet%d:", prefixes.Add(1))
				all := fleet(t, 2, cfg, version, cert, pool)
				client := &tls.Config{
					RootCAs: pool, ServerName: host, Certificates: []tls.Certificate{cert}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
				}
				for i, want := range []bool{false, true, true, true} {
					if got := resumes(t, all[i%2], client); got != want {
						t.Errorf("handshake %d, at the other server, resumes: %v; want %v", i, got, want)
					}
				}
				hidden(t, cfg)
				if err := all[0].RevokePrincipal(t.Context(), tlscache.PrincipalOf(cert.Leaf)); err != nil {
					t.Fatal(err)
				}
				if resumes(t, all[1], client) {
					t.Errorf("a session resumes at a server after another has revoked its principal")
				}
				if got := all[1].Stats().Misses[tlscache.MissRevoked]; got != 1 {
					t.Errorf("%d misses because of a revocation; want 1", got)
				}
			})
		}
	}
}

// hidden checks that nothing on the server names the host, or has a client's certificate in it.
func hidden(t testing.TB, cfg Config) {
	t.Helper()
	n := 0
	for e, err := range open(t, cfg).All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		for _, text := range []string{e.Key.Partial, e.Key.ID, string(e.Session)} {
			if strings.Contains(text, host) || bytes.Contains([]byte(text), []byte(host[:4])) {
				t.Errorf("a key or a session on the server has the host's name in it")
			}
		}
	}
	if n == 0 {
		t.Error("there is no session on the server: the Store is not in use")
	}
}
