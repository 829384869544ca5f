package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

func TestScopesDifferWhereTrustDoes(t *testing.T) {
	a, b := tls.Certificate{Certificate: [][]byte{{1}}}, tls.Certificate{Certificate: [][]byte{{2}}}
	chain := tls.Certificate{Certificate: [][]byte{{1}, {9}}}
	pool := x509.NewCertPool()
	configs := map[string]scope{
		"plain":         serverScope("", &tls.Config{}),
		"client":        clientScope("", &tls.Config{}),
		"named":         serverScope("tenant", &tls.Config{}),
		"leaf a":        serverScope("", &tls.Config{Certificates: []tls.Certificate{a}}),
		"leaf b":        serverScope("", &tls.Config{Certificates: []tls.Certificate{b}}),
		"leaves a, b":   serverScope("", &tls.Config{Certificates: []tls.Certificate{a, b}}),
		"client auth":   serverScope("", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}),
		"client auth 1": serverScope("", &tls.Config{ClientAuth: tls.RequestClientCert}),
		"insecure":      clientScope("", &tls.Config{InsecureSkipVerify: true}),
		"up to 1.2":     serverScope("", &tls.Config{MaxVersion: tls.VersionTLS12}),
		"from 1.3":      serverScope("", &tls.Config{MinVersion: tls.VersionTLS13}),
	}
	seen := map[scope]string{}
	for what, s := range configs {
		if other, ok := seen[s]; ok {
			t.Errorf("%s and %s have the same scope", what, other)
		}
		seen[s] = what
	}
	for what, pair := range map[string][2]*tls.Config{
		"order of certificates": {{Certificates: []tls.Certificate{a, b}}, {Certificates: []tls.Certificate{b, a}}},
		"intermediates":         {{Certificates: []tls.Certificate{a}}, {Certificates: []tls.Certificate{chain}}},
		"default versions":      {{}, {MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13}},
		"pools":                 {{}, {ClientCAs: pool, RootCAs: pool}},
		"VerifyConnection":      {{}, {VerifyConnection: func(tls.ConnectionState) error { return nil }}},
		"protocols":             {{}, {NextProtos: []string{"h2"}}},
		"deprecated field":      {{Certificates: []tls.Certificate{a}}, {NameToCertificate: map[string]*tls.Certificate{"x": &a}}},
	} {
		if serverScope("", pair[0]) != serverScope("", pair[1]) {
			t.Errorf("%s: the scopes differ; want one", what)
		}
	}
}

func TestScopesThatCannotBeComparedNeedAName(t *testing.T) {
	verify := &tls.Config{VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return nil }}
	cert := &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }}
	for _, tt := range []struct {
		name string
		got  scope
		want string
	}{
		{"server that verifies", serverScope("", verify), "VerifyPeerCertificate"},
		{"the same, named", serverScope("a", verify), ""},
		{"client that verifies", clientScope("", verify), "VerifyPeerCertificate"},
		{"client that chooses a certificate", clientScope("", cert), "GetClientCertificate"},
		{"the same, named", clientScope("a", cert), ""},
		{"a server does not use it", serverScope("", cert), ""},
	} {
		if tt.got.unstable != tt.want {
			t.Errorf("%s: unstable is %q; want %q", tt.name, tt.got.unstable, tt.want)
		}
	}
}

func TestPoolsAreToldApartByWhatTheyHold(t *testing.T) {
	ca := newAuthority(t, "one subject")
	same := newAuthority(t, "one subject") // another key
	pool := func(of ...*authority) *x509.CertPool {
		p := x509.NewCertPool()
		for _, a := range of {
			p.AddCert(a.cert)
		}
		return p
	}
	var r poolRegistry
	one, two := r.number(pool(ca)), r.number(pool(same))
	if one == two || one == 0 || two == 0 {
		t.Errorf("pools of one subject and two keys are %d and %d; want two numbers, none 0", one, two)
	}
	if again := r.number(pool(ca)); again != one {
		t.Errorf("an equal pool is %d; want %d", again, one)
	}
	if none := r.number(nil); none != 0 {
		t.Errorf("no pool is %d; want 0", none)
	}
	grown := pool(ca)
	n := r.number(grown)
	grown.AddCert(same.cert)
	if r.number(grown) == n || r.number(pool(ca)) != n {
		t.Error("adding to a pool changed what its number stands for")
	}
	for i := range 2 * maxPools {
		p := x509.NewCertPool()
		p.AddCert(&x509.Certificate{Raw: []byte{byte(i), byte(i >> 8)}, RawSubject: []byte{1}})
		if n := r.number(p); n <= one {
			t.Fatalf("pool %d has the number %d of another", i, n)
		}
	}
	if n := r.mu.queue.Len(); n > maxPools {
		t.Errorf("remembers %d pools; want at most %d", n, maxPools)
	}
}

func TestPoolsInstalledAreToldApart(t *testing.T) {
	one, two := newAuthority(t, "one subject"), newAuthority(t, "one subject")
	s := newServer(t, ServerConfig{})
	scopes := map[[32]byte]bool{}
	for _, ca := range []*authority{one, two, one} {
		cfg := &tls.Config{}
		mutual(ca)(cfg)
		if err := s.Install(cfg); err != nil {
			t.Fatal(err)
		}
		sc, err := s.scopeOf(nil, cfg)
		if err != nil {
			t.Fatal(err)
		}
		scopes[sc.scope] = true
	}
	if len(scopes) != 2 {
		t.Errorf("two pools, one of them twice, make %d scopes; want 2", len(scopes))
	}
}
