package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
)

var errPin = errors.New("pinned otherwise")

// A trustChange is a change of what a Config trusts, or as whom it appears.
type trustChange struct {
	name   string
	change func(cfg *tls.Config)
	same   bool // no change after all: sessions go on
}

// trustChanges returns changes of a Config that takes verified client certificates.
func trustChanges(t testing.TB, servers, clients *authority) []trustChange {
	other := newAuthority(t, clients.cert.Subject.CommonName)
	renewed, renamed, elsewhere := servers.issue(t, host), servers.issue(t, host, "more.example"), newAuthority(t, servers.cert.Subject.CommonName).issue(t, host)
	both := clients.pool()
	both.AddCert(other.cert)
	refuse := func([][]byte, [][]*x509.Certificate) error { return errPin }
	return []trustChange{
		{name: "a pin that refuses", change: func(c *tls.Config) { c.VerifyPeerCertificate = refuse }},
		{name: "a pin, certificates only asked for", change: func(c *tls.Config) {
			c.VerifyPeerCertificate, c.ClientAuth = refuse, tls.RequestClientCert
		}},
		{name: "certificates only asked for", change: func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }},
		{name: "any certificate", change: func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }},
		{name: "verified if given", change: func(c *tls.Config) { c.ClientAuth = tls.VerifyClientCertIfGiven }},
		{name: "none asked for", change: func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }},
		{name: "another authority of the same subject", change: func(c *tls.Config) { c.ClientCAs = other.pool() }},
		{name: "another authority beside", change: func(c *tls.Config) { c.ClientCAs = both }},
		{name: "another authority added in place", change: func(c *tls.Config) { c.ClientCAs.AddCert(other.cert) }},
		{name: "an own certificate of other names", change: func(c *tls.Config) { c.Certificates = []tls.Certificate{renamed} }},
		{name: "an own certificate of another root", change: func(c *tls.Config) { c.Certificates = []tls.Certificate{elsewhere} }},
		{name: "another own certificate in the same slice", change: func(c *tls.Config) { c.Certificates[0] = renamed }},
		{name: "one more own certificate", change: func(c *tls.Config) {
			c.Certificates = append(slices.Clip(c.Certificates), renamed)
		}},
		{name: "older versions", change: func(c *tls.Config) { c.MinVersion = tls.VersionTLS10 }},
		{name: "InsecureSkipVerify", change: func(c *tls.Config) { c.InsecureSkipVerify = true }},

		{name: "a renewed own certificate", change: func(c *tls.Config) { c.Certificates = []tls.Certificate{renewed} }, same: true},
		{name: "nothing", change: func(*tls.Config) {}, same: true},
		{name: "an equal pool", change: func(c *tls.Config) { c.ClientCAs = clients.pool() }, same: true},
		{name: "an equal slice", change: func(c *tls.Config) { c.Certificates = slices.Clone(c.Certificates) }, same: true},
		{name: "protocols", change: func(c *tls.Config) { c.NextProtos = []string{"h2"} }, same: true},
		{name: "versions by name", change: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS13 }, same: true},
		{name: "VerifyConnection", change: func(c *tls.Config) {
			c.VerifyConnection = func(tls.ConnectionState) error { return nil }
		}, same: true},
	}
}

// A detour is a way in which a changed Config gets to its clients.
type detour struct {
	name string
	// serve returns the Config to serve with, given the one that Install was called on. The change
	// is made where changed is true, for each connection anew.
	serve func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config
	past  bool // past the gate: nothing resumes, changed or not
}

