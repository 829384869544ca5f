package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

// A judge is a VerifyPeerCertificate whose mind changes, and which notes what it was given.
type judge struct {
	calls  int
	raw    [][]byte
	chains [][]*x509.Certificate

	refuses, panics bool
}

func (j *judge) verify(raw [][]byte, chains [][]*x509.Certificate) error {
	j.calls++
	j.raw, j.chains = raw, chains
	if j.panics {
		panic("a bug of the user's")
	}
	if j.refuses {
		return errPin
	}
	return nil
}

// storeKinds are where a server's sessions can be.
var storeKinds = []string{"memory", "remote", "fallback tickets", "stateless", "stateless, revocations in a Store"}

// kept sets up a Server whose sessions are in a place.
func kept(t testing.TB, kind string, cfg ServerConfig) ServerConfig {
	t.Helper()
	cfg.Stateless = strings.HasPrefix(kind, "stateless")
	switch kind {
	case "remote", "stateless, revocations in a Store":
		cfg.Store, cfg.Keyring, cfg.Budget = remote{newMemory(t, session.MemoryConfig{})}, ring(t, secret(1)), long
	case "stateless":
		cfg.Keyring = ring(t, secret(1))
	case "fallback tickets":
		down := newMemory(t, session.MemoryConfig{})
		down.Close()
		cfg.Store, cfg.Keyring = remote{down}, ring(t, secret(1))
	}
	return cfg
}

// everywhere runs a test with sessions in each place and version.
func everywhere(t *testing.T, f func(t *testing.T, kind string, version uint16)) {
	for _, kind := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) { f(t, kind, version) })
		})
	}
}

// insistent returns a client that offers its last session whatever became of it, as no client of crypto/tls does.
func (w *world) insistent(version uint16, certs ...tls.Certificate) *tls.Config {
	return w.client(version, func(cfg *tls.Config) {
		cfg.ClientSessionCache = new(lastSession)
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certs) == 0 {
				return new(tls.Certificate), nil
			}
			return &certs[0], nil
		}
	})
}

func TestAPeerIsVerifiedAgainOnResumptionAsInAFullHandshake(t *testing.T) {
	for name, auth := range map[string]tls.ClientAuthType{
		"request": tls.RequestClientCert, "require any": tls.RequireAnyClientCert,
		"verify if given": tls.VerifyClientCertIfGiven, "verify": tls.RequireAndVerifyClientCert,
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, kind string, version uint16) {
				j, clients := new(judge), newAuthority(t, "clients")
				w := newWorld(t, kept(t, kind, ServerConfig{VerifyPeerOnResume: true}), func(c *tls.Config) {
					c.ClientAuth, c.ClientCAs, c.VerifyPeerCertificate = auth, clients.pool(), j.verify
				})
				client := w.insistent(version, clients.issue(t))
				w.want("first", client, false)
				full := *j
				w.want("again", client, true)
				if j.calls != 2 || !reflect.DeepEqual(j.raw, full.raw) || len(j.raw) != 1 {
					t.Errorf("%d calls, the last with %d certificates; want 2 and the same certificate", j.calls, len(j.raw))
				}
				if verified := auth >= tls.VerifyClientCertIfGiven; len(j.chains) != len(full.chains) || (len(j.chains) == 1) != verified {
					t.Errorf("%d chains, %d in the full handshake; want them if verified, and that is %v", len(j.chains), len(full.chains), verified)
				}
			})
		})
	}
}

