package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// startTest serves hosts, with sessions that outlive the test, to a fleet of four clients
// that does not run.
func startTest(t *testing.T, hosts []*host) (*server, *fleet) {
	t.Helper()
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := startServer(id.leaf, hosts, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.close)
	fl, err := newFleet(4, hosts, srv.addr(), id.roots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fl.sessions.Close() })
	return srv, fl
}

// lastTicket is a tls.ClientSessionCache of one session, which it offers under any name.
type lastTicket struct{ session *tls.ClientSessionState }

func (c *lastTicket) Get(string) (*tls.ClientSessionState, bool) { return c.session, c.session != nil }

func (c *lastTicket) Put(_ string, cs *tls.ClientSessionState) {
	if cs != nil {
		c.session = cs
	}
}

// visit does one handshake and reports whether it resumed.
func visit(t *testing.T, fl *fleet, version uint16, name string, cache tls.ClientSessionCache) bool {
	t.Helper()
	raw, err := net.DialTimeout("tcp", fl.addr, ioTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{RootCAs: fl.roots, ServerName: name,
		MaxVersion: version, ClientSessionCache: cache})
	msg, err := io.ReadAll(conn)
	if err != nil || string(msg) != greeting {
		t.Fatalf("visit of %s got %q, %v; want %q", name, msg, err, greeting)
	}
	return conn.ConnectionState().DidResume
}

var versions = map[string]uint16{"tls1.2": tls.VersionTLS12, "tls1.3": tls.VersionTLS13}

func TestHandleOfOneHostDoesNotResumeUnderAnother(t *testing.T) {
	hosts := newHosts(2, time.Hour)
	_, fl := startTest(t, hosts)
	for name, version := range versions {
		var cache lastTicket
		if visit(t, fl, version, hosts[0].name, &cache) {
			t.Errorf("%s: first visit resumed; want a full handshake", name)
		}
		fromFirst := cache
		if visit(t, fl, version, hosts[1].name, &cache) {
			t.Errorf("%s: a handle of the first host resumed under the second; want a full handshake", name)
		}
		if !visit(t, fl, version, hosts[0].name, &fromFirst) {
			t.Errorf("%s: the handle did not resume under its own host", name)
		}
	}
}

func TestForgedIdentityMeansAFullHandshake(t *testing.T) {
	hosts := newHosts(1, time.Hour)
	_, fl := startTest(t, hosts)
	for name, version := range versions {
		for _, size := range []int{1, 32, 96, 60_000} {
			var cache lastTicket
			visit(t, fl, version, hosts[0].name, &cache)
			_, state, err := cache.session.ResumptionState()
			if err != nil {
				t.Fatal(err)
			}
			forged, err := tls.NewResumptionState(make([]byte, size), privateCopy(state))
			if err != nil {
				t.Fatal(err)
			}
			if visit(t, fl, version, hosts[0].name, &lastTicket{forged}) {
				t.Errorf("%s: a forged handle of %d bytes resumed; want a full handshake", name, size)
			}
		}
	}
}

func TestRevocationForcesOneFullHandshake(t *testing.T) {
	hosts := newHosts(2, time.Hour)
	srv, fl := startTest(t, hosts)
	for name, version := range versions {
		var revoked, other lastTicket
		visit(t, fl, version, hosts[0].name, &revoked)
		visit(t, fl, version, hosts[1].name, &other)
		if !visit(t, fl, version, hosts[0].name, &revoked) {
			t.Errorf("%s: the second visit did not resume", name)
		}
		if n, err := srv.revoke(hosts[:1]); n == 0 || err != nil {
			t.Errorf("%s: revoked %d sessions, %v; want some", name, n, err)
		}
		if visit(t, fl, version, hosts[0].name, &revoked) {
			t.Errorf("%s: the visit after the revocation resumed; want a full handshake", name)
		}
		if !visit(t, fl, version, hosts[0].name, &revoked) || !visit(t, fl, version, hosts[1].name, &other) {
			t.Errorf("%s: the new session, or one of another host, did not resume", name)
		}
	}
}

func TestClientCacheHandsOutNewestFirstAndKeepsTheLast(t *testing.T) {
	hosts := newHosts(2, time.Hour)
	cache, err := newClientCache()
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	name := hosts[0].name
	dial := func() *dialCache { return cache.view("tls1.3", hosts[0]) }
	dial().Put(name, sessionWith(t, "old"))
	dial().Put(name, sessionWith(t, "new"))
	dial().Put("other.demo.test", nil)

	var last *tls.SessionState
	for _, want := range []string{"new", "old", "old"} {
		cs, ok := dial().Get(name)
		if !ok || cs == nil {
			t.Fatalf("Get = %v, %v; want the session %q", cs, ok, want)
		}
		ticket, state, _ := cs.ResumptionState()
		if string(ticket) != want || state == last {
			t.Errorf("Get handed out %q, shared: %v; want %q, a copy of its own", ticket, state == last, want)
		}
		last = state
	}
	for _, view := range []*dialCache{cache.view("tls1.2", hosts[0]), cache.view("tls1.3", hosts[1])} {
		if cs, ok := view.Get(view.to.name); cs != nil || ok {
			t.Errorf("Get of %q = %v, %v; want nil, false", view.scope, cs, ok)
		}
	}
}