var detours = []detour{
	{name: "a clone from GetConfigForClient", serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
		return base // see install
	}},
	{name: "a clone by hand", serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
		c := base.Clone()
		c.Certificates = slices.Clone(c.Certificates)
		if *changed {
			change(c)
		}
		return c
	}},
	{name: "in place", serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
		if *changed {
			change(base)
		}
		return base
	}},
	{name: "a wrapper around a clone's gate, as quic-go's", serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
		c := base.Clone()
		c.Certificates = slices.Clone(c.Certificates)
		if *changed {
			change(c)
		}
		get := c.GetConfigForClient
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			mine, err := get(hello)
			if mine != nil {
				mine = mine.Clone()
			}
			return mine, err
		}
		return c
	}},
	{name: "a Config without Install that returns a clone", past: true,
		serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
			return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				c := base.Clone()
				c.Certificates = slices.Clone(c.Certificates)
				if *changed {
					change(c)
				}
				return c, nil
			}}
		}},
	{name: "a clone without the gate", past: true, serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
		c := base.Clone()
		c.Certificates = slices.Clone(c.Certificates)
		c.GetConfigForClient = nil
		if *changed {
			change(c)
		}
		return c
	}},
	{name: "GetConfigForClient set after Install", past: true, serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
		inner := base.Clone()
		base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := inner.Clone()
			c.Certificates = slices.Clone(c.Certificates)
			if *changed {
				change(c)
			}
			return c, nil
		}
		return base
	}},
	{name: "a wrapper around the installed gate", past: true, serve: func(base *tls.Config, changed *bool, change func(*tls.Config)) *tls.Config {
		get, inner := base.GetConfigForClient, base.Clone()
		base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := get(hello)
			if err != nil {
				return nil, err
			}
			if c == nil {
				c = inner
			}
			c = c.Clone()
			c.Certificates = slices.Clone(c.Certificates)
			if *changed {
				change(c)
			}
			return c, nil
		}
		return base
	}},
}

func TestTrustIsComparedAsItStandsForEachConnection(t *testing.T) {
	if raced {
		t.Skip("one handshake after the other: the race detector finds nothing here")
	}
	servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
	cert := clients.issue(t)
	for _, d := range detours {
		t.Run(d.name, func(t *testing.T) {
			for _, kind := range storeKinds {
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					for _, c := range trustChanges(t, servers, clients) {
						if kind != "memory" && c.name == "another authority beside" || kind != "memory" && c.name == "another authority added in place" {
							continue // only within a process are pools compared beyond what crypto/tls does
						}
						crossing{servers, clients, cert, version, kind, d, c}.run(t)
					}
				}
			}
		})
	}
}

// A crossing is a visit to a Config, and another after a change of what that trusts.
type crossing struct {
	servers, clients *authority
	cert             tls.Certificate
	version          uint16
	kind             string
	detour           detour
	change           trustChange
}

func (x crossing) run(t *testing.T) {
	t.Helper()
	what := x.kind + ", " + tls.VersionName(x.version) + ", " + x.change.name
	s := newServer(t, kept(t, x.kind, ServerConfig{}))
	changed := false
	base := &tls.Config{Certificates: []tls.Certificate{x.servers.issue(t, host)},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x.clients.pool()}
	if x.detour.name == "a clone from GetConfigForClient" {
		base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := base.Clone()
			c.Certificates = slices.Clone(c.Certificates)
			if changed {
				x.change.change(c)
			}
			return c, nil
		}
	}
	if err := s.Install(base); err != nil {
		t.Fatal(err)
	}
	cache := new(lastSession)
	client := &tls.Config{RootCAs: x.servers.pool(), ServerName: host, MinVersion: x.version, MaxVersion: x.version, ClientSessionCache: cache,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &x.cert, nil }}
	visit := func() bool {
		t.Helper()
		of, _, err := connect(x.detour.serve(base, &changed, x.change.change), client)
		return err == nil && of.DidResume
	}
	if _, _, err := connect(base, client); err != nil || cache.state == nil {
		t.Fatalf("%s: %v; want a session", what, err)
	}
	issued := cache.state
	if got := visit(); got == x.detour.past {
		t.Errorf("%s: unchanged: resumed = %v; want %v", what, got, !x.detour.past)
	}
	if x.detour.past && s.Stats().Ungated == 0 {
		t.Errorf("%s: no connection past the gate was counted", what)
	}
	cache.state = issued
	changed = true
	if got, want := visit(), x.change.same && !x.detour.past; got != want {
		t.Errorf("%s: resumed = %v after the change; want %v (misses %v)", what, got, want, s.Stats().Misses)
	}
}
