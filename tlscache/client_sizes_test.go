package tlscache

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"slices"
	"testing"
	"weak"

	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// An intermediate authority signs servers' certificates.
type intermediate struct {
	*authority
	der []byte
}

func (a *authority) intermediate(t testing.TB) intermediate {
	t.Helper()
	between := &authority{key: newKey(t)}
	tmpl := template("intermediate")
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, between.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if between.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return intermediate{between, der}
}

// chain returns a certificate with the intermediate one behind it, and more that no client needs.
func (i intermediate) chain(t testing.TB, more ...[]byte) tls.Certificate {
	t.Helper()
	cert := i.issue(t, testName)
	cert.Certificate = append(append(cert.Certificate, i.der), more...)
	return cert
}

// junk returns self-made certificates.
func junk(t testing.TB, n, extension int) (certs [][]byte) {
	t.Helper()
	for range n {
		certs = append(certs, withExtension(t, extension).Certificate[0])
	}
	return certs
}

// A server decides what its certificates hold in the client's memory, and any client of an unverified one does not
// even know which server that is.
func TestHugeServerChainsAreNotKept(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		for name, cert := range map[string]func(*authority) tls.Certificate{
			"60 KB of extension":         func(*authority) tls.Certificate { return withExtension(t, 60_000) },
			"201 certificates":           func(*authority) tls.Certificate { return withChain(t, 200) },
			"verified, and 200 more":     func(ca *authority) tls.Certificate { return ca.intermediate(t).chain(t, junk(t, 200, 0)...) },
			"verified, and one of 60 KB": func(ca *authority) tls.Certificate { return ca.intermediate(t).chain(t, junk(t, 1, 60_000)...) },
		} {
			for _, cfg := range []ClientConfig{{}, {Store: newTestStore(t), Budget: long}} {
				p, set := startChanging(t, version, cert)
				cfg.TLS = p.config()
				cfg.TLS.InsecureSkipVerify = name[0] != 'v'
				cfg.DialContext = dialTo(func() string { return p.addr })
				c := newTestClient(t, cfg)
				installed := cfg.TLS.Clone()
				if err := c.Install(installed); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					p.mustVisit(t, installed, false)
					wantDial(t, c, false)
				}
				if st := c.Stats(); st.TooLarge != 6 || st.Stored != 0 || st.Held != 0 || st.Refused != 0 {
					t.Errorf("%s: Stats = %+v; want 6 tickets too large, and nothing stored", name, st)
				}
				set(p.roots.intermediate(t).chain(t))
				p.mustVisit(t, installed, false)
				p.mustVisit(t, installed, true)
				wantDial(t, c, true)
			}
		}
	})
}

// What a ticket weighs is the ticket, too: a server may send one of 64 KB.
func TestHugeTicketsAreNotKept(t *testing.T) {
	for _, size := range []int{tickets.MaxTicketBytes - 8<<10, tickets.MaxTicketBytes - 1<<10} {
		c := newTestClient(t, ClientConfig{})
		v := c.View("test")
		v.Put("a", fakeTicket{label: string(make([]byte, size)), secret: "s"}.state(t))
		if st := c.Stats(); st.TooLarge != uint64(1-st.Held) || (st.Held == 1) != (size == tickets.MaxTicketBytes-8<<10) {
			t.Errorf("a ticket of %d bytes: Stats = %+v; want the smaller one held, and the larger one too large", size, st)
		}
	}
}

// On a resumed connection the certificates are known, but a TLS 1.2 server may send other stapled data.
func TestWhatComesWithARenewedTicketWeighsToo(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	state := func(label string) *tls.SessionState {
		_, state, err := fakeTicket{label: label, version: tls.VersionTLS12, secret: "the same"}.state(t).ResumptionState()
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	v := c.View("test")
	puts(t, v, "old:0")
	cs, _ := v.Get("a")
	_, resumed, err := cs.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	renewed := state("1")
	*tlsstate.HeldBy(renewed).Peers = *tlsstate.HeldBy(resumed).Peers
	*tlsstate.HeldBy(renewed).Secret = *tlsstate.HeldBy(resumed).Secret
	*tlsstate.HeldBy(renewed).SCTs = [][]byte{make([]byte, tickets.MaxTicketBytes)}
	late, err := tls.NewResumptionState([]byte("1"), renewed)
	if err != nil {
		t.Fatal(err)
	}
	v.Put("a", late)
	if st := c.Stats(); st.TooLarge != 1 {
		t.Errorf("Stats = %+v; want one ticket too large", st)
	}
}

// crypto/tls parses certificates into the message that they came in, and takes a certificate that it knows from
// another connection: what one server appends must not weigh on the tickets of another.
func TestOneServersJunkDoesNotWeighOnAnothers(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p, set := startChanging(t, version, func(ca *authority) tls.Certificate { return ca.issue(t, testName) })
		between := p.roots.intermediate(t)
		set(between.chain(t, junk(t, 1, 60_000)...))
		c := newTestClient(t, ClientConfig{})
		cfg := p.installed(t, c)
		var kept *tls.ConnectionState // as a connection that stays open keeps it
		seen := cfg.Clone()
		verify := seen.VerifyConnection
		seen.VerifyConnection = func(cs tls.ConnectionState) error {
			kept = &cs
			return verify(cs)
		}
		p.mustVisit(t, seen, false)
		set(between.chain(t))
		p.mustVisit(t, cfg, false)
		p.mustVisit(t, cfg, true)
		if st := c.Stats(); st.TooLarge != 1 || st.Stored != 2 {
			t.Errorf("Stats = %+v; want the junk's ticket too large, and the others stored", st)
		}
		if !slices.Equal(kept.PeerCertificates[1].Raw, between.der) {
			t.Error("the first connection has seen another intermediate certificate")
		}
	})
}

// An import keeps the tickets, and not the file that they lie in.
func TestImportedTicketsLetGoOfTheFile(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		p, _ := startChanging(t, version, func(ca *authority) tls.Certificate { return ca.intermediate(t).chain(t) })
		c, keyring := newTestClient(t, ClientConfig{}), ring(t, secret(1))
		p.mustVisit(t, p.installed(t, c), false)
		file := exported(t, c, ExportConfig{Keyring: keyring})
		after := newTestClient(t, ClientConfig{})
		imports(t, after, file, ImportConfig{Keyring: keyring})
		all := after.pool.(*tickets.MemoryPool).All()
		if len(all) != 1 {
			t.Fatalf("%d tickets; want 1", len(all))
		}
		tk := all[0].Ticket
		h := tlsstate.HeldBy(tk.State)
		slack := func(what string, b []byte) {
			if cap(b) > len(b)+len(b)/4+16 {
				t.Errorf("%s of %d bytes keeps %d", what, len(b), cap(b))
			}
		}
		// A ticket that points into the file keeps all of it, and no capacity shows that.
		read := make([]byte, 1<<16)
		kept := weak.Make(&read[0])
		again, state := tk.Ticket, *tk.State
		state.Extra = [][]byte{read[:8:8]}
		again.Label, again.State = read[8:40:40], &state
		after.families.Adopt(&again)
		read, state.Extra = nil, nil
		runtime.GC()
		if kept.Value() != nil {
			t.Error("a ticket keeps the file that it was read from")
		}
		runtime.KeepAlive(again)

		slack("the ticket", tk.Label)
		slack("the secret", *h.Secret)
		for _, cert := range *h.Peers {
			slack("a certificate", cert.Raw)
		}
		p.mustVisit(t, p.installed(t, after), true)
	})
}
