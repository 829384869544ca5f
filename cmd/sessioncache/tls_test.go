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
	conn := tls.Client(raw, &tls.Config{RootCAs: fl.tls13.RootCAs, ServerName: name,
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
			own := *state
			forged, err := tls.NewResumptionState(make([]byte, size), &own)
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

func TestOffersCarryTheEpochInWhichTheyCame(t *testing.T) {
	hosts := newHosts(1, time.Hour)
	srv, fl := startTest(t, hosts)
	to := hosts[0]
	for name, cfg := range map[string]*tls.Config{"tls1.2": fl.tls12, "tls1.3": fl.tls13} {
		dial := func() *dated { return &dated{ClientSessionCache: cfg.ClientSessionCache, to: to} }
		first, second, third := dial(), dial(), dial()
		visit(t, fl, versions[name], to.name, first)
		before := to.finished.Load()
		if _, err := srv.revoke(hosts); err != nil {
			t.Fatal(err)
		}
		if visit(t, fl, versions[name], to.name, second) || !second.made || second.epoch != before {
			t.Errorf("%s: after a revocation: offer made %v, of epoch %d; want one of %d, declined", name, second.made, second.epoch, before)
		}
		if !visit(t, fl, versions[name], to.name, third) || third.epoch != before+1 {
			t.Errorf("%s: then: offer of epoch %d; want one of %d, accepted", name, third.epoch, before+1)
		}
	}
}

func TestFailuresAreCountedByCauseAndReported(t *testing.T) {
	hosts := newHosts(1, time.Hour)
	srv, fl := startTest(t, hosts)
	fl.clients[0].visit()
	fl.tls13.RootCAs = x509.NewCertPool()
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
