package tlscache

import (
	"bytes"
	"context"
	"crypto/tls"
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// A quicResult is what a QUIC handshake came to.
type quicResult struct {
	resumed  bool
	early    bool // the server could read 0-RTT data
	rejected bool // the client had sent some and was told to send it again
	extra    [][]byte
}

// quicConnect does one QUIC handshake in memory, with a ticket at its end, as quic-go does.
func quicConnect(t testing.TB, server, client *tls.Config, ticket tls.QUICSessionTicketOptions) (r quicResult) {
	t.Helper()
	s := tls.QUICServer(&tls.QUICConfig{TLSConfig: server, EnableSessionEvents: true})
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: client, EnableSessionEvents: true})
	defer s.Close()
	defer c.Close()
	for _, conn := range []*tls.QUICConn{s, c} {
		conn.SetTransportParameters([]byte("parameters"))
		if err := conn.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for idle := 0; idle < 2; {
		conn, peer := c, s
		if idle == 1 {
			conn, peer = s, c
		}
		progressed := false
		for e := conn.NextEvent(); e.Kind != tls.QUICNoEvent; e = conn.NextEvent() {
			progressed = true
			switch e.Kind {
			case tls.QUICWriteData:
				if err := peer.HandleData(e.Level, e.Data); err != nil {
					t.Fatalf("handshake: %v", err)
				}
			case tls.QUICResumeSession:
				if conn == s {
					r.extra = e.SessionState.Extra
				}
			case tls.QUICStoreSession:
				if err := conn.StoreSession(e.SessionState); err != nil {
					t.Fatal(err)
				}
			case tls.QUICSetReadSecret:
				r.early = r.early || conn == s && e.Level == tls.QUICEncryptionLevelEarly
			case tls.QUICRejectedEarlyData:
				r.rejected = true
			case tls.QUICHandshakeDone:
				if conn == s {
					if err := s.SendSessionTicket(ticket); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if progressed {
			idle = 0
		} else {
			idle++
		}
	}
	r.resumed = c.ConnectionState().DidResume
	return r
}

func newQUICWorld(t testing.TB, cfg ServerConfig) (w *world, client *tls.Config) {
	w = newWorld(t, cfg, func(c *tls.Config) { c.MinVersion, c.NextProtos = tls.VersionTLS13, []string{"proto"} })
	return w, w.client(tls.VersionTLS13, func(c *tls.Config) { c.NextProtos = []string{"proto"} })
}

var earlyData = tls.QUICSessionTicketOptions{EarlyData: true}

// A session that allows early data is taken when it is resumed: that is what keeps 0-RTT data from being
// replayed (RFC 8446 8.1). It is accepted once, without a rejection.
func TestEarlyDataIsAcceptedOnce(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		w, client := newQUICWorld(t, cfg)
		quicConnect(t, w.server, client, earlyData)
		session, _ := client.ClientSessionCache.Get(host)
		ticket, state, err := session.ResumptionState()
		if err != nil {
			t.Fatal(err)
		}
		replay, err := tls.NewResumptionState(ticket, tlsstate.Private(state))
		if err != nil {
			t.Fatal(err)
		}
		if r := quicConnect(t, w.server, client, earlyData); !r.resumed || !r.early || r.rejected {
			t.Errorf("first use: %+v; want resumed, with early data, not rejected", r)
		}
		again := w.offering(tls.VersionTLS13, replay)
		again.NextProtos = client.NextProtos
		if r := quicConnect(t, w.server, again, earlyData); r.resumed || r.early {
			t.Errorf("second use of one ticket: %+v; want a full handshake without early data", r)
		}
		if r := quicConnect(t, w.server, client, earlyData); !r.resumed || !r.early || r.rejected {
			t.Errorf("the newer ticket: %+v; want resumed, with early data, not rejected", r)
		}
	})
}

func TestNoEarlyDataLeavesSessionsReusable(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		cfg.NoEarlyData = true
		w, client := newQUICWorld(t, cfg)
		quicConnect(t, w.server, client, earlyData)
		client.ClientSessionCache = keepGet{client.ClientSessionCache}
		for range 3 {
			if r := quicConnect(t, w.server, client, earlyData); !r.resumed || r.early || !r.rejected {
				t.Errorf("%+v; want resumed, the early data that crypto/tls had allowed rejected", r)
			}
		}
	})
}

func TestFallbackTicketsHaveNoEarlyData(t *testing.T) {
	store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
	w, client := newQUICWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long})
	store.set(down)
	quicConnect(t, w.server, client, earlyData)
	client.ClientSessionCache = keepGet{client.ClientSessionCache}
	for range 2 {
		if r := quicConnect(t, w.server, client, earlyData); !r.resumed || r.early {
			t.Errorf("%+v; want resumed without early data: a sealed ticket can be replayed", r)
		}
	}
}

// quic-go and others keep what they need in Extra, and write to it what they like.
func TestExtraOfOthersSurvivesAndIsNotShared(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		w, client := newQUICWorld(t, cfg)
		mine := []byte("quic-go's")
		quicConnect(t, w.server, client, tls.QUICSessionTicketOptions{Extra: [][]byte{mine}})
		client.ClientSessionCache = keepGet{client.ClientSessionCache}
		copy(mine, "rewritten") // it was ours only while WrapSession ran
		for range 2 {
			r := quicConnect(t, w.server, client, tls.QUICSessionTicketOptions{})
			if !r.resumed || len(r.extra) != 1 || !bytes.Equal(r.extra[0], []byte("quic-go's")) {
				t.Errorf("resumed = %v with extra %q; want what was there when it was stored", r.resumed, r.extra)
			}
			_ = append(r.extra, []byte("appended")) // to a slice with room, this would show in the next
			if cap(r.extra) > len(r.extra) && cfg.Store == nil {
				t.Error("the slice has room: appends to it would meet")
			}
		}
	})
}

// What a connection does with its session state is its own business.
func TestResumedStatesAreNotShared(t *testing.T) {
	w, _ := newQUICWorld(t, ServerConfig{NoEarlyData: true})
	m := capture(t, w, w.client(tls.VersionTLS13, func(c *tls.Config) { c.NextProtos = []string{"proto"} }))
	m.ss.Extra = [][]byte{[]byte("one"), []byte("two"), []byte("three")}
	ticket := w.wrapped(m)
	a, b := w.unwrapped(ticket, m), w.unwrapped(ticket, m)
	a.EarlyData = true
	a.Extra = append(a.Extra, []byte("four"))
	if b.EarlyData || len(b.Extra) != 3 || cap(b.Extra) != 3 {
		t.Errorf("a write to one connection's state shows in another's: %v, %q with room for %d", b.EarlyData, b.Extra, cap(b.Extra)-3)
	}
}
