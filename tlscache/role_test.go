package tlscache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// deep calls f below n functions, as a user's VerifyConnection may.
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
}

func TestRolesAreToldApart(t *testing.T) {
	ca := newAuthority(t, "CA")
	versions(t, func(t *testing.T, version uint16) {
		var wrong, inner atomic.Int64
		var asked [2]atomic.Int64
		check := func(want role) func(tls.ConnectionState) error {
			return func(tls.ConnectionState) error {
				asked[want-roleClient].Add(1)
				for _, depth := range []int{0, 1, 7, 30, 60} {
					deep(depth, func() {
						if handshakeRole() != want {
							wrong.Add(1)
						}
					})
				}
				return nil
			}
		}
		server := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, host)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}
		client := &tls.Config{RootCAs: ca.pool(), ServerName: host, MaxVersion: version, Certificates: server.Certificates,
			ClientSessionCache: tls.NewLRUClientSessionCache(0), VerifyConnection: check(roleClient)}
		server.VerifyConnection = func(cs tls.ConnectionState) error {
			// A server may ask another one before it lets a client in: that is a client's handshake.
			within := &tls.Config{InsecureSkipVerify: true, VerifyConnection: check(roleClient)}
			if _, _, err := connect(&tls.Config{Certificates: server.Certificates}, within); err != nil {
				return err
			}
			inner.Add(1)
			return check(roleServer)(cs)
		}
		for i := range 3 {
			_, ofClient, err := connect(server, client)
			if err != nil || ofClient.DidResume != (i > 0) {
				t.Fatalf("visit %d: resumed %v, error %v; want %v", i, ofClient.DidResume, err, i > 0)
			}
		}
		if wrong.Load() != 0 || asked[0].Load() != 6 || asked[1].Load() != 3 || inner.Load() != 3 {
			t.Errorf("%d wrong of %d as client, %d as server; want 0 of 6, 3", wrong.Load(), asked[0].Load(), asked[1].Load())
		}
	})
	if r := handshakeRole(); r != noRole {
		t.Errorf("outside of handshakes: role %d; want none", r)
	}
}

// A mesh is nodes that connect with one Config in both roles.
type mesh struct {
	cfg      *tls.Config
	open     func() (resumed bool, err error)
	visits   atomic.Int64
	resumed  atomic.Int64
	verified atomic.Int64
}

func newMesh(t *testing.T, version uint16, mutually bool) *mesh {
	ca := newAuthority(t, "CA")
	m := new(mesh)
	m.cfg = &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, host)}, RootCAs: ca.pool(), ServerName: host, MaxVersion: version,
		VerifyConnection: func(tls.ConnectionState) error { m.verified.Add(1); return nil },
	}
	if mutually {
		m.cfg.ClientAuth, m.cfg.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool()
	}
	m.open = func() (bool, error) {
		_, ofClient, err := connect(m.cfg, m.cfg)
		return ofClient.DidResume, err
	}
	return m
}

// run makes visits, many at once.
func (m *mesh) run(t *testing.T) {
	t.Helper()
	var nodes sync.WaitGroup
	for range 6 {
		nodes.Go(func() {
			for range 12 {
				resumed, err := m.open()
				if err != nil {
					t.Error(err)
					return
				}
				m.visits.Add(1)
				if resumed {
					m.resumed.Add(1)
				}
			}
		})
	}
	nodes.Wait()
}

func (m *mesh) wantStats(t *testing.T, st ClientStats) {
	t.Helper()
	if visits, resumed := uint64(m.visits.Load()), uint64(m.resumed.Load()); st.Accepted != resumed || st.Accepted > st.Offered ||
		st.Offered+st.Misses[MissGone] != visits || resumed == 0 {
		t.Errorf("%d offered, %d accepted, misses %v; want %d accepted of %d visits", st.Offered, st.Accepted, st.Misses, resumed, visits)
	}
}

