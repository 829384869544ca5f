package tlscache

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A fleet on one Store gets a new certificate, one process after the other. Its clients come to any of them meanwhile.
func TestARollingRenewalCostsNoResumption(t *testing.T) {
	const processes, clients = 4, 25
	for name, scope := range map[string]string{"unnamed": "", "named": "front"} {
		for _, kind := range storeKinds {
			t.Run(name+", "+kind, func(t *testing.T) {
				versions(t, func(t *testing.T, version uint16) {
					ca := newAuthority(t, "authority")
					cfg := kept(t, kind, ServerConfig{Scope: scope})
					if kind == "memory" { // processes cannot share a memory, but these can
						cfg.Store, cfg.Keyring = newMemory(t, session.MemoryConfig{}), ring(t, secret(1))
					}
					var fleet [processes]*tls.Config
					former := ca.issue(t, host)
					for i := range fleet {
						fleet[i] = &tls.Config{Certificates: []tls.Certificate{former}}
						if err := newServer(t, cfg).Install(fleet[i]); err != nil {
							t.Fatal(err)
						}
					}
					var all [clients]*tls.Config
					for i := range all {
						all[i] = &tls.Config{RootCAs: ca.pool(), ServerName: host, MinVersion: version, MaxVersion: version,
							ClientSessionCache: tls.NewLRUClientSessionCache(8)}
						resumes(t, fleet[0], all[i])
					}
					renewed, resumed, visits := ca.issue(t, host), 0, 0
					for _, cfg := range fleet {
						cfg.Certificates = []tls.Certificate{renewed}
						for i := range all {
							visits++
							if resumes(t, fleet[i%processes], all[i]) {
								resumed++
							}
						}
					}
					if resumed != visits {
						t.Errorf("%d of %d visits resumed; want all", resumed, visits)
					}
				})
			})
		}
	}
}

// net/http adds the certificate to a clone of the Config, after Install.
func TestServersOfOneConfigShareSessionsIfTheirCertificatesAreOneServers(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		cfg := new(tls.Config)
		if err := w.Install(cfg); err != nil {
			t.Fatal(err)
		}
		start := func(c tls.Certificate) (addr string) {
			certFile, keyFile := writeFiles(t, c)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server, done := &http.Server{TLSConfig: cfg, Handler: http.NotFoundHandler()}, make(chan error, 1)
			server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // or each adds HTTP/2 to the Config that they share
			go func() { done <- server.ServeTLS(l, certFile, keyFile) }()
			t.Cleanup(func() {
				server.Close()
				if err := <-done; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
			return l.Addr().String()
		}
		former, renewed, other := start(w.ca.issue(t, host)), start(w.ca.issue(t, host)), start(w.ca.issue(t, host, "other.example"))
		client := w.client(version)
		for i, tt := range []struct {
			addr string
			want bool
		}{{former, false}, {renewed, true}, {former, true}, {other, false}, {other, true}, {former, false}} {
			if _, resumed := get(t, tt.addr, client); resumed != tt.want {
				t.Errorf("visit %d: resumed = %v; want %v", i, resumed, tt.want)
			}
		}
	})
}

// What the user names is what the user answers for, whatever the certificate.
func TestANamedScopeStandsForTheServersCertificate(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{Scope: "front"})
		client := w.client(version)
		w.want("first", client, false)
		w.server.Certificates = []tls.Certificate{newAuthority(t, "another root").issue(t, host)}
		w.want("with a certificate of another root", client, true)
		w.server.Certificates = []tls.Certificate{w.ca.issue(t, host)}
		w.server.ClientAuth = tls.RequestClientCert
		w.want("with other client authentication", client, false)
	})
	alice, bob := newAuthority(t, "users").issue(t, "user"), newAuthority(t, "users").issue(t, "user")
	if clientScope("x", &tls.Config{Certificates: []tls.Certificate{alice}}, false) == clientScope("x", &tls.Config{Certificates: []tls.Certificate{bob}}, false) {
		t.Error("two clients' certificates have one named scope; a session speaks for the certificate that it was made with")
	}
}

// A chain may be changed in place: no snapshot must take it for the former one.
func TestAChangedChainIsNoticed(t *testing.T) {
	s, ca := newServer(t, ServerConfig{}), newAuthority(t, "authority")
	one := ca.intermediate(t)
	cert := one.issue(t, host)
	cert.Certificate = append(cert.Certificate, one.der)
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	scopes := map[[32]byte]bool{}
	for _, above := range [][]byte{one.der, ca.intermediate(t).der, one.der} {
		cfg.Certificates[0].Certificate[1] = above
		sc, err := s.scopeOf(nil, cfg)
		if err != nil {
			t.Fatal(err)
		}
		scopes[sc.scope] = true
	}
	if len(scopes) != 2 {
		t.Errorf("%d scopes; want 2: of the chain to its root, and of one that ends with the certificate", len(scopes))
	}
}

// A handler keeps what is logged.
type handler struct {
	slog.Handler
	mu    sync.Mutex
	text  strings.Builder
	lines chan string
}

