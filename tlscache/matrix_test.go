package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

// lastSession offers the last session on every connection, from whichever server it came: what a client may do.
type lastSession struct{ state *tls.ClientSessionState }

func (c *lastSession) Get(string) (*tls.ClientSessionState, bool) { return c.state, c.state != nil }
func (c *lastSession) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.state = s
	}
}

// A trust is a trust configuration: whom a server appears as, under which name, and whom it trusts.
type trust struct {
	name   string
	sni    string
	config *tls.Config
	scope  string // where it needs a name
	as     string // the configuration that it is the same as, after a renewal; empty: itself
}

// isSame reports whether sessions of one configuration are to resume under another.
func (a trust) isSame(b trust) bool {
	whose := func(t trust) string { return orDefault(t.as, t.name) }
	return whose(a) == whose(b)
}

// renewals are the certificates of one server, or of servers that are not to be taken for it, with the roots that
// a client needs.
func renewals(t *testing.T, servers *authority) (all []trust, roots *x509.CertPool) {
	names := func(c *x509.Certificate) { c.DNSNames = []string{host, "other.example"} }
	key, own := newKey(t), &authority{key: newKey(t)}
	sameSubject, third := newAuthority(t, servers.cert.Subject.CommonName), newAuthority(t, "third")
	bare := newAuthority(t, "bare")
	bare.cert.SubjectKeyId = nil // so what it issues says nothing of its key
	roots = servers.pool()
	for _, a := range []*authority{sameSubject, third, bare} {
		roots.AddCert(a.cert)
	}
	add := func(name, as string, cert tls.Certificate, above ...[]byte) {
		cert.Certificate = append(cert.Certificate, above...)
		cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
		all = append(all, trust{name: name, sni: host, config: cfg, as: as})
	}
	own.cert = template("leaf")
	self := func(key *authority) tls.Certificate { // signed by itself, and no authority
		own.cert.DNSNames = []string{host, "other.example"}
		c := key.issueTo(t, key.key, names)
		roots.AddCert(c.Leaf)
		return c
	}
	one, two := servers.intermediate(t), servers.intermediate(t)
	add("renewed for its key", "renewed", servers.issueTo(t, key, names))
	add("renewed for its key again", "renewed", servers.issueTo(t, key, names))
	add("renewed for another key", "renewed", servers.issue(t, host, "other.example"))
	add("names in another order", "renewed", servers.issue(t, "other.example", host))
	add("by an intermediate", "renewed", one.issue(t, host, "other.example"), one.der)
	add("by another intermediate", "renewed", two.issue(t, host, "other.example"), two.der)
	add("with a stranger behind it", "renewed", servers.issue(t, host, "other.example"), third.cert.Raw)
	add("fewer names", "", servers.issue(t, host))
	add("more names", "", servers.issue(t, host, "other.example", "more.example"))
	add("an address beside", "", servers.issueTo(t, newKey(t), func(c *x509.Certificate) {
		names(c)
		c.IPAddresses = []net.IP{{127, 0, 0, 1}}
	}))
	add("another subject", "", servers.issueTo(t, newKey(t), func(c *x509.Certificate) {
		names(c)
		c.Subject.CommonName = "another"
	}))
	add("a root of the same subject", "", sameSubject.issue(t, host, "other.example"))
	add("the same with a stranger behind it", "a root of the same subject", sameSubject.issue(t, host, "other.example"), third.cert.Raw)
	add("another root", "", third.issue(t, host, "other.example"))
	add("a root that says nothing of its key", "", bare.issue(t, host, "other.example"))
	add("the same renewed", "", bare.issue(t, host, "other.example"))
	add("signed by itself", "", self(&authority{cert: own.cert, key: own.key}))
	add("signed by itself, renewed for its key", "signed by itself", self(&authority{cert: own.cert, key: own.key}))
	add("signed by itself, for another key", "", self(&authority{cert: own.cert, key: newKey(t)}))
	return all, roots
}

