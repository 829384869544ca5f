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
		"plain":         serverScope("", &tls.Config{}, false),
		"client":        clientScope("", &tls.Config{}, false),
		"named":         serverScope("tenant", &tls.Config{}, false),
		"leaf a":        serverScope("", &tls.Config{Certificates: []tls.Certificate{a}}, false),
		"leaf b":        serverScope("", &tls.Config{Certificates: []tls.Certificate{b}}, false),
		"leaves a, b":   serverScope("", &tls.Config{Certificates: []tls.Certificate{a, b}}, false),
		"client auth":   serverScope("", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert}, false),
		"client auth 1": serverScope("", &tls.Config{ClientAuth: tls.RequestClientCert}, false),
		"insecure":      clientScope("", &tls.Config{InsecureSkipVerify: true}, false),
		"up to 1.2":     serverScope("", &tls.Config{MaxVersion: tls.VersionTLS12}, false),
		"from 1.3":      serverScope("", &tls.Config{MinVersion: tls.VersionTLS13}, false),
		"ECH":           clientScope("", &tls.Config{EncryptedClientHelloConfigList: []byte{1}}, false),
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
		if serverScope("", pair[0], false) != serverScope("", pair[1], false) {
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
		{"server that verifies", serverScope("", verify, false), "VerifyPeerCertificate"},
		{"the same, named", serverScope("a", verify, false), ""},
		{"client that verifies", clientScope("", verify, false), "VerifyPeerCertificate"},
		{"client that chooses a certificate", clientScope("", cert, false), "GetClientCertificate"},
		{"the same, named", clientScope("a", cert, false), ""},
		{"client with ECH", clientScope("", &tls.Config{EncryptedClientHelloConfigList: []byte{1}}, false), ""},
		{"a server does not use it", serverScope("", cert, false), ""},
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
		"server, VerifyPeerCertificate": {serverScope("a", &tls.Config{}, false), serverScope("a", &tls.Config{VerifyPeerCertificate: pin}, false)},
		"client, VerifyPeerCertificate": {clientScope("a", &tls.Config{}, false), clientScope("a", &tls.Config{VerifyPeerCertificate: pin}, false)},
		"client, GetClientCertificate":  {clientScope("a", &tls.Config{}, false), clientScope("a", &tls.Config{GetClientCertificate: choose}, false)},
		"client, one and the other": {clientScope("a", &tls.Config{VerifyPeerCertificate: pin}, false),
			clientScope("a", &tls.Config{GetClientCertificate: choose}, false)},
		"client, ECH": {clientScope("a", &tls.Config{}, false), clientScope("a", &tls.Config{EncryptedClientHelloConfigList: ech}, false)},
	} {
		if pair[0] == pair[1] {
			t.Errorf("%s: with and without it is one scope", what)
		}
	}
	if serverScope("a", &tls.Config{}, false) != serverScope("a", &tls.Config{GetClientCertificate: choose, EncryptedClientHelloConfigList: ech}, false) {
		t.Error("a server's scope depends on what only clients use")
	}
}

// Processes that share a Store compute scopes by themselves: what they were in version 1 they stay.
func TestScopesWithoutFunctionsAreThoseOfTheFirstVersion(t *testing.T) {
	leaf := tls.Certificate{Certificate: [][]byte{{1}}} // has no names, so it counts itself
	for want, s := range map[string]scope{
		"b5a31feb9638050f": serverScope("", &tls.Config{Certificates: []tls.Certificate{leaf}, ClientAuth: tls.RequestClientCert}, false),
		"9f61e80ccf7e14af": serverScope("tenant", &tls.Config{ClientAuth: tls.RequestClientCert}, false),
		"1f42deb230f763c2": clientScope("tenant", &tls.Config{Certificates: []tls.Certificate{leaf}}, false),
	} {
		if got := hex.EncodeToString(s.sum[:8]); got != want {
			t.Errorf("the scope begins with %s; want %s", got, want)
		}
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
