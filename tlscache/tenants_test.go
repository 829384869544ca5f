package tlscache

import (
	"crypto/tls"
	"testing"
	"time"
)

// A callback chooses among Configs of several Servers, each with rules of its own. The Server of the Config
// that it chooses serves the connection, and not the one whose Install came last.
func TestACallbackMayChooseAmongServers(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(t, ServerConfig{})
		tenants := newServer(t, ServerConfig{TTL: time.Hour})
		tenant := w.server.Clone()
		tenant.WrapSession, tenant.UnwrapSession, tenant.GetConfigForClient = nil, nil, nil
		if err := tenants.Install(tenant); err != nil {
			t.Fatal(err)
		}
		front := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return tenant, nil }}
		if err := w.Install(front); err != nil {
			t.Fatal(err)
		}
		client := w.client(version)
		if resumes(t, front, client) {
			t.Error("the first visit resumes")
		}
		if !resumes(t, front, client) {
			t.Errorf("%s: the second visit does not resume: %v", tls.VersionName(version), tenants.Stats().Misses)
		}
		if mine, others := tenants.Stats().Stored, w.Stats().Stored; mine == 0 || others != 0 {
			t.Errorf("%s: the tenant's Server stored %d sessions, the other %d; want some, 0", tls.VersionName(version), mine, others)
		}
		if err := tenants.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if resumes(t, front, client) {
			t.Errorf("%s: resumes after the tenant's Server revoked all", tls.VersionName(version))
		}
	}
}

// The connection began before the callback ran, which may have revoked, for the tenant's Server as well.
func TestACallbackThatRevokesReachesTheConnectionThatAskedIt(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(t, ServerConfig{})
		tenants := newServer(t, ServerConfig{})
		tenant := w.server.Clone()
		tenant.WrapSession, tenant.UnwrapSession, tenant.GetConfigForClient = nil, nil, nil
		if err := tenants.Install(tenant); err != nil {
			t.Fatal(err)
		}
		revoked := false
		front := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if !revoked {
				revoked = true
				if err := tenants.RevokeAll(t.Context()); err != nil {
					t.Error(err)
				}
			}
			return tenant, nil
		}}
		if err := w.Install(front); err != nil {
			t.Fatal(err)
		}
		client := w.client(version)
		resumes(t, front, client)
		if resumes(t, front, client) {
			t.Errorf("%s: resumes a session of a connection that began before the revocation", tls.VersionName(version))
		}
		if !resumes(t, front, client) {
			t.Errorf("%s: does not resume one from after it: %v", tls.VersionName(version), tenants.Stats().Misses)
		}
	}
}
