package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClientsResumeInEveryVersionAndWay(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p := startPeer(t, func(cfg *tls.Config) { cfg.MaxVersion = version })
		for _, singleUse := range []bool{false, true} {
			ways := map[string]func(c *Client) func() (bool, error){
				"Install": func(c *Client) func() (bool, error) {
					cfg := p.installed(t, c)
					return func() (bool, error) { return p.visit(cfg) }
				},
				"View": func(c *Client) func() (bool, error) {
					cfg := p.config()
					cfg.ClientSessionCache = c.View("test")
					return func() (bool, error) { return p.visit(cfg) }
				},
				"DialTLSContext": func(c *Client) func() (bool, error) {
					return func() (bool, error) {
						conn, err := c.DialTLSContext(context.Background(), "tcp", p.addr)
						if err != nil {
							return false, err
						}
						return readGreeting(conn)
					}
				},
			}
			for way, open := range ways {
				c := newTestClient(t, ClientConfig{SingleUse: singleUse, TLS: p.config()})
				visit := open(c)
				for i := range 4 {
					if resumed, err := visit(); err != nil || resumed != (i > 0) {
						t.Errorf("%s, %s, SingleUse %v, visit %d: resumed = %v, error %v; want %v",
							tls.VersionName(version), way, singleUse, i, resumed, err, i > 0)
					}
				}
				want := ClientStats{Offered: 3, Accepted: 3, Misses: map[MissReason]uint64{MissGone: 1}, Stored: 4}
				if way == "View" { // nothing tells what became of its offers
					want.Accepted, want.Misses[MissDeclined] = 0, 3
				}
				got := c.Stats()
				got.Held, got.Evicted = 0, 0
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s, %s: Stats differ, - wanted, + got:\n%s", tls.VersionName(version), way, diff)
				}
			}
		}
	}
}

func TestClientResumesWithGoServersAndOurs(t *testing.T) {
	ours := func(cfg *tls.Config) {
		cfg.WrapSession, cfg.UnwrapSession = nil, nil
		srv, err := NewServer(ServerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { srv.Close() })
		if err := srv.Install(cfg); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, change := range map[string]func(*tls.Config){"stock": func(*tls.Config) {}, "ours": ours} {
			p := startPeer(t, func(cfg *tls.Config) {
				cfg.MaxVersion = version
				change(cfg)
			})
			cfg := p.installed(t, newTestClient(t, ClientConfig{}))
			for i := range 5 {
				if resumed, err := p.visit(cfg); err != nil || resumed != (i > 0) {
					t.Errorf("%s, %s server, visit %d: resumed = %v, error %v; want %v", tls.VersionName(version), name, i, resumed, err, i > 0)
				}
			}
		}
	}
}

func TestPutOfAMissingKeyKeepsAllOthers(t *testing.T) {
	c := newTestClient(t, ClientConfig{MaxSessions: 2})
	v := c.View("test")
	v.Put("a", fakeTicket{label: "a1"}.state(t))
	v.Put("b", fakeTicket{label: "b1"}.state(t))
	for range 10 {
		v.Put("missing", nil)
		v.Put("missing", new(tls.ClientSessionState))
	}
	if cs, ok := v.Get("missing"); ok || cs != nil {
		t.Errorf("Get of a missing key = %v, %v; want nil, false", cs, ok)
	}
	for _, name := range []string{"a", "b"} {
		if got := labelOf(t, v, name); got != name+"1" {
			t.Errorf("Get(%s) = %q; want %q", name, got, name+"1")
		}
	}
}

// Trap: the built-in LRU stores the nil of Put(missing, nil) and returns it with true.
func TestGetNeverReturnsNilAndTrue(t *testing.T) {
	lru := tls.NewLRUClientSessionCache(2)
	lru.Put("missing", nil)
	if cs, ok := lru.Get("missing"); !ok || cs != nil {
		t.Log("the built-in LRU does not do it any more")
	}
	c := newTestClient(t, ClientConfig{})
	v := c.View("test")
	check := func(when string) {
		t.Helper()
		if cs, ok := v.Get("a"); ok != (cs != nil) {
			t.Errorf("Get %s = %v, %v", when, cs, ok)
		}
	}
	check("at first")
	v.Put("a", nil)
	check("after Put(nil)")
	v.Put("a", &tls.ClientSessionState{})
	check("after Put of an empty state")
	v.Put("a", fakeTicket{label: "1"}.state(t))
	check("with a ticket")
	v.Put("a", nil)
	check("after a strike")
	c.Close()
	v.Put("a", fakeTicket{label: "2"}.state(t))
	check("after Close")
}

