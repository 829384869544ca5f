package tlscache

import (
	"crypto/tls"
	"reflect"
	"testing"
	"time"
)

// A moment is what crypto/tls passes to WrapSession in a real handshake.
type moment struct {
	cs tls.ConnectionState
	ss *tls.SessionState
}

// resumed returns the moment as if its connection had resumed.
func (m moment) resumed() moment {
	m.cs.DidResume = true
	return m
}

// fresh returns the moment with a session state of its own: WrapSession owns what it gets.
func (m moment) fresh() moment {
	own := *m.ss
	m.ss = &own
	return m
}

// capture returns a moment of a first handshake, for tests that call the hooks themselves: a
// hundred thousand handshakes take a minute, so many calls a second.
func capture(t testing.TB, w *world, client *tls.Config) moment {
	t.Helper()
	var m moment
	cfg := w.server.Clone()
	cfg.UnwrapSession = nil
	cfg.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		m = moment{cs, ss}
		return []byte("ticket"), nil
	}
	resumes(t, cfg, client)
	if m.ss == nil {
		t.Fatal("crypto/tls did not call WrapSession")
	}
	return m
}

// helloOn returns a ClientHello on a connection that uses a Config, as crypto/tls passes it.
func helloOn(cfg *tls.Config, serverName string) *tls.ClientHelloInfo {
	hello := &tls.ClientHelloInfo{ServerName: serverName}
	field := reflect.ValueOf(hello).Elem().FieldByName("config")
	*(**tls.Config)(field.Addr().UnsafePointer()) = cfg
	return hello
}

// open returns the Config that a connection uses after its ClientHello.
func (w *world) open(serverName string) *tls.Config {
	w.t.Helper()
	if w.server.GetConfigForClient != nil {
		cfg, err := w.server.GetConfigForClient(helloOn(w.server, serverName))
		if err != nil {
			w.t.Fatal(err)
		}
		if cfg != nil {
			return cfg
		}
	}
	return w.server
}

// wrapped calls WrapSession as crypto/tls does: of a resumed connection, after unwrapped has found what it
// resumes.
func (w *world) wrapped(m moment) []byte {
	w.t.Helper()
	if !m.cs.DidResume || w.conn == nil {
		w.conn = w.open(m.cs.ServerName)
	}
	ticket, err := w.conn.WrapSession(m.cs, m.fresh().ss)
	if err != nil || len(ticket) == 0 {
		w.t.Fatalf("WrapSession = %d bytes, %v; want a ticket", len(ticket), err)
	}
	return ticket
}

// unwrapped calls UnwrapSession as crypto/tls does, before anything is known of the client.
func (w *world) unwrapped(ticket []byte, m moment) *tls.SessionState {
	w.t.Helper()
	w.conn = w.open(m.cs.ServerName)
	ss, err := w.conn.UnwrapSession(ticket, tls.ConnectionState{
		Version: m.cs.Version, ServerName: m.cs.ServerName, CipherSuite: m.cs.CipherSuite})
	if err != nil {
		w.t.Fatalf("UnwrapSession: %v; an error aborts the handshake", err)
	}
	return ss
}

// wantMiss checks that a ticket is not resumed, and why.
func (w *world) wantMiss(what string, ticket []byte, m moment, reason MissReason) {
	w.t.Helper()
	before := w.Stats().Misses
	if w.unwrapped(ticket, m) != nil {
		w.t.Errorf("%s: the ticket is resumed; want a miss: %v", what, reason)
		return
	}
	after := w.Stats().Misses
	for r, n := range after {
		if want := before[r]; r == reason && n != want+1 || r != reason && n != want {
			w.t.Errorf("%s: misses for %q went from %d to %d; want one more for %q", what, r, want, n, reason)
		}
	}
}

// mtls returns a client's configuration with a certificate of the world's authority.
func (w *world) mtls(version uint16, cert tls.Certificate) *tls.Config {
	return w.client(version, func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{cert} })
}

// principalOf returns the principal that the Server gives a certificate.
func principalOf(t testing.TB, cert tls.Certificate) string {
	t.Helper()
	leaf := cert.Leaf
	if leaf == nil {
		t.Fatal("the certificate was not parsed")
	}
	return PrincipalOf(leaf)
}

const long = time.Minute // a budget that no busy machine exceeds