// trusts returns configurations that must not share sessions but where one says that it is the same as another, though
// all have the certificate of one authority and a client's certificate of another.
func trusts(t *testing.T, servers, clients *authority) []trust {
	sameSubject := newAuthority(t, clients.cert.Subject.CommonName)
	leaf, renewed := servers.issue(t, host, "other.example"), servers.issue(t, host, "other.example")
	config := func(auth tls.ClientAuthType, cas *authority) *tls.Config {
		cfg := &tls.Config{Certificates: []tls.Certificate{leaf}, ClientAuth: auth}
		if cas != nil {
			cfg.ClientCAs = cas.pool()
		}
		return cfg
	}
	// pin returns configurations that differ in what one function closes over.
	pin := func(accept bool) *tls.Config {
		cfg := config(tls.RequestClientCert, nil)
		cfg.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error {
			if !accept {
				return errors.New("not pinned")
			}
			return nil
		}
		return cfg
	}
	renew := func(cfg *tls.Config) *tls.Config {
		cfg.Certificates = []tls.Certificate{renewed}
		return cfg
	}
	other := config(tls.NoClientCert, nil)
	other.Certificates = []tls.Certificate{servers.issue(t, host, "other.example", "more.example")}
	old := config(tls.NoClientCert, nil)
	old.MinVersion = tls.VersionTLS10
	return []trust{
		{name: "plain", sni: host, config: config(tls.NoClientCert, nil)},
		{name: "other server name", sni: "other.example", config: config(tls.NoClientCert, nil)},
		{name: "plain, renewed", sni: host, config: renew(config(tls.NoClientCert, nil)), as: "plain"},
		{name: "verify, renewed", sni: host, config: renew(config(tls.RequireAndVerifyClientCert, clients)), as: "verify"},
		{name: "other names", sni: host, config: other},
		{name: "older versions", sni: host, config: old},
		{name: "request", sni: host, config: config(tls.RequestClientCert, nil)},
		{name: "require any", sni: host, config: config(tls.RequireAnyClientCert, nil)},
		{name: "verify if given", sni: host, config: config(tls.VerifyClientCertIfGiven, clients)},
		{name: "verify", sni: host, config: config(tls.RequireAndVerifyClientCert, clients)},
		{name: "verify, same subject", sni: host, config: config(tls.RequireAndVerifyClientCert, sameSubject)},
		{name: "if given, same subject", sni: host, config: config(tls.VerifyClientCertIfGiven, sameSubject)},
		{name: "pin that accepts", sni: host, config: pin(true), scope: "accepts"},
		{name: "pin that refuses", sni: host, config: pin(false), scope: "refuses"},
	}
}

// crossings connects to every first, then to every second configuration, and returns the pairs whose
// second handshake resumed. It fails if sessions do not resume where they were made.
func crossings(t *testing.T, version uint16, all []trust, roots *x509.CertPool, clients *authority) (crossed []string) {
	cert := clients.issue(t)
	for _, first := range all {
		for _, second := range all {
			cache := new(lastSession)
			client := &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version,
				ClientSessionCache: cache, Certificates: []tls.Certificate{cert}, ServerName: first.sni}
			// An empty list of authorities, or a wrong one, must not make the client hide its certificate.
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			if _, _, err := connect(first.config, client); err != nil || cache.state == nil {
				continue // the configuration refuses the client, so there is no session of it
			}
			client.ServerName = second.sni
			ofServer, _, err := connect(second.config, client)
			switch resumed := err == nil && ofServer.DidResume; {
			case first.isSame(second) && !resumed:
				t.Errorf("%s -> %s: a session does not resume where it was made: %v", first.name, second.name, err)
			case !first.isSame(second) && resumed:
				crossed = append(crossed, first.name+" -> "+second.name)
			}
		}
	}
	return crossed
}

func TestNoSessionResumesUnderAnotherTrustConfiguration(t *testing.T) {
	matrix(t, func(servers, clients *authority) ([]trust, *x509.CertPool) {
		return trusts(t, servers, clients), servers.pool()
	})
}

// A server's renewed certificate keeps its sessions, also beside those who have the former one still, and no other
// certificate does.
func TestSessionsResumeUnderARenewedCertificateAndNoOther(t *testing.T) {
	if raced {
		t.Skip("one handshake after the other: the race detector finds nothing here")
	}
	matrix(t, func(servers, _ *authority) ([]trust, *x509.CertPool) { return renewals(t, servers) })
}

// matrix connects in all modes to every first and then to every second configuration.
func matrix(t *testing.T, make func(servers, clients *authority) ([]trust, *x509.CertPool)) {
	for _, mode := range append([]string{"peers verified again"}, storeKinds...) {
		t.Run(mode, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
				all, roots := make(servers, clients)
				cfg := kept(t, mode, ServerConfig{ScopeOf: func(_ *tls.ClientHelloInfo, cfg *tls.Config) string {
					return all[slices.IndexFunc(all, func(a trust) bool { return a.config == cfg })].scope
				}})
				if mode == "peers verified again" { // and nothing has a name
					cfg = ServerConfig{VerifyPeerOnResume: true}
				}
				s := newServer(t, cfg)
				for _, a := range all {
					if err := s.Install(a.config); err != nil {
						t.Fatal(err)
					}
				}
				if crossed := crossings(t, version, all, roots, clients); len(crossed) > 0 {
					t.Errorf("sessions crossed:\n\t%s", strings.Join(crossed, "\n\t"))
				}
			})
		})
	}
}

// The same run on stock tickets shows that the clients do offer their sessions, and what for.
func TestStockTicketsResumeUnderOtherTrustConfigurations(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
		all := trusts(t, servers, clients)
		for _, a := range all {
			a.config.SetSessionTicketKeys([][32]byte{{1}}) // as a fleet, or GetConfigForClient's fallback, has them
		}
		crossed := crossings(t, version, all, servers.pool(), clients)
		pairs := 0
		for _, a := range all {
			for _, b := range all {
				if !a.isSame(b) {
					pairs++
				}
			}
		}
		t.Logf("%d of %d ordered pairs cross on stock tickets:\n\t%s", len(crossed), pairs, strings.Join(crossed, "\n\t"))
		for _, known := range []string{"plain -> other server name", "request -> pin that refuses", "pin that accepts -> pin that refuses"} {
			if !slices.Contains(crossed, known) {
				t.Errorf("%s does not cross; does the client still offer it?", known)
			}
		}
	})
}