func TestClientCacheStrikesOnlyWhatTheDialOffered(t *testing.T) {
	hosts := newHosts(1, time.Hour)
	cache, err := newClientCache()
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	name := hosts[0].name
	cache.view("", hosts[0]).Put(name, nil)
	if cs, ok := cache.view("", hosts[0]).Get(name); cs != nil || ok {
		t.Errorf("Get after Put(nil) of nothing = %v, %v; want nil, false", cs, ok)
	}
	cache.view("", hosts[0]).Put(name, sessionWith(t, "a"))
	cache.view("", hosts[0]).Put(name, nil) // a dial that offered nothing
	if n := cache.Size(); n != 1 {
		t.Errorf("%d sessions after the Put(nil) of a dial that offered none; want 1", n)
	}
	failing, parallel := cache.view("", hosts[0]), cache.view("", hosts[0])
	failing.Get(name)
	parallel.Put(name, sessionWith(t, "b"))
	failing.Put(name, nil)
	if n := cache.Size(); n != 1 {
		t.Errorf("%d sessions after the strike of one of two; want 1", n)
	}
	cs, ok := cache.view("", hosts[0]).Get(name)
	if ticket, _, _ := cs.ResumptionState(); !ok || string(ticket) != "b" {
		t.Errorf("after a strike Get = %q, %v; want the parallel dial's b", ticket, ok)
	}
	next := cache.view("", hosts[0])
	next.Get(name)
	next.Put(name, sessionWith(t, "c"))
	if n := cache.Size(); n != 1 {
		t.Errorf("%d sessions after the kept one was replaced; want 1", n)
	}
	for range 3 * ticketsPerKey {
		cache.view("", hosts[0]).Put(name, sessionWith(t, "many"))
	}
	if n := cache.Size(); n != ticketsPerKey {
		t.Errorf("%d sessions of one host; want the quota of %d", n, ticketsPerKey)
	}
}

func sessionWith(t *testing.T, ticket string) *tls.ClientSessionState {
	t.Helper()
	cs, err := tls.NewResumptionState([]byte(ticket), &tls.SessionState{})
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func TestFailuresAreCountedByCauseAndReported(t *testing.T) {
	hosts := newHosts(1, time.Hour)
	srv, fl := startTest(t, hosts)
	fl.clients[0].visit()
	fl.roots = x509.NewCertPool()
	fl.clients[1].visit() // the same version, so that it resumes and needs the roots all the same
	srv.stop()
	fl.clients[2].visit()

	rep := newReport(demoConfig{hosts: 1, clients: 4}, time.Second, srv, fl)
	want := map[string]int{"handshake: certificate": 1, "connect: refused": 1}
	for what, n := range want {
		if rep.Failures[what] != n {
			t.Errorf("failures %v; want %v", rep.Failures, want)
		}
	}
	if rep.Failed != 2 || rep.Handshakes != 1 || len(rep.Problems) != 1 {
		t.Errorf("%d failed and %d completed handshakes, problems %q; want 2, 1, and one problem", rep.Failed, rep.Handshakes, rep.Problems)
	}
}

func TestReportShowsCountsThatDiffer(t *testing.T) {
	hosts := newHosts(1, time.Hour)
	tests := []struct {
		name  string
		spoil func(*server, *fleet)
		want  string
	}{
		{"nothing wrong", func(*server, *fleet) {}, ""},
		{"the server missed one", func(s *server, _ *fleet) { s.full.Add(^uint64(0)) }, "the server completed 0 full"},
		{"the clients began one more", func(_ *server, f *fleet) { f.begun.Add(1) }, "clients began 2 visits"},
		{"a revoked session resumed", func(_ *server, f *fleet) { f.revokedResumed.Add(1) }, "1 handshakes resumed from a revoked"},
		{"a session was refused", func(s *server, f *fleet) {
			s.sessions.Close()
			_, _ = s.config.WrapSession(tls.ConnectionState{Version: tls.VersionTLS13}, new(tls.SessionState))
		}, "refused 1 sessions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			srv, fl := startTest(t, hosts)
			fl.clients[0].visit()
			srv.stop()
			tt.spoil(srv, fl)
			got := newReport(demoConfig{}, time.Second, srv, fl).Problems
			if strings.Join(got, "\n") != "" && tt.want == "" || !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("problems %q; want %q", got, tt.want)
			}
		})
	}
}

func TestSessionsOfEveryTenthHostLiveShorter(t *testing.T) {
	hosts := newHosts(shortLivedEvery, 20*time.Minute)
	srv, fl := startTest(t, hosts)
	for i, want := range map[int]time.Duration{0: time.Hour, shortLivedEvery - 1: time.Minute} {
		visit(t, fl, tls.VersionTLS13, hosts[i].name, new(lastTicket))
		var left time.Duration
		for e, err := range srv.sessions.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			left = time.Until(e.Expires)
			if err := srv.sessions.Delete(t.Context(), e.Key); err != nil {
				t.Fatal(err)
			}
		}
		if left > want || left < want-time.Minute/2 {
			t.Errorf("host %d: session held for %v more; want %v", i, left, want)
		}
	}
}
