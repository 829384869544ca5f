package tlscache

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"runtime"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

// withExtension returns a self-signed certificate with an extension of some size.
func withExtension(t testing.TB, size int) tls.Certificate {
	t.Helper()
	key, tmpl := newKey(t), template("client")
	tmpl.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, size)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// withChain returns a self-signed certificate and n more of the client's own making behind it.
func withChain(t testing.TB, n int) tls.Certificate {
	t.Helper()
	cert := withExtension(t, 0)
	for range n {
		cert.Certificate = append(cert.Certificate, withExtension(t, 0).Certificate[0])
	}
	return cert
}

// anyClient makes a server's configuration ask for certificates that it does not verify.
func anyClient(cfg *tls.Config) { cfg.ClientAuth = tls.RequestClientCert }

func showing(cert tls.Certificate) func(*tls.Config) {
	return func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{cert} }
}

// heapNow returns the bytes that are in use.
func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // cleanups of the first
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestHugeClientChainsTakeNoMemory(t *testing.T) {
	visits := 200
	if raced {
		visits = 20
	}
	for _, kind := range []struct {
		name string
		cert func() tls.Certificate
	}{
		{"60 KB of extension", func() tls.Certificate { return withExtension(t, 60_000) }},
		{"201 certificates", func() tls.Certificate { return withChain(t, 200) }},
	} {
		for _, bounds := range []session.MemoryConfig{{}, {MaxBytes: 1 << 20, MaxSessionSize: 4 << 10}} {
			t.Run(kind.name, func(t *testing.T) {
				versions(t, func(t *testing.T, version uint16) {
					memory := newMemory(t, bounds)
					w := newWorld(t, ServerConfig{Store: memory}, anyClient)
					client := w.client(version, showing(kind.cert()))
					w.want("first visit", client, false)
					before := heapNow()
					for range visits {
						if w.resumes(client) {
							t.Fatal("a session resumed that is too large to be kept")
						}
					}
					st, held := memory.Stats(), heapNow()-before
					if st.Sessions != 0 || st.Weight != 0 {
						t.Errorf("%d sessions of %d bytes are stored; want none", st.Sessions, st.Weight)
					}
					if held > 1<<20 {
						t.Errorf("%d handshakes left %d bytes; want about none", visits, held)
					}
					if got := w.Stats().TooLarge; got != uint64(visits)+1 {
						t.Errorf("Stats().TooLarge = %d; want %d", got, visits+1)
					}
				})
			})
		}
	}
}
