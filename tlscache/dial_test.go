package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// dialTo returns a ClientConfig.DialContext that reaches whatever addr says at the time.
func dialTo(addr func() string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr())
	}
}

func dialAndRead(c *Client) (resumed bool, err error) {
	return dialAndReadContext(context.Background(), c)
}

func dialAndReadContext(ctx context.Context, c *Client) (resumed bool, err error) {
	conn, err := c.DialTLSContext(ctx, "tcp", testName+":443")
	if err != nil {
		return false, err
	}
	return readGreeting(conn)
}

func wantDial(t testing.TB, c *Client, want bool) {
	t.Helper()
	if resumed, err := dialAndRead(c); err != nil || resumed != want {
		t.Fatalf("dial: resumed = %v, error %v; want %v", resumed, err, want)
	}
}

func TestTransportsSpeakHTTP2AndResume(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c := newTestClient(t, ClientConfig{TLS: &tls.Config{
		RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2", "http/1.1"},
	}})
	installed := &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS13} // another scope
	if err := c.Install(installed); err != nil {
		t.Fatal(err)
	}
	for name, transport := range map[string]*http.Transport{
		"DialTLSContext": {DialTLSContext: c.DialTLSContext, ForceAttemptHTTP2: true},
		"Install":        {TLSClientConfig: installed, ForceAttemptHTTP2: true},
	} {
		client := &http.Client{Transport: transport}
		for i := range 3 {
			resp, err := client.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			resp.Body.Close()
			if resp.ProtoMajor != 2 || resp.TLS.DidResume != (i > 0) {
				t.Errorf("%s: request %d: %s, resumed %v; want HTTP/2.0, %v", name, i, resp.Proto, resp.TLS.DidResume, i > 0)
			}
			transport.CloseIdleConnections()
		}
	}
}

// startEndpoints runs servers behind one name that share no ticket keys.
func startEndpoints(t testing.TB, n int, change func(*tls.Config)) (peers []*peer) {
	t.Helper()
	cert := newAuthority(t, "endpoints' CA")
	leaf := cert.issue(t, testName)
	for range n {
		p := startPeer(t, func(cfg *tls.Config) {
			cfg.Certificates = []tls.Certificate{leaf}
			if change != nil {
				change(cfg)
			}
		})
		p.roots = cert
		peers = append(peers, p)
	}
	return peers
}

func TestEveryEndpointResumesItsOwn(t *testing.T) {
	peers := startEndpoints(t, 10, nil)
	at := 0
	c := newTestClient(t, ClientConfig{
		TLS:         peers[0].config(),
		DialContext: dialTo(func() string { at++; return peers[at%len(peers)].addr }),
	})
	for range peers {
		wantDial(t, c, false)
	}
	for range 3 * len(peers) {
		wantDial(t, c, true)
	}
}

func TestANewEndpointIsOfferedACopyOfTheNamesTicket(t *testing.T) {
	shared := [32]byte{1}
	for _, singleUse := range []bool{false, true} {
		peers := startEndpoints(t, 3, func(cfg *tls.Config) { cfg.SetSessionTicketKeys([][32]byte{shared}) })
		at := 0
		c := newTestClient(t, ClientConfig{
			TLS: peers[0].config(), SingleUse: singleUse,
			DialContext: dialTo(func() string { return peers[at].addr }),
		})
		wantDial(t, c, false)
		for at = 1; at < len(peers); at++ {
			wantDial(t, c, !singleUse)
		}
		for at = range peers {
			wantDial(t, c, true)
		}
	}
}

// An endpoint that neither takes the name's ticket nor issues one is left alone with it.
func TestAnEndpointThatDeclinesTheNamesTicketIsNotOfferedItAgain(t *testing.T) {
	peers := startEndpoints(t, 1, nil)
	silent := startEndpoints(t, 1, func(cfg *tls.Config) {
		cfg.Certificates = []tls.Certificate{peers[0].roots.issue(t, testName)}
		cfg.SessionTicketsDisabled = true
	})[0]
	addr := peers[0].addr
	c := newTestClient(t, ClientConfig{TLS: peers[0].config(), DialContext: dialTo(func() string { return addr })})
	wantDial(t, c, false)
	addr = silent.addr
	for range 3 {
		wantDial(t, c, false)
	}
	if st := c.Stats(); st.Offered != 1 || st.Misses[MissDeclined] != 1 {
		t.Errorf("Stats = %+v; want one offer, declined", st)
	}
	addr = peers[0].addr
	wantDial(t, c, true)
}

// cancelling cancels a context in the middle of the handshake: the ClientHello is out, and
// its answer is not read.
type cancelling struct {
	net.Conn
	cancel context.CancelFunc
}

func (c cancelling) Read([]byte) (int, error) {
	c.cancel()
	return 0, context.Canceled
}

