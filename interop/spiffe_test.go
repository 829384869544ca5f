package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/sessioncache/sessioncache/tlscache"
)

// A trustDomain issues SVIDs.
type trustDomain struct {
	t      *testing.T
	domain spiffeid.TrustDomain
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newTrustDomain(t *testing.T, name string) *trustDomain {
	t.Helper()
	d := &trustDomain{t: t, domain: spiffeid.RequireTrustDomainFromString(name)}
	tmpl := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"SPIRE"}}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{d.domain.ID().URL()},
	}
	d.cert, d.key = d.sign(tmpl, tmpl, nil)
	return d
}

// sign returns a certificate with a new key.
func (d *trustDomain) sign(tmpl, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(d.t, err)
	if by == nil {
		by = key
	}
	d.serial++
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = big.NewInt(d.serial), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), by)
	check(d.t, err)
	cert, err := x509.ParseCertificate(der)
	check(d.t, err)
	return cert, key
}

func (d *trustDomain) bundle() *x509bundle.Bundle {
	return x509bundle.FromX509Authorities(d.domain, []*x509.Certificate{d.cert})
}

// A workload is a source of SVIDs, as the Workload API is.
type workload struct {
	of   *trustDomain
	path string
	svid atomic.Pointer[x509svid.SVID]
}

func (d *trustDomain) workload(path string) *workload {
	w := &workload{of: d, path: path}
	w.renew()
	return w
}

// renew gives the workload another certificate and key, as it gets every hour.
func (w *workload) renew() {
	id := spiffeid.RequireFromPath(w.of.domain, w.path)
	cert, key := w.of.sign(&x509.Certificate{
		URIs: []*url.URL{id.URL()}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, w.of.cert, w.of.key)
	w.svid.Store(&x509svid.SVID{ID: id, Certificates: []*x509.Certificate{cert}, PrivateKey: key})
}

func (w *workload) GetX509SVID() (*x509svid.SVID, error) { return w.svid.Load(), nil }

// A spiffeWorld is a server and a client with the Configs that go-spiffe makes, and with what this module makes of them.
type spiffeWorld struct {
	t                *testing.T
	ours, theirs     *trustDomain // of the server and of the client
	server, client   *workload
	ofServer         *x509bundle.Set // whom it trusts
	ofClient         *x509bundle.Set
	sessions         *tlscache.Server
	tickets          *tlscache.Client
	addr             string
	serverCfg, dials *tls.Config
	seen             chan tls.ConnectionState // of the server's side
}

func newSPIFFEWorld(t *testing.T, version uint16) *spiffeWorld {
	t.Helper()
	w := &spiffeWorld{t: t, ours: newTrustDomain(t, "ours.test"), theirs: newTrustDomain(t, "theirs.test"), seen: make(chan tls.ConnectionState, 1)}
	w.server, w.client = w.ours.workload("/server"), w.theirs.workload("/client")
	w.ofServer, w.ofClient = x509bundle.NewSet(w.ours.bundle(), w.theirs.bundle()), x509bundle.NewSet(w.ours.bundle(), w.theirs.bundle())
	w.serverCfg = tlsconfig.MTLSServerConfig(w.server, w.ofServer, tlsconfig.AuthorizeAny())
	w.dials = tlsconfig.MTLSClientConfig(w.client, w.ofClient, tlsconfig.AuthorizeID(spiffeid.RequireFromPath(w.ours.domain, "/server")))
	w.dials.MaxVersion = version

	var err error
	w.sessions, err = tlscache.NewServer(tlscache.ServerConfig{VerifyPeerOnResume: true})
	check(t, err)
	check(t, w.sessions.Install(w.serverCfg))
	w.tickets, err = tlscache.NewClient(tlscache.ClientConfig{VerifyPeerOnResume: true})
	check(t, err)
	check(t, w.tickets.Install(w.dials))
	w.serve()
	t.Cleanup(func() {
		check(t, w.sessions.Close())
		check(t, w.tickets.Close())
	})
	return w
}

// serve greets each client with a byte, with which its ticket comes.
func (w *spiffeWorld) serve() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(w.t, err)
	w.addr = l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(raw, w.serverCfg)
			_, _ = conn.Write([]byte{'!'})
			w.seen <- conn.ConnectionState()
			conn.Close()
		}
	}()
	w.t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// visit reports whether a connection was made, and whether it resumed.
func (w *spiffeWorld) visit() (resumed bool, err error) {
	conn, err := tls.Dial("tcp", w.addr, w.dials)
	if err == nil {
		defer conn.Close()
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	ofServer := <-w.seen
	return ofServer.DidResume, err
}

func (w *spiffeWorld) want(what string, resumed bool) {
	w.t.Helper()
	if got, err := w.visit(); err != nil || got != resumed {
		w.t.Errorf("%s: resumed = %v, %v; want %v (server %v, client %v)", what, got, err, resumed, w.sessions.Stats().Misses, w.tickets.Stats().Misses)
	}
}

func (w *spiffeWorld) wantRefused(what string) {
	w.t.Helper()
	if resumed, err := w.visit(); err == nil {
		w.t.Errorf("%s: a connection was made (resumed: %v); want none", what, resumed)
	}
}

// The hourly renewal of SVIDs, of either side, costs no resumption.
func TestSPIFFEResumesAcrossRenewals(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			w := newSPIFFEWorld(t, version)
			w.want("first", false)
			for range 3 {
				w.want("again", true)
				w.server.renew()
				w.want("after the server's renewal", true)
				w.client.renew()
				w.want("after the client's renewal", true)
			}
		})
	}
}

// A trust domain that is trusted no more resumes no more, on whichever side it is missing, and connects again once it is
// trusted again: by a full handshake.
func TestSPIFFEDoesNotResumeWithARevokedTrustDomain(t *testing.T) {
	for name, version := range versions {
		for side, revoke := range map[string]func(*spiffeWorld) (*x509bundle.Set, *x509bundle.Bundle){
			"by the server": func(w *spiffeWorld) (*x509bundle.Set, *x509bundle.Bundle) { return w.ofServer, w.theirs.bundle() },
			"by the client": func(w *spiffeWorld) (*x509bundle.Set, *x509bundle.Bundle) { return w.ofClient, w.ours.bundle() },
		} {
			t.Run(name+", "+side, func(t *testing.T) {
				w := newSPIFFEWorld(t, version)
				w.want("first", false)
				w.want("again", true)
				set, bundle := revoke(w)
				set.Remove(bundle.TrustDomain())
				for range 3 {
					w.wantRefused("revoked")
				}
				set.Add(bundle)
				w.want("trusted again", false)
				w.want("and again", true)
				if n := w.sessions.Stats().PeersRefused + w.tickets.Stats().PeersRefused; n != 1 {
					t.Errorf("%d resumptions were refused; want the first alone, and full handshakes after it", n)
				}
			})
		}
	}
}
