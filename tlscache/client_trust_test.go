package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
)

// pinning returns a verification of which only the closure knows what it pins.
func pinning(ok bool) func([][]byte, [][]*x509.Certificate) error {
	return func([][]byte, [][]*x509.Certificate) error {
		if !ok {
			return x509.UnknownAuthorityError{}
		}
		return nil
	}
}

// trustConfigs are client Configs of which no two may share a session, for one server.
func trustConfigs(t *testing.T, p *peer) map[string]*tls.Config {
	t.Helper()
	users := newAuthority(t, "users' CA")
	alice, bob := users.issue(t, "alice"), users.issue(t, "bob")
	other := newAuthority(t, "peer CA") // the subject of the peer's own
	with := func(change func(*tls.Config)) *tls.Config {
		cfg := p.config()
		change(cfg)
		return cfg
	}
	both := p.roots.pool()
	both.AddCert(other.cert)
	return map[string]*tls.Config{
		"plain": p.config(),
		"alice": with(func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{alice} }),
		"bob":   with(func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{bob} }),
		"alice by callback": with(func(cfg *tls.Config) {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &alice, nil }
		}),
		"bob by callback": with(func(cfg *tls.Config) {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &bob, nil }
		}),
		"pin that holds":                  with(func(cfg *tls.Config) { cfg.VerifyPeerCertificate = pinning(true) }),
		"pin that fails":                  with(func(cfg *tls.Config) { cfg.VerifyPeerCertificate = pinning(false) }),
		"other roots of the same subject": with(func(cfg *tls.Config) { cfg.RootCAs = other.pool() }),
		"both roots":                      with(func(cfg *tls.Config) { cfg.RootCAs = both }),
		"insecure":                        with(func(cfg *tls.Config) { cfg.InsecureSkipVerify = true }),
		"TLS 1.2":                         with(func(cfg *tls.Config) { cfg.MaxVersion = tls.VersionTLS12 }),
		"TLS 1.3":                         with(func(cfg *tls.Config) { cfg.MinVersion = tls.VersionTLS13 }),
	}
}

// clientCrossings returns for every ordered pair of Configs whether the second resumes, and whether
// it is offered, a session of the first.
func clientCrossings(t *testing.T, p *peer, share func() (install func(*tls.Config), offered func() uint64)) (resumed, offered []string) {
	t.Helper()
	configs := trustConfigs(t, p)
	for from, fromConfig := range configs {
		for to, toConfig := range configs {
			if from == to {
				continue
			}
			install, offers := share()
			fromConfig, toConfig := fromConfig.Clone(), toConfig.Clone()
			install(fromConfig)
			install(toConfig)
			if _, err := p.visit(fromConfig); err != nil {
				continue // such as the pin that fails
			}
			before := offers()
			if ok, err := p.visit(toConfig); err == nil && ok {
				resumed = append(resumed, from+" → "+to)
			}
			if offers() > before {
				offered = append(offered, from+" → "+to)
			}
		}
	}
	return resumed, offered
}

func TestNoSessionCrossesATrustBoundary(t *testing.T) {
	p := startPeer(t, func(cfg *tls.Config) { cfg.ClientAuth = tls.RequestClientCert })
	resumed, offered := clientCrossings(t, p, func() (func(*tls.Config), func() uint64) {
		c := newTestClient(t, ClientConfig{})
		return func(cfg *tls.Config) {
			if err := c.Install(cfg); err != nil {
				t.Fatal(err)
			}
		}, func() uint64 { return c.Stats().Offered }
	})
	if len(resumed)+len(offered) > 0 {
		t.Errorf("sessions crossed: %q; were offered across: %q; want none", resumed, offered)
	}

	lru, _ := clientCrossings(t, p, func() (func(*tls.Config), func() uint64) {
		shared := tls.NewLRUClientSessionCache(0)
		return func(cfg *tls.Config) { cfg.ClientSessionCache = shared }, func() uint64 { return 0 }
	})
	slices.Sort(lru)
	t.Logf("one shared tls.NewLRUClientSessionCache crosses %d times:\n  %s", len(lru), strings.Join(lru, "\n  "))
	if len(lru) == 0 {
		t.Error("the shared LRU crosses nowhere: the pairs prove nothing")
	}
}

func TestEqualConfigsShareTickets(t *testing.T) {
	p := startPeer(t, func(cfg *tls.Config) { cfg.ClientAuth = tls.RequestClientCert })
	for name, cfg := range trustConfigs(t, p) {
		c := newTestClient(t, ClientConfig{Scope: "test"})
		one, two := cfg.Clone(), cfg.Clone()
		if two.RootCAs != nil {
			two.RootCAs = two.RootCAs.Clone()
		}
		for _, cfg := range []*tls.Config{one, two} {
			if err := c.Install(cfg); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.visit(one); err != nil {
			continue // a pin or roots that fail
		}
		if resumed, err := p.visit(two); err != nil || !resumed {
			t.Errorf("%s: resumed = %v, error %v; want a shared session", name, resumed, err)
		}
	}
}

// Without a name, each Install of a Config with callbacks has a scope of its own, and its
// clones share it.
func TestCallbacksWithoutANameGetAFreshScopePerInstall(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := p.config()
	cfg.VerifyPeerCertificate = pinning(true)
	again := cfg.Clone()
	for _, cfg := range []*tls.Config{cfg, again} {
		if err := c.Install(cfg); err != nil {
			t.Fatal(err)
		}
	}
	p.mustVisit(t, cfg, false)
	p.mustVisit(t, cfg.Clone(), true)
	p.mustVisit(t, again, false)
}

func TestViewsAreToldApartByTheirNames(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{})
	config := func(scope string) *tls.Config {
		cfg := p.config()
		cfg.ClientSessionCache = c.View(scope)
		return cfg
	}
	p.mustVisit(t, config("a"), false)
	p.mustVisit(t, config("a"), true)
	p.mustVisit(t, config("b"), false)
	p.mustVisit(t, p.installed(t, c), false)
}

// Trap: crypto/tls silently refuses a session of a version that is not offered, and it would be
// gone from the cache. The version range is part of the scope, so it is not handed out.
func TestVersionsDoNotBurnEachOthersTickets(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{SingleUse: true})
	any, old := p.installed(t, c), p.config()
	old.MaxVersion = tls.VersionTLS12
	if err := c.Install(old); err != nil {
		t.Fatal(err)
	}
	p.mustVisit(t, any, false)
	for i := range 3 {
		p.mustVisit(t, old, i > 0)
	}
	p.mustVisit(t, any, true)
}
