package tlscache

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// issueUntil is issue for a certificate that ends at a time of its own.
func (a *authority) issueUntil(t testing.TB, end time.Time, names ...string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	tmpl := template("leaf")
	tmpl.DNSNames, tmpl.NotBefore, tmpl.NotAfter = names, time.Now().AddDate(-1, 0, 0), end
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// startChanging runs a server whose certificate can be exchanged.
func startChanging(t testing.TB, version uint16, first func(*authority) tls.Certificate) (p *peer, set func(tls.Certificate)) {
	t.Helper()
	var now atomic.Pointer[tls.Certificate]
	p = startPeer(t, func(cfg *tls.Config) {
		cfg.MaxVersion = version
		cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return now.Load(), nil }
	})
	set = func(cert tls.Certificate) { now.Store(&cert) }
	set(first(p.roots))
	return p, set
}

// crypto/tls does not offer a ticket whose leaf has expired, verified or not. Such a server has no ticket to give,
// and is none whose tickets make handshakes fail: once its leaf is renewed, its tickets are taken at once.
func TestAnExpiredLeafIsNoTrouble(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p, set := startChanging(t, version, func(ca *authority) tls.Certificate {
			return ca.issueUntil(t, time.Now().Add(-time.Hour), testName)
		})
		cfg := func() *tls.Config {
			cfg := p.config()
			cfg.InsecureSkipVerify = true
			return cfg
		}
		dialer := newTestClient(t, ClientConfig{TLS: cfg(), DialContext: dialTo(func() string { return p.addr })})
		other := newTestClient(t, ClientConfig{})
		installed, viewed := cfg(), cfg()
		if err := other.Install(installed); err != nil {
			t.Fatal(err)
		}
		viewed.ClientSessionCache = other.View("test")
		all := func(want bool) {
			t.Helper()
			p.mustVisit(t, installed, want)
			p.mustVisit(t, viewed, want)
			wantDial(t, dialer, want)
		}
		for range 12 {
			all(false)
		}
		for _, c := range []*Client{dialer, other} {
			if st := c.Stats(); st.Offered != 0 || st.Failed != 0 || st.Held != 0 || st.Refused == 0 {
				t.Errorf("Stats = %+v; want nothing offered, failed or held", st)
			}
		}
		set(p.roots.issue(t, testName))
		all(false)
		all(true)
	})
}

// A ticket lives no longer than the certificates under which crypto/tls offers it.
func TestATicketEndsWithItsCertificates(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		for _, insecure := range []bool{false, true} {
			clock := new(clock.Fake)
			p, set := startChanging(t, version, func(ca *authority) tls.Certificate {
				return ca.issueUntil(t, time.Now().Add(2*time.Hour), testName)
			})
			c := newTestClient(t, ClientConfig{})
			clock.Under(&c.clock)
			cfg := shifted(p.config(), clock)
			cfg.InsecureSkipVerify = insecure
			if err := c.Install(cfg); err != nil {
				t.Fatal(err)
			}
			p.mustVisit(t, cfg, false)
			clock.Pass(time.Hour)
			p.mustVisit(t, cfg, true)
			clock.Pass(time.Hour)
			set(p.roots.issue(t, testName))
			p.mustVisit(t, cfg, false)
			p.mustVisit(t, cfg, true)
			if st := c.Stats(); st.Offered != 2 || st.Failed != 0 || st.Expired == 0 {
				t.Errorf("Stats = %+v; want 2 offered, none failed, and what was over expired", st)
			}
		}
	})
}

// Of the chains that were verified, one must be valid as a whole.
func TestCertificatesEndWithTheLongestChain(t *testing.T) {
	at := func(hours ...int) (chain []*x509.Certificate) {
		for _, h := range hours {
			chain = append(chain, &x509.Certificate{NotAfter: time.Unix(int64(h)*3600, 0)})
		}
		return chain
	}
	for _, tt := range []struct {
		leaf   int
		chains [][]*x509.Certificate
		want   uint64
	}{
		{5, nil, 5},
		{5, [][]*x509.Certificate{at(5, 9, 20)}, 5},
		{5, [][]*x509.Certificate{at(5, 2, 20)}, 2},
		{5, [][]*x509.Certificate{at(5, 2, 20), at(5, 9, 4)}, 4},
		{-5, nil, 0},
	} {
		peers := at(tt.leaf)
		h := &tlsstate.Holding{Peers: &peers, Chains: &tt.chains}
		if got := h.CertsUntil(); got != tt.want*3600 {
			t.Errorf("leaf until hour %d, chains %v: %d; want hour %d", tt.leaf, tt.chains, got, tt.want)
		}
	}
}

// A recorder is a cache of one ticket that counts what crypto/tls says.
type recorder struct {
	cs     *tls.ClientSessionState
	nils   int
	before int // of the nils, those that came before the connection had written anything
	conn   *countedWrites
}

func (r *recorder) Get(string) (*tls.ClientSessionState, bool) { return r.cs, r.cs != nil }

func (r *recorder) Put(_ string, cs *tls.ClientSessionState) {
	if cs != nil {
		r.cs = cs
		return
	}
	r.nils++
	if r.conn.n == 0 {
		r.before++
	}
}

type countedWrites struct {
	net.Conn
	n int
}

func (c *countedWrites) Write(b []byte) (int, error) {
	c.n++
	return c.Conn.Write(b)
}