func TestARefusedPeerDoesNotResumeAndTheNextHandshakeIsFull(t *testing.T) {
	everywhere(t, func(t *testing.T, kind string, version uint16) {
		clients := newAuthority(t, "clients")
		for name, certs := range map[string][]tls.Certificate{"with a certificate": {clients.issue(t)}, "without": nil} {
			t.Run(name, func(t *testing.T) {
				j := new(judge)
				w := newWorld(t, kept(t, kind, ServerConfig{VerifyPeerOnResume: true}), func(c *tls.Config) {
					c.ClientAuth, c.VerifyPeerCertificate = tls.RequestClientCert, j.verify
				})
				client := w.insistent(version, certs...)
				w.want("first", client, false)
				w.want("again", client, true)
				old := client.ClientSessionCache.(*lastSession).state
				j.refuses = true
				if of, _, err := connect(w.server, client); !errors.Is(err, errPin) || !of.DidResume {
					t.Fatalf("resumed = %v, %v; want a resumption that is refused", of.DidResume, err)
				}
				if got := w.Stats().PeersRefused; got != 1 {
					t.Errorf("PeersRefused = %d; want 1", got)
				}
				j.refuses = false
				w.want("the ticket that came with the refusal", client, false)
				w.want("the next", client, true)
				client.ClientSessionCache = &lastSession{state: old}
				w.want("the ticket that was refused", client, false)
			})
		}
	})
}

// What panics has accepted nobody. The panic goes to the caller of the handshake, as in a full one.
func TestACheckThatPanicsEndsTheSession(t *testing.T) {
	ended := false
	j := &judge{panics: true}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = verifyPeerAgain(j.verify, tls.ConnectionState{}, func() { ended = true })
	}()
	if !ended {
		t.Error("the session goes on")
	}
}

// A client may hold several tickets, and a custom principal be that of several clients.
func TestARefusalEndsTheSessionsOfThePrincipal(t *testing.T) {
	everywhere(t, func(t *testing.T, kind string, version uint16) {
		j, cert := new(judge), newAuthority(t, "clients").issue(t)
		w := newWorld(t, kept(t, kind, ServerConfig{VerifyPeerOnResume: true}), func(c *tls.Config) {
			c.ClientAuth, c.VerifyPeerCertificate = tls.RequireAnyClientCert, j.verify
		})
		one, two, other := w.insistent(version, cert), w.insistent(version, cert), w.insistent(version, newAuthority(t, "others").issue(t))
		for _, c := range []*tls.Config{one, two, other} {
			w.want("first", c, false)
		}
		j.refuses = true
		if _, _, err := connect(w.server, one); err == nil {
			t.Fatal("the peer was not refused")
		}
		j.refuses = false
		w.want("another session of it", two, false)
		w.want("another client's", other, true)
	})
}

// Tickets of the hooks from before are no sessions of ours, and their clients must not escape the check either.
func TestPeersWithTicketsFromBeforeAreVerifiedAgain(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		j, cert := new(judge), newAuthority(t, "clients").issue(t)
		w := newWorld(t, ServerConfig{VerifyPeerOnResume: true}, func(c *tls.Config) {
			c.ClientAuth, c.VerifyPeerCertificate = tls.RequireAnyClientCert, j.verify
			c.WrapSession, c.UnwrapSession = c.EncryptTicket, c.DecryptTicket
		})
		stock := w.server.Clone()
		stock.GetConfigForClient, stock.WrapSession, stock.UnwrapSession = nil, nil, nil
		stock.SetSessionTicketKeys([][32]byte{{7}})
		w.server.SetSessionTicketKeys([][32]byte{{7}})
		client := w.insistent(version, cert)
		if _, _, err := connect(stock, client); err != nil {
			t.Fatal(err)
		}
		issued := client.ClientSessionCache.(*lastSession).state
		offer := func() (resumed bool, err error) {
			client.ClientSessionCache = &lastSession{state: issued}
			of, _, err := connect(w.server, client)
			return of.DidResume, err
		}
		if resumed, err := offer(); !resumed || err != nil || j.calls != 2 {
			t.Fatalf("resumed = %v, %v, after %d checks; want a ticket that is taken over and checked", resumed, err, j.calls)
		}
		past := w.server.Clone() // past the gate there is no check
		past.GetConfigForClient = nil
		client.ClientSessionCache = &lastSession{state: issued}
		if of, _, err := connect(past, client); of.DidResume || err != nil {
			t.Errorf("past the gate: resumed = %v, %v; want a full handshake", of.DidResume, err)
		}
		j.refuses = true
		if resumed, err := offer(); !resumed || err == nil {
			t.Errorf("resumed = %v, %v; want a refusal", resumed, err)
		}
		j.refuses = false
		if resumed, err := offer(); resumed || err != nil {
			t.Errorf("after the refusal: resumed = %v, %v; want a full handshake", resumed, err)
		}
	})
}