// cancelledDial returns the error of a dial that its context ends in the middle.
func cancelledDial(c *Client) error {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), cancelKey{}, true))
	defer cancel()
	_, err := dialAndReadContext(context.WithValue(ctx, cancelKey{}, cancel), c)
	return err
}

type cancelKey struct{}

// cancellable wraps a DialContext so that cancelledDial works.
func cancellable(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok && err == nil {
			return cancelling{conn, cancel}, nil
		}
		return conn, err
	}
}

func TestACancelledDialCostsNoTicket(t *testing.T) {
	p := startPeer(t, nil)
	for _, singleUse := range []bool{false, true} {
		c := newTestClient(t, ClientConfig{
			TLS: p.config(), SingleUse: singleUse,
			DialContext: cancellable(dialTo(func() string { return p.addr })),
		})
		wantDial(t, c, false)
		for range tickets.MaxCancelled {
			if err := cancelledDial(c); !errors.Is(err, context.Canceled) {
				t.Fatalf("dial = %v; want it cancelled", err)
			}
		}
		wantDial(t, c, !singleUse) // in SingleUse the ticket may have been seen
	}
	if _, twice := p.offers(); twice > 1 {
		t.Errorf("%d tickets were offered twice; want the one of the default mode", twice)
	}
}

func TestACancelledDialGivesItsTicketBack(t *testing.T) {
	for _, singleUse := range []bool{false, true} {
		c := newTestClient(t, ClientConfig{SingleUse: singleUse})
		dial := func() *dialView { return c.newDialView(testName, memAddr{}) }
		dial().Put("", fakeTicket{label: "1"}.state(t))
		dial().Put("", fakeTicket{label: "2"}.state(t))
		cancelled := dial()
		if got := labelOf(t, cancelled, ""); got != "2" {
			t.Fatalf("Get = %q; want the newest", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		cancelled.Put("", nil) // as crypto/tls does when the handshake ends
		cancelled.done(ctx, context.Canceled)
		want := "2"
		if singleUse {
			want = "1"
		}
		if got := labelOf(t, dial(), ""); got != want {
			t.Errorf("SingleUse %v: Get after a cancelled dial = %q; want %q", singleUse, got, want)
		}
	}
}

// What was flushed while a dial had it does not come back with the dial's end, whichever comes first: the end or
// the flush's pass over the tickets.
func TestAFlushedTicketIsNotGivenBack(t *testing.T) {
	for what, flush := range map[string]func(*Client){
		"FlushHost": func(c *Client) { c.FlushHost(testName) },
		"Flush":     (*Client).Flush,
	} {
		for _, store := range []session.Indexed{nil, newTestStore(t)} {
			c := newTestClient(t, ClientConfig{Store: store, Budget: time.Minute})
			cancelled := c.newDialView(testName, memAddr{})
			cancelled.Put("", fakeTicket{label: "1"}.state(t))
			if got := labelOf(t, cancelled, ""); got != "1" {
				t.Fatalf("Get = %q; want the ticket", got)
			}
			flush(c)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			cancelled.Put("", nil)
			cancelled.done(ctx, context.Canceled)
			if got := labelOf(t, c.newDialView(testName, memAddr{}), ""); got != "" {
				t.Errorf("Get after %s and a cancelled dial = %q; want none: it was flushed, Store %v", what, got, store != nil)
			}

			// The flush passes while the ticket is being given back.
			c.pool.Put(cancelled.endpoint, newFakeTicket(t, c, fakeTicket{label: "2"}))
			taken, _ := c.pool.Take(cancelled.endpoint, c.clock.Read())
			asked := 0
			c.pool.GiveBack(cancelled.endpoint, taken, func() bool { asked++; return asked == 1 })
			if got := labelOf(t, c.newDialView(testName, memAddr{}), ""); got != "" {
				t.Errorf("Get after a flush in the middle of giving back = %q; want none, Store %v", got, store != nil)
			}
		}
	}
}

// A server that never answers a ticket, and callers who cancel after a while: the next dial
// must not wait for it again for ever.
func TestATicketThatIsNeverAnsweredIsGivenUp(t *testing.T) {
	p := startPeer(t, nil)
	var c *Client
	for _, store := range []session.Indexed{newTestStore(t), nil} {
		cfg := ClientConfig{TLS: p.config(), DialContext: cancellable(dialTo(func() string { return p.addr }))}
		if store != nil {
			cfg.Store, cfg.Budget = store, time.Minute
		}
		c = newTestClient(t, cfg)
		wantDial(t, c, false)
		for range tickets.MaxCancelled + 1 {
			if err := cancelledDial(c); !errors.Is(err, context.Canceled) {
				t.Fatalf("dial = %v; want it cancelled", err)
			}
		}
		wantDial(t, c, false)
	}

	expired, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	d := c.newDialView(testName, memAddr{})
	d.Put("", fakeTicket{label: "1"}.state(t))
	if got := labelOf(t, d, ""); got != "1" {
		t.Fatalf("Get = %q; want the ticket", got)
	}
	d.Put("", nil)
	d.done(expired, context.DeadlineExceeded)
	if got := labelOf(t, c.newDialView(testName, memAddr{}), ""); got == "1" {
		t.Error("a ticket is offered again after a dial that ran out of time")
	}
}

// startWrong runs a server whose tickets it cannot use: decode replaces what UnwrapSession says.
func startWrong(t testing.TB, unwrap func(*tls.Config, []byte, tls.ConnectionState) (*tls.SessionState, error)) *peer {
	t.Helper()
	return startPeer(t, func(cfg *tls.Config) {
		cfg.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
			return unwrap(cfg, identity, cs)
		}
	})
}

// otherSession answers every ticket with the first session, so that binders do not verify
// (TLS 1.3) or the keys differ (TLS 1.2): every offer ends the handshake.
func otherSession() func(*tls.Config, []byte, tls.ConnectionState) (*tls.SessionState, error) {
	var mu sync.Mutex
	var first []byte
	return func(cfg *tls.Config, identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		state, err := cfg.DecryptTicket(identity, cs)
		if err != nil || state == nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		encoded, err := state.Bytes()
		if err != nil {
			return nil, err
		}
		encoded[14] ^= 1 // the first byte of the secret
		first = encoded
		return tls.ParseSessionState(first)
	}
}

func TestATicketThatIsAlwaysWrongFailsOneDial(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p := startPeer(t, func(cfg *tls.Config) {
			wrong := otherSession()
			cfg.MaxVersion = version
			cfg.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
				return wrong(cfg, identity, cs)
			}
		})
		c := newTestClient(t, ClientConfig{TLS: p.config(), DialContext: dialTo(func() string { return p.addr })})
		cfg := p.installed(t, newTestClient(t, ClientConfig{}))
		failed, failedInstalled := 0, 0
		for i := range 100 {
			if i < 12 {
				if _, err := dialAndRead(c); err != nil {
					failed++
				}
			}
			if _, err := p.visit(cfg); err != nil {
				failedInstalled++
			}
		}
		if offered := c.Stats().Offered; failed != 1 || offered != 1 {
			t.Errorf("%s, DialTLSContext: %d of 12 dials failed, %d offered a ticket; want 1",
				tls.VersionName(version), failed, offered)
		}
		// Whether the caller cancelled is not known there, so fresh tickets get some tries.
		if failedInstalled < 1 || failedInstalled > 8 {
			t.Errorf("%s, Install: %d of 100 dials failed; want 1 to 8", tls.VersionName(version), failedInstalled)
		}
		if _, twice := p.offers(); twice > 0 {
			t.Errorf("%s: %d wrong tickets were offered twice; want none", tls.VersionName(version), twice)
		}
	}
}

