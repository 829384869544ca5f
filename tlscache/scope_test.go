package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
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
		"ECH":           clientScope("", &tls.Config{EncryptedClientHelloConfigList: []byte{1}}),
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
		{"client with ECH", clientScope("", &tls.Config{EncryptedClientHelloConfigList: []byte{1}}), ""},
		{"a server does not use it", serverScope("", cert), ""},
	} {
		if tt.got.unstable != tt.want {
			t.Errorf("%s: unstable is %q; want %q", tt.name, tt.got.unstable, tt.want)
		}
	}
}

// A name says what a function checks, and not that there is none: a session that was made without the check
// must not skip it.
func TestANameDoesNotStandForTheAbsenceOfACheck(t *testing.T) {
	pin := func([][]byte, [][]*x509.Certificate) error { return nil }
	choose := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }
	ech := []byte{1}
	for what, pair := range map[string][2]scope{
		"server, VerifyPeerCertificate": {serverScope("a", &tls.Config{}), serverScope("a", &tls.Config{VerifyPeerCertificate: pin})},
		"client, VerifyPeerCertificate": {clientScope("a", &tls.Config{}), clientScope("a", &tls.Config{VerifyPeerCertificate: pin})},
		"client, GetClientCertificate":  {clientScope("a", &tls.Config{}), clientScope("a", &tls.Config{GetClientCertificate: choose})},
		"client, one and the other": {clientScope("a", &tls.Config{VerifyPeerCertificate: pin}),
			clientScope("a", &tls.Config{GetClientCertificate: choose})},
		"client, ECH": {clientScope("a", &tls.Config{}), clientScope("a", &tls.Config{EncryptedClientHelloConfigList: ech})},
	} {
		if pair[0] == pair[1] {
			t.Errorf("%s: with and without it is one scope", what)
		}
	}
	if serverScope("a", &tls.Config{}) != serverScope("a", &tls.Config{GetClientCertificate: choose, EncryptedClientHelloConfigList: ech}) {
		t.Error("a server's scope depends on what only clients use")
	}
}

// Processes that share a Store compute scopes by themselves: what they were in version 1 they stay.
func TestScopesWithoutFunctionsAreThoseOfTheFirstVersion(t *testing.T) {
	const want = "5e7aeac635134390"
	leaf := tls.Certificate{Certificate: [][]byte{{1}}}
	s := serverScope("tenant", &tls.Config{Certificates: []tls.Certificate{leaf}, ClientAuth: tls.RequestClientCert})
	if got := hex.EncodeToString(s.sum[:8]); got != want {
		t.Errorf("the scope begins with %s; want %s", got, want)
	}
}

func TestANamedServerScopeDoesNotSkipAPin(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{Scope: "x"}, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
		pinned := w.server.Clone()
		pinned.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errPin }
		client := w.mtls(version, w.ca.issue(t))
		w.want("without the pin", client, false)
		w.want("again", client, true)
		if of, _, err := connect(pinned, client); of.DidResume || err == nil {
			t.Errorf("resumed = %v, %v; want a full handshake that the pin refuses", of.DidResume, err)
		}
	})
}

func TestANamedClientScopeDoesNotSkipAPin(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		c, err := NewClient(ClientConfig{Scope: "x"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open, pinned := w.client(version), w.client(version)
		pinned.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return errPin }
		for _, cfg := range []*tls.Config{open, pinned} {
			cfg.ClientSessionCache = nil
			if err := c.Install(cfg); err != nil {
				t.Fatal(err)
			}
		}
		w.want("without the pin", open, false)
		w.want("again", open, true)
		if _, of, err := connect(w.server, pinned); of.DidResume || err == nil {
			t.Errorf("resumed = %v, %v; want a full handshake that the pin refuses", of.DidResume, err)
		}
	})
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
}

// poolOf returns a pool of made-up certificates, one for each number.
func poolOf(numbers ...int) *x509.CertPool {
	p := x509.NewCertPool()
	for _, i := range numbers {
		p.AddCert(&x509.Certificate{Raw: []byte{byte(i), byte(i >> 8), byte(i >> 16)}, RawSubject: []byte{byte(i)}})
	}
	return p
}

func TestNoPoolEverHasTheNumberOfAnother(t *testing.T) {
	var r poolRegistry
	kept := poolOf(1 << 20)
	first := r.number(kept)
	seen := map[uint64]int{first: -1}
	for i := range 3 * maxPools {
		n := r.number(poolOf(i))
		if other, ok := seen[n]; ok {
			t.Fatalf("pool %d has the number of pool %d", i, other)
		}
		seen[n] = i
		if again := r.number(poolOf(i)); again != n {
			t.Fatalf("pool %d, the newest, is %d and then %d", i, n, again)
		}
		if r.number(kept) != first {
			t.Fatalf("after %d others, a pool that is in use all the time was forgotten", i)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q, a := r.mu.queue.Len(), len(r.mu.byAddress); q > maxPools || a > maxPools {
		t.Errorf("remembers %d pools at %d addresses; want at most %d", q, a, maxPools)
	}
	if r.mu.certs != r.mu.queue.Len() {
		t.Errorf("counts %d certificates in %d pools of one", r.mu.certs, r.mu.queue.Len())
	}
}

// Tenants by the thousand, in turn, with a pool of their own or an equal one for each connection.
func TestPoolsOfManyTenantsKeepTheirNumbers(t *testing.T) {
	const tenants = 3000
	for _, fresh := range []bool{false, true} {
		var r poolRegistry
		pools, numbers := make([]*x509.CertPool, tenants), make([]uint64, tenants)
		for round := range 3 {
			for i := range tenants {
				if pools[i] == nil || fresh {
					pools[i] = poolOf(i, i+tenants)
				}
				n := r.number(pools[i])
				if round > 0 && n != numbers[i] {
					t.Fatalf("fresh = %v: tenant %d has %d in round %d; want %d", fresh, i, n, round, numbers[i])
				}
				numbers[i] = n
			}
		}
	}
}

func TestPoolsAreBoundedByTheirCertificates(t *testing.T) {
	var r poolRegistry
	many := make([]int, 1000)
	for i := range 3 * maxPoolCerts / len(many) {
		for j := range many {
			many[j] = i*len(many) + j
		}
		r.number(poolOf(many...))
	}
	if r.mu.certs > maxPoolCerts {
		t.Errorf("remembers %d certificates; want at most %d", r.mu.certs, maxPoolCerts)
	}
	huge := make([]int, maxPoolCerts+1)
	for i := range huge {
		huge[i] = i
	}
	pool := poolOf(huge...)
	if n := r.number(pool); n == 0 || r.number(pool) != n {
		t.Error("a pool above the bound has no number of its own")
	}
}

// Each tenant's clients resume, however many tenants there are.
func TestClientsOfEveryTenantResume(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	tenants := number(300, 300) // more than were once remembered
	var authorities []*authority
	at, fresh := 0, false
	var pools []*x509.CertPool
	base := w.config()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pools[at]
		if fresh {
			c.ClientCAs = authorities[at].pool()
		}
		return c, nil
	}
	if err := w.Install(base); err != nil {
		t.Fatal(err)
	}
	w.server = base
	var clients []*tls.Config
	for at = range tenants {
		ca := newAuthority(t, "one subject")
		authorities, pools = append(authorities, ca), append(pools, ca.pool())
		clients = append(clients, w.mtls(tls.VersionTLS13, ca.issue(t)))
		w.want("first", clients[at], false)
	}
	for _, fresh = range []bool{false, true} {
		for at = range tenants {
			w.want("again", clients[at], true)
		}
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