func meshes(t *testing.T, test func(t *testing.T, m *mesh)) {
	versions(t, func(t *testing.T, version uint16) {
		for _, mutually := range []bool{false, true} {
			t.Run(fmt.Sprintf("client certificates %v", mutually), func(t *testing.T) { test(t, newMesh(t, version, mutually)) })
		}
	})
}

func TestAMeshCountsItsClientsAlone(t *testing.T) {
	type installs func(t *testing.T, m *mesh, c *Client)
	client := func(t *testing.T, m *mesh, c *Client) {
		if err := c.Install(m.cfg); err != nil {
			t.Fatal(err)
		}
	}
	server := func(t *testing.T, m *mesh, _ *Client) {
		if err := newServer(t, ServerConfig{}).Install(m.cfg); err != nil {
			t.Fatal(err)
		}
	}
	for name, all := range map[string][]installs{
		"a Client alone": {client}, "a Client, then a Server": {client, server}, "a Server, then a Client": {server, client},
		"each twice": {client, server, client, server},
	} {
		t.Run(name, func(t *testing.T) {
			meshes(t, func(t *testing.T, m *mesh) {
				c := newTestClient(t, ClientConfig{})
				for _, install := range all {
					install(t, m, c)
				}
				m.run(t)
				m.wantStats(t, c.Stats())
				if got, want := m.verified.Load(), 2*m.visits.Load(); got != want {
					t.Errorf("VerifyConnection ran %d times in %d visits; want once on each side", got, m.visits.Load())
				}
			})
		})
	}
}

// Nothing that a node does as a server takes tickets from it as a client: those of the name that they share.
func TestServingTakesNoTicketsFromAMesh(t *testing.T) {
	meshes(t, func(t *testing.T, m *mesh) {
		c := newTestClient(t, ClientConfig{})
		if err := c.Install(m.cfg); err != nil {
			t.Fatal(err)
		}
		m.run(t)
		held := c.Stats().Held
		stranger := m.cfg.Clone()
		stranger.ClientSessionCache, stranger.VerifyConnection = nil, nil
		for range 5 {
			if _, _, err := connect(m.cfg, stranger); err != nil {
				t.Fatal(err)
			}
		}
		if st := c.Stats(); st.Held != held || held == 0 {
			t.Errorf("%d tickets held after full handshakes as a server; want the %d from before", st.Held, held)
		}
	})
}

func TestDialTLSContextCountsOnceInAMesh(t *testing.T) {
	meshes(t, func(t *testing.T, m *mesh) {
		installed := newTestClient(t, ClientConfig{})
		if err := installed.Install(m.cfg); err != nil {
			t.Fatal(err)
		}
		c := newTestClient(t, ClientConfig{TLS: m.cfg, DialContext: func(context.Context, string, string) (net.Conn, error) {
			a, b := memPipe()
			go func() {
				s := tls.Server(a, m.cfg)
				defer s.Close()
				_, _ = s.Write([]byte{'!'})
				_, _ = s.Read(make([]byte, 1))
			}()
			return b, nil
		}})
		m.open = func() (bool, error) {
			conn, err := c.DialTLSContext(context.Background(), "tcp", host+":443")
			if err != nil {
				return false, err
			}
			return readGreeting(conn)
		}
		m.run(t)
		m.wantStats(t, c.Stats())
		if viewOf(c.dial.config.VerifyConnection) != nil {
			t.Error("the Client that ClientConfig.TLS had is told of each connection")
		}
		if st := installed.Stats(); st.Offered+st.Accepted != 0 {
			t.Errorf("the Client that ClientConfig.TLS had: %d offered, %d accepted; want none", st.Offered, st.Accepted)
		}
	})
}

