package tlscache

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// longChain returns a leaf with two intermediates of RSA keys, 4 KB or more with the state
// around them, and the roots.
func longChain(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	issue := func(name string, parent *x509.Certificate, signer *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := template(name)
		tmpl.IsCA, tmpl.BasicConstraintsValid = name != testName, true
		tmpl.DNSNames = []string{testName}
		if name == testName { // as a certificate for a site and its aliases has
			for c := range byte(60) {
				tmpl.DNSNames = append(tmpl.DNSNames, string('a'+c%26)+".alias-of-the-site."+testName)
			}
		}
		if parent == nil {
			parent, signer = tmpl, key
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	root, rootKey := issue("root", nil, nil)
	upper, upperKey := issue("upper", root, rootKey)
	lower, lowerKey := issue("lower", upper, upperKey)
	leaf, leafKey := issue(testName, lower, lowerKey)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, lower.Raw, upper.Raw}, PrivateKey: leafKey}, roots
}

// onlyOne is the least that a tls.ClientSessionCache can do.
type onlyOne struct{ cs *tls.ClientSessionState }

func (o *onlyOne) Get(string) (*tls.ClientSessionState, bool) { return o.cs, o.cs != nil }

func (o *onlyOne) Put(_ string, cs *tls.ClientSessionState) { o.cs = cs }

// resumer does resumed handshakes in memory, with no cost but crypto/tls's own.
type resumer struct {
	server, client *tls.Config
	cache          onlyOne
}

func newResumer(t testing.TB) *resumer {
	cert, roots := longChain(t)
	r := &resumer{server: &tls.Config{Certificates: []tls.Certificate{cert}}}
	r.client = &tls.Config{RootCAs: roots, ServerName: testName, ClientSessionCache: &r.cache}
	r.handshake(t)
	if !r.handshake(t) {
		t.Fatal("does not resume")
	}
	return r
}

func (r *resumer) handshake(t testing.TB) (resumed bool) {
	a, b := memPipe()
	defer a.Close()
	done := make(chan error, 1)
	go func() {
		server := tls.Server(b, r.server)
		_, err := server.Write([]byte{'!'})
		done <- err
	}()
	client := tls.Client(a, r.client)
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().DidResume
}

// clientWork is what a Client adds to a resumed handshake, and to a full one. The ticket that comes on a resumed
// connection has the certificates of the one that was offered, as crypto/tls passes them on.
func clientWork(t testing.TB, r *resumer) (resumed, full func()) {
	c := newTestClient(t, ClientConfig{})
	cfg := &tls.Config{ServerName: testName}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	cache := cfg.ClientSessionCache
	cache.Put(testName, r.cache.cs)
	visit := func(didResume bool) func() {
		cs := tls.ConnectionState{ServerName: testName, DidResume: didResume}
		return func() {
			next, ok := cache.Get(testName)
			if !ok {
				t.Fatal("no ticket")
			}
			if err := cfg.VerifyConnection(cs); err != nil {
				t.Fatal(err)
			}
			if !didResume {
				next = r.cache.cs
			}
			cache.Put(testName, next)
		}
	}
	return visit(true), visit(false)
}

// BenchmarkClient compares the work of a Client per connection with the resumed handshake
// that it is part of, both sides of it, for a leaf and two intermediates. After a full handshake, which takes longer
// than a resumed one, the certificates are new.
func BenchmarkClient(b *testing.B) {
	r := newResumer(b)
	b.Run("resumed-handshake", func(b *testing.B) {
		for b.Loop() {
			if !r.handshake(b) {
				b.Fatal("does not resume")
			}
		}
	})
	resumed, full := clientWork(b, r)
	for _, work := range []struct {
		handshake string
		do        func()
	}{{"resumed", resumed}, {"full", full}} {
		b.Run("Get-Verify-Put/handshake="+work.handshake, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				work.do()
			}
		})
	}
}

// BenchmarkFacts compares the two ways to learn the deadline of a session with a long chain.
func BenchmarkFacts(b *testing.B) {
	r := newResumer(b)
	_, state, err := r.cache.cs.ResumptionState()
	if err != nil {
		b.Fatal(err)
	}
	want, ok := tlsstate.FactsOf(state)
	if !ok || tlsstate.FieldsOf(state) == nil {
		b.Fatal("the fields are not read")
	}
	b.Run("by=fields", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got, _ := tlsstate.FactsOf(state); got.UseBy != want.UseBy {
				b.Fatal("other facts")
			}
		}
	})
	b.Run("by=Bytes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			encoded, err := state.Bytes()
			if err != nil {
				b.Fatal(err)
			}
			if got, _ := tlsstate.DecodeFacts(encoded); got.UseBy != want.UseBy {
				b.Fatal("other facts")
			}
		}
	})
}

func TestAClientCostsLittleBesideAHandshake(t *testing.T) {
	r := newResumer(t)
	_, state, err := r.cache.cs.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	if encoded, err := state.Bytes(); err != nil || len(encoded) < 4<<10 {
		t.Fatalf("the state has %d bytes, error %v; want 4 KB or more", len(encoded), err)
	}
	work, _ := clientWork(t, r)
	// The quickest of several, each of some milliseconds: the machine has other things to do.
	handshake, ours := time.Hour, time.Hour
	for range 20 {
		handshake = min(handshake, timed(10, func() { r.handshake(t) }))
		ours = min(ours, timed(1000, work))
	}
	share := 100 * float64(ours) / float64(handshake)
	t.Logf("a Client takes %v of a resumed handshake's %v, %.2f %%", ours, handshake, share)
	if share > 2 && !raced {
		t.Errorf("a Client takes %.2f %% of a resumed handshake; want at most 2", share)
	}
}

// timed returns what one of n calls takes.
func timed(n int, f func()) time.Duration {
	begin := time.Now()
	for range n {
		f()
	}
	return time.Since(begin) / time.Duration(n)
}
