package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache"
)

const host = "host.example"

// A world is a certificate that is its own authority, for servers and clients, and the files that
// other programs read it from.
type world struct {
	t                 *testing.T
	cert              tls.Certificate
	pool              *x509.CertPool
	certFile, keyFile string
	server            *tlscache.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template(), template(), key.Public(), key)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	w := &world{t: t, cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool: x509.NewCertPool()}
	w.pool.AddCert(leaf)
	w.certFile, w.keyFile = w.write("CERTIFICATE", der), w.write("PRIVATE KEY", keyDER)
	w.server, err = tlscache.NewServer(tlscache.ServerConfig{})
	check(t, err)
	t.Cleanup(func() { check(t, w.server.Close()) })
	return w
}

func template() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a PEM file and returns its name.
func (w *world) write(kind string, der []byte) string {
	name := filepath.Join(w.t.TempDir(), "file.pem")
	check(w.t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return name
}

// config returns a server's configuration with the Server's hooks.
func (w *world) config(mutual bool) *tls.Config {
	w.t.Helper()
	cfg := &tls.Config{Certificates: []tls.Certificate{w.cert}}
	if mutual {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, w.pool
	}
	check(w.t, w.server.Install(cfg))
	return cfg
}

// client returns the configuration of a client of one version.
func (w *world) client(version uint16) *tls.Config {
	return &tls.Config{RootCAs: w.pool, ServerName: host, MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(8)}
}

// listen returns a listener on loopback that the test's end closes.
func (w *world) listen() net.Listener {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	return l
}

// versions are those that a client can be told to speak.
var versions = map[string]uint16{"tls1_2": tls.VersionTLS12, "tls1_3": tls.VersionTLS13}

// run runs a program and returns what it prints. It has no input.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
