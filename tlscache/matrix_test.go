package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
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
}

// trusts returns configurations that must not share sessions, though all have the certificate of one
// authority and a client's certificate of another.
func trusts(t *testing.T, servers, clients *authority) []trust {
	sameSubject := newAuthority(t, clients.cert.Subject.CommonName)
	leaf, otherLeaf := servers.issue(t, host, "other.example"), servers.issue(t, host, "other.example")
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
	other := config(tls.NoClientCert, nil)
	other.Certificates = []tls.Certificate{otherLeaf}
	old := config(tls.NoClientCert, nil)
	old.MinVersion = tls.VersionTLS10
	return []trust{
		{name: "plain", sni: host, config: config(tls.NoClientCert, nil)},
		{name: "other server name", sni: "other.example", config: config(tls.NoClientCert, nil)},
		{name: "other certificate", sni: host, config: other},
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
func crossings(t *testing.T, version uint16, all []trust, servers, clients *authority) (crossed []string) {
	cert := clients.issue(t)
	for _, first := range all {
		for _, second := range all {
			cache := new(lastSession)
			client := &tls.Config{RootCAs: servers.pool(), MinVersion: version, MaxVersion: version,
				ClientSessionCache: cache, Certificates: []tls.Certificate{cert}, ServerName: first.sni}
			// An empty list of authorities, or a wrong one, must not make the client hide its certificate.
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			if _, _, err := connect(first.config, client); err != nil || cache.state == nil {
				continue // the configuration refuses the client, so there is no session of it
			}
			client.ServerName = second.sni
			ofServer, _, err := connect(second.config, client)
			switch resumed := err == nil && ofServer.DidResume; {
			case first.name == second.name && !resumed:
				t.Errorf("%s: a session does not resume where it was made: %v", first.name, err)
			case first.name != second.name && resumed:
				crossed = append(crossed, first.name+" -> "+second.name)
			}
		}
	}
	return crossed
}

func TestNoSessionResumesUnderAnotherTrustConfiguration(t *testing.T) {
	for _, store := range []string{"memory", "remote", "fallback tickets", "peers verified again"} {
		t.Run(store, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				servers, clients := newAuthority(t, "servers"), newAuthority(t, "clients")
				all := trusts(t, servers, clients)
				cfg := ServerConfig{ScopeOf: func(_ *tls.ClientHelloInfo, cfg *tls.Config) string {
					return all[slices.IndexFunc(all, func(a trust) bool { return a.config == cfg })].scope
				}}
				switch store {
				case "peers verified again": // and nothing has a name
					cfg = ServerConfig{VerifyPeerOnResume: true}
				case "remote":
					cfg.Store, cfg.Keyring, cfg.Budget = remote{newMemory(t, session.MemoryConfig{})}, ring(t, secret(1)), time.Minute
				case "fallback tickets":
					down := newMemory(t, session.MemoryConfig{})
					down.Close()
					cfg.Store, cfg.Keyring = remote{down}, ring(t, secret(1))
				}
				s := newServer(t, cfg)
				for _, a := range all {
					if err := s.Install(a.config); err != nil {
						t.Fatal(err)
					}
				}
				if crossed := crossings(t, version, all, servers, clients); len(crossed) > 0 {
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
		crossed := crossings(t, version, all, servers, clients)
		t.Logf("%d of %d ordered pairs cross on stock tickets:\n\t%s",
			len(crossed), len(all)*(len(all)-1), strings.Join(crossed, "\n\t"))
		for _, known := range []string{"plain -> other server name", "request -> pin that refuses", "pin that accepts -> pin that refuses"} {
			if !slices.Contains(crossed, known) {
				t.Errorf("%s does not cross; does the client still offer it?", known)
			}
		}
	})
}