// crypto/tls calls nobody where no certificate is asked for, and neither do we.
func TestNoCheckRunsThatAFullHandshakeHasNot(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		j := &judge{refuses: true}
		w := newWorld(t, ServerConfig{VerifyPeerOnResume: true}, func(c *tls.Config) { c.VerifyPeerCertificate = j.verify })
		client := w.client(version)
		w.want("first", client, false)
		w.want("again", client, true)
		if j.calls > 0 {
			t.Errorf("%d calls where no certificate was asked for", j.calls)
		}
	})
}

func TestWithoutVerifyPeerOnResumeACheckStillNeedsAName(t *testing.T) {
	cfg := &tls.Config{ClientAuth: tls.RequestClientCert, VerifyPeerCertificate: new(judge).verify}
	err := newServer(t, ServerConfig{}).Install(cfg.Clone())
	if err == nil || !strings.Contains(err.Error(), "VerifyPeerOnResume") {
		t.Errorf("Install = %v; want an error that names the way out", err)
	}
	if err := newServer(t, ServerConfig{VerifyPeerOnResume: true}).Install(cfg); err != nil {
		t.Errorf("Install = %v with VerifyPeerOnResume; want none", err)
	}
	if s := (&tls.Config{VerifyPeerCertificate: new(judge).verify}); serverScope("", s, true) == serverScope("", &tls.Config{}, true) {
		t.Error("a session without a check has the scope of one with it")
	}
}

// verifyingClient returns a client's Config with a check of its own, and a Client that runs it again.
func verifyingClient(t *testing.T, p *peer, cfg ClientConfig, name string) (*Client, *tls.Config, *atomic.Bool) {
	t.Helper()
	cfg.VerifyPeerOnResume = true
	refuses := new(atomic.Bool)
	of := &tls.Config{ServerName: name, InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 || refuses.Load() {
			return errPin
		}
		return nil
	}}
	cfg.TLS = of.Clone()
	return newTestClient(t, cfg), of, refuses
}

func TestAClientVerifiesItsServerAgain(t *testing.T) {
	for name, cfg := range map[string]ClientConfig{
		"memory": {}, "single use": {SingleUse: true},
		"a Store": {Store: struct{ session.Indexed }{newMemory(t, session.MemoryConfig{})}, Keyring: ring(t, secret(1)), Budget: long},
	} {
		for _, serverName := range []string{testName, "127.0.0.1"} {
			t.Run(name+", "+serverName, func(t *testing.T) {
				versions(t, func(t *testing.T, version uint16) {
					p := startPeer(t, func(c *tls.Config) { c.MaxVersion = version })
					c, of, refuses := verifyingClient(t, p, cfg, serverName)
					if err := c.Install(of); err != nil {
						t.Fatal(err)
					}
					p.mustVisit(t, of, false)
					for range 2 { // that single use, too, has one
						p.mustVisit(t, of, true)
					}
					refuses.Store(true)
					if _, err := p.visit(of); !errors.Is(err, errPin) {
						t.Fatalf("visit = %v; want the refusal", err)
					}
					refuses.Store(false)
					p.mustVisit(t, of, false)
					p.mustVisit(t, of, true)
					if got := c.Stats().PeersRefused; got != 1 {
						t.Errorf("PeersRefused = %d; want 1", got)
					}
				})
			})
		}
	}
}

