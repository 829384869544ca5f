package tlscache

import (
	"bytes"
	"crypto/fips140"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A half is one direction of a connection in memory that never blocks its writer, as a socket's
// buffer does not. It works within synctest, where sockets do not.
type half struct {
	mu     sync.Mutex
	more   sync.Cond
	buf    bytes.Buffer
	closed bool
}

func newHalf() *half {
	h := new(half)
	h.more.L = &h.mu
	return h
}

// A memConn is one end of a connection in memory.
type memConn struct{ in, out *half }

func memPipe() (a, b net.Conn) {
	x, y := newHalf(), newHalf()
	return &memConn{x, y}, &memConn{y, x}
}

func (c *memConn) Read(p []byte) (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	for c.in.buf.Len() == 0 {
		if c.in.closed {
			return 0, io.EOF
		}
		c.in.more.Wait()
	}
	return c.in.buf.Read(p)
}

func (c *memConn) Write(p []byte) (int, error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.closed {
		return 0, net.ErrClosed
	}
	defer c.out.more.Broadcast()
	return c.out.buf.Write(p)
}

func (c *memConn) Close() error {
	for _, h := range []*half{c.in, c.out} {
		h.mu.Lock()
		h.closed = true
		h.more.Broadcast()
		h.mu.Unlock()
	}
	return nil
}

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "mem" }

func (c *memConn) LocalAddr() net.Addr              { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr             { return memAddr{} }
func (c *memConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *memConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *memConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// connect does one handshake in memory and lets the client read its ticket.
func connect(server, client *tls.Config) (ofServer, ofClient tls.ConnectionState, err error) {
	a, b := memPipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte("x"))
		if err != nil {
			a.Close() // or the client waits for ever
		}
		done <- err
	}()
	one := make([]byte, 1)
	_, clientErr := c.Read(one)
	if clientErr != nil {
		b.Close()
	}
	serverErr := <-done
	ofServer, ofClient = s.ConnectionState(), c.ConnectionState()
	a.Close()
	b.Close()
	return ofServer, ofClient, errors.Join(serverErr, clientErr)
}

// A world is one authority, a server's configuration and its Server.
type world struct {
	t      testing.TB
	ca     *authority
	server *tls.Config
	conn   *tls.Config // of the connection whose hooks a test calls itself
	*Server
}

const host = "host.example"

func newWorld(t testing.TB, cfg ServerConfig, change ...func(*tls.Config)) *world {
	t.Helper()
	w := &world{t: t, ca: newAuthority(t, "authority")}
	w.server = w.config(change...)
	w.Server = newServer(t, cfg)
	if err := w.Install(w.server); err != nil {
		t.Fatal(err)
	}
	return w
}

func newServer(t testing.TB, cfg ServerConfig) *Server {
	t.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// config returns a server's configuration without hooks.
func (w *world) config(change ...func(*tls.Config)) *tls.Config {
	cfg := &tls.Config{Certificates: []tls.Certificate{w.ca.issue(w.t, host, "other.example")}}
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

// mutual makes a server's configuration ask for client certificates.
func mutual(ca *authority) func(*tls.Config) {
	return func(cfg *tls.Config) { cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool() }
}

// client returns a client's configuration with a cache of its own.
func (w *world) client(version uint16, change ...func(*tls.Config)) *tls.Config {
	cfg := &tls.Config{RootCAs: w.ca.pool(), ServerName: host, MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

// resumes does one handshake and reports whether it resumed.
func (w *world) resumes(client *tls.Config) bool {
	w.t.Helper()
	return resumes(w.t, w.server, client)
}

func resumes(t testing.TB, server, client *tls.Config) bool {
	t.Helper()
	ofServer, ofClient, err := connect(server, client)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if ofServer.DidResume != ofClient.DidResume {
		t.Fatalf("the server says resumed = %v, the client %v", ofServer.DidResume, ofClient.DidResume)
	}
	return ofClient.DidResume
}

// want does one handshake and compares.
func (w *world) want(what string, client *tls.Config, resumed bool) {
	w.t.Helper()
	if got := w.resumes(client); got != resumed {
		w.t.Errorf("%s: resumed = %v; want %v (misses %v)", what, got, resumed, w.misses())
	}
}

// misses returns the misses that are not 0.
func (w *world) misses() map[MissReason]uint64 {
	m := w.Stats().Misses
	for r, n := range m {
		if n == 0 {
			delete(m, r)
		}
	}
	return m
}

func versions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, v) })
	}
}

func newMemory(t testing.TB, cfg session.MemoryConfig) *session.Memory {
	t.Helper()
	m, err := session.NewMemory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// remote hides that a Store is Local, so that a Server treats it as one elsewhere.
type remote struct{ session.Store }

// bubble runs handshakes in virtual time. Go's FIPS entropy source measures time, which stands still in a
// bubble, so there it fails as soon as two goroutines need random bytes at once.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if fips140.Enabled() {
		t.Skip("crypto/rand panics in a synctest bubble in FIPS mode")
	}
	synctest.Test(t, f)
}