func newHandler() *handler {
	h := &handler{lines: make(chan string, 1024)}
	h.Handler = slog.NewTextHandler(h, nil)
	return h
}

func (h *handler) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(p)
	h.lines <- string(p)
	return len(p), nil
}

func (h *handler) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func TestAChangeOfScopeIsCountedAndLogged(t *testing.T) {
	h := newHandler()
	w := newWorld(t, ServerConfig{Logger: slog.New(h)})
	client := w.client(tls.VersionTLS13)
	w.want("first", client, false)
	w.server.Certificates = []tls.Certificate{w.ca.issue(t, host, "other.example")}
	w.want("renewed", client, true)
	if got := w.Stats().ScopeChanges; got != 0 {
		t.Fatalf("ScopeChanges = %d after a renewal; want 0", got)
	}
	former := w.server.Certificates
	w.server.Certificates = []tls.Certificate{w.ca.issue(t, host)}
	w.want("other names", client, false)
	line := <-h.lines
	if got := w.Stats().ScopeChanges; got != 1 || !strings.Contains(line, "another scope") || !strings.Contains(line, "changes=1") {
		t.Errorf("ScopeChanges = %d, logged %q; want 1 and a line that says so", got, line)
	}
	w.server.Certificates = former
	w.want("the former again", client, false)
	if got := w.Stats().ScopeChanges; got != 1 {
		t.Errorf("ScopeChanges = %d; want 1, for that scope is known", got)
	}
	w.server.MinVersion = tls.VersionTLS13
	w.want("within the minute", client, false)
	if got := w.Stats().ScopeChanges; got != 2 || len(h.lines) > 0 {
		t.Errorf("ScopeChanges = %d, %d more lines; want 2, and one line a minute", got, len(h.lines))
	}
	if all := h.all(); strings.Contains(all, host) || strings.Contains(all, "example") {
		t.Errorf("a name is logged: %s", all)
	}
}

func TestSeenScopesAreBounded(t *testing.T) {
	var s seenScopes
	for i := range 3 * maxSeenScopes {
		changes, say := s.note([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}, 1+int64(i)*int64(time.Millisecond))
		if changes != uint64(i) || say != (i > 0 && (i-1)%(int(scopeLines/time.Millisecond)) == 0) {
			t.Fatalf("scope %d: %d changes, said = %v", i, changes, say)
		}
		if len(s.mu.of) > maxSeenScopes {
			t.Fatalf("%d scopes are kept; want %d at most", len(s.mu.of), maxSeenScopes)
		}
	}
}

// A Logger that hangs stops nothing but itself.
func TestALoggerThatHangsDelaysNoHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hangs := make(chan struct{})
		l := lines{logger: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) { <-hangs; return len(p), nil }), nil))}
		begin := time.Now()
		for range 10 * maxLines {
			l.say(slog.LevelInfo, "x")
		}
		l.mu.Lock()
		waiting := len(l.mu.waiting)
		l.mu.Unlock()
		if waiting > maxLines || time.Since(begin) > 0 {
			t.Errorf("%d lines wait, after %v; want %d at most, at once", waiting, time.Since(begin), maxLines)
		}
		close(hangs)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A handler that panics is the user's bug, and costs a line.
func TestALoggerThatPanicsCostsALine(t *testing.T) {
	done := make(chan struct{}, 2)
	panics := true
	l := lines{logger: slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		done <- struct{}{}
		if panics {
			panics = false
			panic("a bug of the user's")
		}
		return len(p), nil
	}), nil))}
	for range 2 {
		l.say(slog.LevelInfo, "x")
	}
	<-done
	<-done
}

// goldenCertificate returns the same certificate in every process.
func goldenCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	issuer := &x509.Certificate{SubjectKeyId: []byte{1, 2, 3}}
	issuer.Subject.CommonName = "issuer"
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: at, NotAfter: at, DNSNames: []string{"b.example", "a.example"}}
	tmpl.Subject.CommonName = "leaf"
	der, err := x509.CreateCertificate(nil, tmpl, issuer, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}}
}

// Processes of a fleet compute it by themselves.
func TestGoldenIdentity(t *testing.T) {
	const want = "dafdbc1e2543d6a7c28d63be1e5040b124c0f1969ffbbd503859532424ec5413"
	c := goldenCertificate(t)
	sum := identityOf(&c)
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the identity is %s; want %s", got, want)
	}
}

func TestALeafThatTheUserMixedUpIsNotBelieved(t *testing.T) {
	ca := newAuthority(t, "authority")
	one, two := ca.issue(t, host), ca.issue(t, "other.example")
	want := identityOf(&two)
	two.Leaf = one.Leaf
	if identityOf(&two) != want {
		t.Error("a certificate has the identity of the Leaf that stands beside it")
	}
}

// BenchmarkIdentity is what a scope costs that is not cached, for a chain of two.
func BenchmarkIdentity(b *testing.B) {
	between := newAuthority(b, "root").intermediate(b)
	c := between.issue(b, host)
	c.Certificate = append(c.Certificate, between.der)
	for b.Loop() {
		if identityOf(&c) == ([32]byte{}) {
			b.Fatal("no identity")
		}
	}
}