func TestALaterClientTakesThePlaceOfAnEarlierOne(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		ca := newAuthority(t, "CA")
		server := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, host)}}
		calls := 0
		cfg := &tls.Config{RootCAs: ca.pool(), ServerName: host, MaxVersion: version,
			VerifyConnection: func(tls.ConnectionState) error { calls++; return nil }}
		visit := func(want bool) {
			t.Helper()
			if _, cs, err := connect(server, cfg); err != nil || cs.DidResume != want {
				t.Errorf("visit: resumed %v, error %v; want %v", cs.DidResume, err, want)
			}
		}
		one, two := newTestClient(t, ClientConfig{}), newTestClient(t, ClientConfig{})
		for i, c := range []*Client{one, two, one, two, two} {
			if err := c.Install(cfg); err != nil {
				t.Fatal(err)
			}
			visit(i > 1)
			visit(true)
			if v := viewOf(cfg.VerifyConnection); v == nil || v.client != c || viewOf(v.verifies) != nil {
				t.Error("Clients stack in VerifyConnection")
			}
		}
		if calls != 10 {
			t.Errorf("the user's VerifyConnection ran %d times in 10 visits", calls)
		}
		for c, want := range map[*Client]uint64{one: 3, two: 5} {
			if st := c.Stats(); st.Offered != want || st.Accepted != want {
				t.Errorf("%d offered, %d accepted; want %d each", st.Offered, st.Accepted, want)
			}
		}
		// Another cache over ours, and its removal.
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		visit(false)
		visit(true)
		if st := two.Stats(); st.Offered != 5 || st.Accepted != 5 {
			t.Errorf("%d offered, %d accepted with another cache in place; want 5, 5 as before", st.Offered, st.Accepted)
		}
		if err := two.Install(cfg); err != nil {
			t.Fatal(err)
		}
		visit(true)
		// VerifyConnection cleared, and put back.
		cfg.VerifyConnection = nil
		visit(true)
		if err := two.Install(cfg); err != nil {
			t.Fatal(err)
		}
		visit(true)
		if st := two.Stats(); st.Offered != 8 || st.Accepted != 7 || calls != 13 {
			t.Errorf("%d offered, %d accepted, %d calls of what was cleared; want 8, 7, 13", st.Offered, st.Accepted, calls)
		}
	})
}

// A user's function over ours stays in force, and counts once with whatever Clients are installed over it.
func TestFunctionsOverAnInstalledVerifyConnectionCountOnce(t *testing.T) {
	ca := newAuthority(t, "CA")
	server := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, host)}}
	cfg := &tls.Config{RootCAs: ca.pool(), ServerName: host}
	one, two := newTestClient(t, ClientConfig{}), newTestClient(t, ClientConfig{})
	if err := one.Install(cfg); err != nil {
		t.Fatal(err)
	}
	ours, refused := cfg.VerifyConnection, errors.New("refused")
	var verdict error
	cfg.VerifyConnection = func(cs tls.ConnectionState) error { return errors.Join(ours(cs), verdict) }
	for _, c := range []*Client{one, one, two, two} {
		if err := c.Install(cfg); err != nil {
			t.Fatal(err)
		}
		if _, _, err := connect(server, cfg); err != nil {
			t.Fatal(err)
		}
	}
	verdict = refused
	if _, _, err := connect(server, cfg); !errors.Is(err, refused) {
		t.Errorf("connect = %v; want the user's verdict", err)
	}
	for _, c := range []*Client{one, two} {
		if st := c.Stats(); st.Accepted > st.Offered {
			t.Errorf("%d accepted of %d offered", st.Accepted, st.Offered)
		}
	}
	if st := one.Stats(); st.Offered != 1 || st.Accepted != 1 {
		t.Errorf("the first Client: %d offered, %d accepted; want 1, 1", st.Offered, st.Accepted)
	}
}

// Only what Install asks itself is a question: no certificate of a peer's is.
func TestVerifyConnectionIsNotMistakenForAQuestion(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	cfg := new(tls.Config)
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	for _, certs := range [][]*x509.Certificate{nil, {}, {{}}, {question.peers[0]}, append(question.peers[:1:1], question.peers[0])} {
		if err := cfg.VerifyConnection(tls.ConnectionState{PeerCertificates: certs}); err != nil {
			t.Errorf("VerifyConnection with %d certificates = %v; want nil", len(certs), err)
		}
	}
}