func TestADeclinedTicketIsNotOfferedAgain(t *testing.T) {
	var issued atomic.Int64
	p := startPeer(t, func(cfg *tls.Config) {
		cfg.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, nil }
		cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			own := cfg.Clone()
			own.GetConfigForClient = nil
			own.SessionTicketsDisabled = issued.Add(1) > 1 // no further tickets: the first is all there is
			return own, nil
		}
	})
	c := newTestClient(t, ClientConfig{})
	cfg := p.installed(t, c)
	for range 4 {
		p.mustVisit(t, cfg, false)
	}
	if st := c.Stats(); st.Offered != 1 || st.Misses[MissDeclined] != 1 {
		t.Errorf("Stats = %+v; want one offer, declined", st)
	}
}

func TestAServerThatRecoversIsTrustedAgain(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	wrong := otherSession()
	p := startWrong(t, func(cfg *tls.Config, identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		if broken.Load() {
			return wrong(cfg, identity, cs)
		}
		return cfg.DecryptTicket(identity, cs)
	})
	c := newTestClient(t, ClientConfig{TLS: p.config(), DialContext: dialTo(func() string { return p.addr })})
	wantDial(t, c, false)
	if _, err := dialAndRead(c); err == nil {
		t.Fatal("the wrong ticket did not fail")
	}
	broken.Store(false)
	fulls := 0
	for range 64 {
		resumed, err := dialAndRead(c)
		if err != nil {
			t.Fatal(err)
		}
		if resumed {
			break
		}
		fulls++
	}
	if fulls > 16 {
		t.Errorf("%d full handshakes with a server that works again; want at most 16", fulls)
	}
	wantDial(t, c, true)
}

func TestDialTLSContextReportsWhatFails(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{TLS: p.config()})
	if _, err := c.DialTLSContext(t.Context(), "tcp", "no port"); err == nil {
		t.Error("dial of an address without a port = nil; want an error")
	}
	untrusted := newTestClient(t, ClientConfig{})
	var unknown *tls.CertificateVerificationError
	if _, err := untrusted.DialTLSContext(t.Context(), "tcp", p.addr); !errors.As(err, &unknown) {
		t.Errorf("dial of a server of unknown roots = %v; want a verification error", err)
	}
}