// The causes of Put(nil) in crypto/tls, of Go 1.25 and 1.26 alike. A Client must tell those of the first kind, where no
// handshake has failed, from those of the second. If this fails with a new Go, read loadSession anew.
//
//	cause                                             TLS 1.2  TLS 1.3  a Client
//	the leaf has expired, by Config.Time              refused  refused  does not hand such a ticket out
//	no verified chain is valid, or ends in RootCAs    refused  refused  the same for its time; else excuse
//	useBy is over                                     -        refused  does not hand such a ticket out
//	another version, suite, name, no verified chain   silent   silent   a declined ticket
//	the handshake that offered it failed              failed   failed   a strike
func TestWhyCryptoTLSPutsNil(t *testing.T) {
	const none, refused, failed = 0, 1, 2
	day := 24 * time.Hour
	versions(t, func(t *testing.T, version uint16) {
		for _, tt := range []struct {
			name   string
			change func(p *peer, cfg *tls.Config)
			want   int
			fails  bool
			only13 bool
		}{
			{name: "nothing", change: func(*peer, *tls.Config) {}, want: none},
			{name: "expired leaf", change: func(_ *peer, cfg *tls.Config) {
				cfg.InsecureSkipVerify = true
				cfg.Time = func() time.Time { return time.Now().Add(3 * day) }
			}, want: refused},
			{name: "other roots", change: func(_ *peer, cfg *tls.Config) {
				cfg.RootCAs = newAuthority(t, "other CA").pool()
			}, want: refused, fails: true},
			{name: "use by", change: func(_ *peer, cfg *tls.Config) {
				cfg.Time = func() time.Time { return time.Now().Add(8 * day) }
				cfg.InsecureSkipVerify = true
			}, want: refused, only13: true},
			{name: "other version", change: func(p *peer, cfg *tls.Config) {
				if version == tls.VersionTLS13 {
					cfg.MaxVersion = tls.VersionTLS12
				} else {
					p.cfg.MaxVersion, cfg.MinVersion = tls.VersionTLS13, tls.VersionTLS13
				}
			}, want: none},
			{name: "other name", change: func(_ *peer, cfg *tls.Config) { cfg.ServerName = "b.test" }, want: none},
			{name: "declined", change: func(p *peer, _ *tls.Config) { p.restart(7) }, want: none},
			{name: "refused by VerifyConnection", change: func(_ *peer, cfg *tls.Config) {
				cfg.VerifyConnection = func(tls.ConnectionState) error { return errors.New("no") }
			}, want: failed, fails: true},
		} {
			if tt.only13 && version != tls.VersionTLS13 {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				p, _ := startChanging(t, version, func(ca *authority) tls.Certificate {
					end := time.Now().Add(2 * day)
					if tt.name == "use by" {
						end = time.Now().Add(90 * day)
					}
					return ca.issueUntil(t, end, testName, "b.test")
				})
				r, cfg := new(recorder), p.config()
				cfg.ClientSessionCache = r
				p.mustVisit(t, cfg, false)
				tt.change(p, cfg)
				raw, err := dialTo(func() string { return p.addr })(t.Context(), "tcp", p.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				r.conn = &countedWrites{Conn: raw}
				if err := tls.Client(r.conn, cfg).HandshakeContext(t.Context()); (err != nil) != tt.fails {
					t.Errorf("handshake: %v; want a failure: %v", err, tt.fails)
				}
				got := []int{r.nils, r.before}
				want := map[int][]int{none: {0, 0}, refused: {1, 1}, failed: {1, 0}}[tt.want]
				if !slices.Equal(got, want) {
					t.Errorf("Put(nil) and those before anything was written: %v; want %v", got, want)
				}
			})
		}
	})
}

// Where crypto/tls refuses a ticket for a reason that we cannot foresee, no handshake failed, so tickets go on being
// taken, and the one that is good is offered.
func TestATicketThatIsRefusedIsNoTrouble(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p, set := startChanging(t, version, func(ca *authority) tls.Certificate { return ca.issue(t, testName) })
		dialer := newTestClient(t, ClientConfig{TLS: p.config(), DialContext: dialTo(func() string { return p.addr })})
		installed := newTestClient(t, ClientConfig{})
		cfg := p.installed(t, installed)
		both := func(want bool) {
			t.Helper()
			p.mustVisit(t, cfg, want)
			wantDial(t, dialer, want)
		}
		both(false)
		both(true)
		for range 12 { // more than it takes for a server that breaks handshakes
			ca := newAuthority(t, "other CA")
			set(ca.issue(t, testName))
			cfg.RootCAs, dialer.dial.config.RootCAs = ca.pool(), ca.pool()
			both(false)
		}
		both(true)
		for name, c := range map[string]*Client{"Install": installed, "DialTLSContext": dialer} {
			if st := c.Stats(); st.Refused != 0 || st.Failed != 12 {
				t.Errorf("%s: %d tickets refused, %d failed; want 0, and the 12 that crypto/tls refused to send", name, st.Refused, st.Failed)
			}
		}
	})
}

// A failure is excused by the full handshake of its own connection alone.
func TestAFailureIsNotExcusedByAnotherConnection(t *testing.T) {
	tr, err := newTrouble()
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	fails := func(key string) {
		for range patience + 1 {
			tr.begin(key, true)
			tr.strike(key, false)
			tr.begin(key, false) // the next handshake, without a ticket
			if !tr.wasMiss(key) {
				t.Fatalf("%s: a handshake without a ticket is not known as one", key)
			}
			if tr.excuse(key) {
				t.Errorf("%s: excused", key)
			}
			if tr.refuses(key) {
				return
			}
		}
		t.Errorf("%s: tickets are taken after %d failures", key, patience+1)
	}
	fails("fails")
	for range 3 * patience {
		tr.begin("refused", true)
		tr.strike("refused", false)
		if !tr.excuse("refused") || tr.excuse("refused") {
			t.Error("a refused ticket: want one excuse")
		}
		if tr.refuses("refused") {
			t.Fatal("a ticket is refused although no handshake failed")
		}
	}
	fails("refused")
}
