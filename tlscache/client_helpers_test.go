package tlscache

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

const testName = "a.test"

// A peer is a TLS server on loopback that greets every client with one byte, and notes which
// tickets were offered to it.
type peer struct {
	addr  string
	cfg   *tls.Config
	roots *authority
	mu    struct {
		sync.Mutex
		offered map[string]int // identities, by how often
	}
}

// startPeer runs a server until the test ends. change may change its Config.
func startPeer(t testing.TB, change func(*tls.Config)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{addr: l.Addr().String(), roots: newAuthority(t, "peer CA")}
	p.mu.offered = map[string]int{}
	cfg := &tls.Config{Certificates: []tls.Certificate{p.roots.issue(t, testName, "b.test", "*.many.test")}}
	p.cfg = cfg
	cfg.WrapSession = cfg.EncryptTicket
	cfg.UnwrapSession = cfg.DecryptTicket
	if change != nil {
		change(cfg)
	}
	unwrap := cfg.UnwrapSession
	cfg.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		if len(identity) > 0 {
			p.mu.Lock()
			p.mu.offered[string(identity)]++
			p.mu.Unlock()
		}
		return unwrap(identity, cs)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { greet(raw, cfg) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return p
}

// greet serves one connection: the greeting, and the end when the client wants it.
func greet(raw net.Conn, cfg *tls.Config) {
	defer raw.Close()
	_ = raw.SetDeadline(time.Now().Add(time.Minute))
	conn := tls.Server(raw, cfg)
	if conn.Handshake() != nil {
		return
	}
	if _, err := conn.Write([]byte{'!'}); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, conn)
}

// restart makes the peer forget its ticket keys, as a restart does.
func (p *peer) restart(key byte) { p.cfg.SetSessionTicketKeys([][32]byte{{1, key}}) }

// offers returns how many tickets were offered, and how many of them more than once.
func (p *peer) offers() (offered, twice int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.mu.offered {
		offered += n
		if n > 1 {
			twice++
		}
	}
	return offered, twice
}

// config returns a client Config that trusts the peer.
func (p *peer) config() *tls.Config {
	return &tls.Config{RootCAs: p.roots.pool(), ServerName: testName}
}

// visit connects with a Config, reads the greeting and reports whether the session resumed.
func (p *peer) visit(cfg *tls.Config) (resumed bool, err error) {
	return p.visitContext(context.Background(), cfg)
}

func (p *peer) visitContext(ctx context.Context, cfg *tls.Config) (resumed bool, err error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return false, err
	}
	defer raw.Close()
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return false, err
	}
	return readGreeting(conn)
}

// readGreeting reads, with which tickets come, and ends the connection.
func readGreeting(conn net.Conn) (resumed bool, err error) {
	defer hangUp(conn)
	tc, ok := conn.(*tls.Conn)
	if !ok {
		return false, errors.New("not a *tls.Conn")
	}
	var greeting [1]byte
	if _, err := io.ReadFull(tc, greeting[:]); err != nil {
		return false, err
	}
	return tc.ConnectionState().DidResume, nil
}

// hangUp spares loopback a minute of TIME_WAIT.
func hangUp(conn net.Conn) {
	if tc, ok := conn.(*tls.Conn); ok {
		if tcp, ok := tc.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	conn.Close()
}

// mustVisit is visit for a visit that must succeed, and resume or not.
func (p *peer) mustVisit(t testing.TB, cfg *tls.Config, want bool) {
	t.Helper()
	if resumed, err := p.visit(cfg); err != nil || resumed != want {
		t.Fatalf("visit: resumed = %v, error %v; want %v", resumed, err, want)
	}
}

func newTestClient(t testing.TB, cfg ClientConfig) *Client {
	t.Helper()
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// installed returns a Config for the peer with the Client installed.
func (p *peer) installed(t testing.TB, c *Client) *tls.Config {
	t.Helper()
	cfg := p.config()
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A fakeTicket describes a client's session state that no server has made.
type fakeTicket struct {
	label   string
	version uint16 // 0: TLS 1.3
	created time.Time
	life    time.Duration // 0: 7 days
	secret  string
}

var fakeLeaf = sync.OnceValue(func() []byte {
	return newAuthority(&testing.T{}, "fake CA").issue(&testing.T{}, testName).Certificate[0]
})

// state returns what crypto/tls would pass to Put.
func (f fakeTicket) state(t testing.TB) *tls.ClientSessionState {
	t.Helper()
	state, err := tls.ParseSessionState(f.encode())
	if err != nil {
		t.Fatal(err)
	}
	cs, err := tls.NewResumptionState([]byte(f.label), state)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func (f fakeTicket) encode() []byte {
	if f.version == 0 {
		f.version = tls.VersionTLS13
	}
	if f.created.IsZero() {
		f.created = time.Now()
	}
	if f.life == 0 {
		f.life = tickets.MaxLife13
	}
	if f.secret == "" {
		f.secret = "secret of " + f.label
	}
	leaf := fakeLeaf()
	b := binary.BigEndian.AppendUint16(nil, f.version)
	b = append(b, 2, 0x13, 0x01)
	b = binary.BigEndian.AppendUint64(b, uint64(f.created.Unix()))
	b = append(b, byte(len(f.secret)))
	b = append(b, f.secret...)
	b = append24(b, nil)                               // Extra
	b = append(b, 1, 0)                                // extended master secret, early data
	b = append24(b, append(append24(nil, leaf), 0, 0)) // certificates, each with extensions
	b = append24(b, nil)                               // chains
	if f.version < tls.VersionTLS13 {
		return append(b, 0, 29)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(f.created.Add(f.life).Unix()))
	return append(b, 0, 0, 0, 0)
}

func append24(b, field []byte) []byte {
	n := len(field)
	return append(append(b, byte(n>>16), byte(n>>8), byte(n)), field...)
}

// labelOf returns the ticket that a cache hands out; empty: none.
func labelOf(t testing.TB, cache tls.ClientSessionCache, name string) string {
	t.Helper()
	cs, ok := cache.Get(name)
	if !ok {
		return ""
	}
	label, _, err := cs.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	return string(label)
}

// newFakeTicket returns a ticket that a Client's pool may hold.
func newFakeTicket(t testing.TB, c *Client, f fakeTicket) tickets.Ticket {
	t.Helper()
	made, _, ok := tickets.New(f.state(t), c.clock.Read(), tickets.MaxLife13, c.families)
	if !ok {
		t.Fatal("newTicket refuses a ticket that came just now")
	}
	return made
}

func always() bool { return true }