// The tickets of a refused server that were never offered are as good as the one that was.
func TestARefusalLeavesAClientNoTicketOfTheServer(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p := startPeer(t, func(c *tls.Config) { c.MaxVersion = version })
		c, _, refuses := verifyingClient(t, p, ClientConfig{}, testName)
		dial := func() (bool, error) {
			conn, err := c.DialTLSContext(t.Context(), "tcp", p.addr)
			if err != nil {
				return false, err
			}
			return readGreeting(conn)
		}
		for i := range 3 {
			if resumed, err := dial(); resumed != (i > 0) || err != nil {
				t.Fatalf("dial %d: resumed = %v, %v", i, resumed, err)
			}
		}
		refuses.Store(true)
		if _, err := dial(); !errors.Is(err, errPin) {
			t.Fatalf("dial = %v; want the refusal", err)
		}
		if n := c.Stats().Held; n != 0 {
			t.Errorf("%d tickets are held of a server that was refused", n)
		}
		refuses.Store(false)
		for i := range 2 {
			if resumed, err := dial(); resumed != (i > 0) || err != nil {
				t.Errorf("dial %d after the refusal: resumed = %v, %v", i, resumed, err)
			}
		}
	})
}

// A Config may be a server's as well. The Client does not check the server's clients, which may show no certificate.
func TestAClientDoesNotVerifyTheClientsOfAServer(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{Scope: "mesh"})
		both := w.server.Clone()
		both.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 {
				return errPin
			}
			return nil
		}
		if err := newTestClient(t, ClientConfig{VerifyPeerOnResume: true}).Install(both); err != nil {
			t.Fatal(err)
		}
		client := w.client(version)
		for i := range 2 {
			if got := resumes(t, both, client); got != (i > 0) {
				t.Errorf("handshake %d: resumed = %v; want %v", i, got, i > 0)
			}
		}
	})
}

// The key of a server without a name is an address, which crypto/tls does not tell where it verifies.
func TestARefusedServerWithoutANameHasNoTicketLeft(t *testing.T) {
	p := startPeer(t, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 })
	c, of, refuses := verifyingClient(t, p, ClientConfig{}, "127.0.0.1")
	if err := c.Install(of); err != nil {
		t.Fatal(err)
	}
	var open [3]*tls.Conn // at once, so that none offers another's ticket
	for i := range open {
		raw, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		if open[i] = tls.Client(raw, of); open[i].Handshake() != nil {
			t.Fatal("no handshake")
		}
	}
	for _, conn := range open {
		if _, err := readGreeting(conn); err != nil {
			t.Fatal(err)
		}
	}
	refuses.Store(true)
	if _, err := p.visit(of); !errors.Is(err, errPin) || c.Stats().Held != 0 {
		t.Errorf("visit = %v, %d tickets held; want the refusal and none", err, c.Stats().Held)
	}
}

// TLS 1.3 sends the next ticket before a peer is verified, and a client may have it before it hears of the refusal.
func TestTheTicketThatCameWithARefusalDoesNotResume(t *testing.T) {
	everywhere(t, func(t *testing.T, kind string, version uint16) {
		j := new(judge)
		w := newWorld(t, kept(t, kind, ServerConfig{VerifyPeerOnResume: true}), func(c *tls.Config) {
			c.ClientAuth, c.VerifyPeerCertificate = tls.RequestClientCert, j.verify
		})
		m := capture(t, w, w.client(version))
		first := w.wrapped(m)
		if w.unwrapped(first, m) == nil {
			t.Fatalf("the session does not resume: %v", w.misses())
		}
		next := w.wrapped(m.resumed())
		j.refuses = true
		if err := w.conn.VerifyConnection(m.resumed().cs); !errors.Is(err, errPin) {
			t.Fatalf("VerifyConnection = %v; want the refusal", err)
		}
		for what, ticket := range map[string][]byte{"that was refused": first, "that came with the refusal": next} {
			if w.unwrapped(ticket, m) != nil {
				t.Errorf("the ticket %s resumes", what)
			}
		}
		if w.misses()[MissRevoked] == 0 {
			t.Errorf("no miss is %q: %v", MissRevoked, w.misses())
		}
	})
}