// Trap: QUIC libraries write EarlyData into the state that they got, and append to Extra.
func TestGetHandsOutPrivateCopies(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	v := c.View("test")
	put := fakeTicket{label: "1"}.state(t)
	_, state, _ := put.ResumptionState()
	state.EarlyData = true
	state.Extra = append(make([][]byte, 0, 8), []byte("ours"))
	v.Put("a", put)
	state.EarlyData = false // the caller keeps his pointer, and may use it
	_ = append(state.Extra, []byte("put's"))
	var dials sync.WaitGroup
	for range 8 {
		dials.Go(func() {
			for range 100 {
				cs, ok := v.Get("a")
				if !ok {
					t.Error("Get found nothing; want the last ticket")
					return
				}
				_, own, _ := cs.ResumptionState()
				if !own.EarlyData || len(own.Extra) != 1 {
					t.Errorf("EarlyData = %v, %d in Extra; want true and 1", own.EarlyData, len(own.Extra))
				}
				own.EarlyData = false
				own.Extra = append(own.Extra, []byte("get's"))
				if string(own.Extra[1]) != "get's" {
					t.Error("another handshake wrote into our Extra")
				}
			}
		})
	}
	dials.Wait()
}

func TestServerNamesShareTicketsAsDNSDoes(t *testing.T) {
	v := newTestClient(t, ClientConfig{}).View("test")
	v.Put("A.test.", fakeTicket{label: "1"}.state(t))
	if got := labelOf(t, v, "a.TEST"); got != "1" {
		t.Errorf("Get under another spelling = %q; want the ticket", got)
	}
	if got := labelOf(t, v, "b.test"); got != "" {
		t.Errorf("Get of another name = %q; want none", got)
	}
}

func TestInstallComposesWithVerifyConnection(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := p.config()
	refuse := errors.New("refused")
	var calls, refused int
	var verdict error
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		calls++
		if verdict != nil {
			refused++
		}
		return verdict
	}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	p.mustVisit(t, cfg, false)
	p.mustVisit(t, cfg.Clone(), true) // as an http.Transport does
	verdict = refuse
	if _, err := p.visit(cfg); !errors.Is(err, refuse) {
		t.Errorf("visit = %v; want the user's error", err)
	}
	verdict = nil
	if calls != 3 || refused != 1 {
		t.Errorf("VerifyConnection ran %d times; want 3", calls)
	}
	if st := c.Stats(); st.Offered != 2 || st.Accepted != 1 || st.Failed != 1 || st.Misses[MissDeclined] != 0 {
		t.Errorf("Stats = %+v; want 2 offered, 1 accepted, 1 failed", st)
	}
}

func TestInstallRefusesWhatCannotResume(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	if err := c.Install(nil); err == nil {
		t.Error("Install(nil) = nil; want an error")
	}
	if err := c.Install(&tls.Config{SessionTicketsDisabled: true}); err == nil {
		t.Error("Install on SessionTicketsDisabled = nil; want an error")
	}
	cfg := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	before := cfg.ClientSessionCache
	if err := c.Install(cfg); err != nil || cfg.ClientSessionCache != before {
		t.Errorf("a second Install = %v, new cache %v; want nothing to happen", err, cfg.ClientSessionCache != before)
	}
	changed := cfg.Clone()
	changed.InsecureSkipVerify = true
	if err := c.Install(changed); err == nil {
		t.Error("Install on a clone of an installed Config with other trust = nil; want an error")
	}
	other := newTestClient(t, ClientConfig{})
	if err := other.Install(changed); err != nil {
		t.Errorf("Install of another Client: %v", err)
	}
}

func TestClientConfigNamesEveryFault(t *testing.T) {
	_, err := NewClient(ClientConfig{MaxSessions: -1, PerKey: -2, MaxAge: -3, HandshakeTimeout: -4, Budget: -5})
	want := "tlscache: MaxSessions is -1; want at least 1, or 0 for 4096; PerKey is -2; want from 1 to 65536, or 0 for 8; " +
		"MaxAge is -3ns; want from 1s to 168h0m0s, or 0 for 168h0m0s; HandshakeTimeout is -4ns; want at least 1ns, or 0 for 10s; " +
		"Budget is -5ns; want at least 1ns, or 0 for 5ms"
	if err == nil || err.Error() != want {
		t.Errorf("NewClient = %v; want %s", err, want)
	}
}

func TestClosedClientLetsHandshakesBeFull(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{TLS: p.config()})
	cfg := p.installed(t, c)
	p.mustVisit(t, cfg, false)
	p.mustVisit(t, cfg, true)
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v; want nil", err)
		}
	}
	p.mustVisit(t, cfg, false)
	p.mustVisit(t, cfg, false)
	if n := c.Stats().Held; n != 0 {
		t.Errorf("%d tickets held after Close; want 0", n)
	}
}

func TestFlushEndsTickets(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{TLS: p.config()})
	cfg := p.installed(t, c)
	other := p.config()
	other.ServerName = "b.test"
	if err := c.Install(other); err != nil {
		t.Fatal(err)
	}
	dial := func(want bool) {
		t.Helper()
		conn, err := c.DialTLSContext(context.Background(), "tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		if resumed, err := readGreeting(conn); err != nil || resumed != want {
			t.Fatalf("dial: resumed = %v, error %v; want %v", resumed, err, want)
		}
	}
	p.mustVisit(t, cfg, false)
	p.mustVisit(t, other, false)
	dial(true) // a copy of the name's
	c.FlushHost("A.TEST.")
	dial(false)
	p.mustVisit(t, other, true)
	c.FlushHost("a.test")
	p.mustVisit(t, cfg, false)
	c.Flush()
	p.mustVisit(t, other, false)
	if c.Stats().Held == 0 {
		t.Error("no ticket held after a visit")
	}
}
