package tlscache

import (
	"bytes"
	"context"
	"crypto/tls"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutating is a tls.ClientSessionCache that does to what it hands out what QUIC libraries do.
type mutating struct{ tls.ClientSessionCache }

func (m mutating) Get(name string) (*tls.ClientSessionState, bool) {
	cs, ok := m.ClientSessionCache.Get(name)
	if ok {
		_, state, err := cs.ResumptionState()
		if err == nil {
			state.EarlyData = false
			state.Extra = append(state.Extra, []byte("mine"))
		}
	}
	return cs, ok
}

// The race detector is the judge.
func TestDialsExportsFlushesAndMutationsRunConcurrently(t *testing.T) {
	for _, singleUse := range []bool{false, true} {
		p := startPeer(t, nil)
		c := newTestClient(t, ClientConfig{TLS: p.config(), DialContext: cancellable(dialTo(func() string { return p.addr })), SingleUse: singleUse})
		installed := p.installed(t, c)
		mutated := p.config()
		mutated.ClientSessionCache = mutating{c.View("mutated")}
		keyring := ring(t, secret(1))
		ctx, stop := context.WithTimeout(t.Context(), time.Minute) // for a client that never holds anything
		defer stop()
		everything := func() bool {
			st := c.Stats()
			return st.Offered > 0 && st.Exported > 0 && st.Imported > 0
		}
		var wg sync.WaitGroup
		forever := func(f func() error) {
			wg.Go(func() {
				for ctx.Err() == nil {
					if err := f(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 2 {
			forever(func() error { _, err := p.visit(installed); return err })
			forever(func() error { _, err := p.visit(mutated); return err })
			forever(func() error { _, err := dialAndRead(c); return err })
		}
		forever(func() error { _ = cancelledDial(c); return nil })
		forever(func() error {
			var file bytes.Buffer
			if err := c.Export(&file, ExportConfig{Keyring: keyring, ClientCertificates: true}); err != nil {
				return err
			}
			return c.Import(&file, ImportConfig{Keyring: keyring})
		})
		flushes := []func(){func() { c.FlushHost(testName) }, c.Flush, func() { c.Stats() }}
		forever(func() error {
			for i := range 12 { // or nothing would ever be held
				if _, err := p.visit(installed); err != nil {
					return err
				}
				if i%4 == 3 {
					flushes[i/4]()
				}
			}
			if everything() {
				stop()
			}
			return nil
		})
		wg.Wait()
		if !everything() {
			t.Errorf("SingleUse %v: Stats = %+v; want something of everything", singleUse, c.Stats())
		}
		if _, twice := p.offers(); singleUse && twice > 0 {
			t.Errorf("%d tickets were offered twice in SingleUse mode", twice)
		}
	}
}

func TestStatsNeverNameAHost(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{Scope: testName})
	cfg := p.config()
	cfg.SessionTicketsDisabled = true
	err := c.Install(cfg)
	if err == nil || strings.Contains(err.Error(), testName) {
		t.Errorf("Install = %v; want an error without the server's name", err)
	}
}

// Trap: a user who declines 0-RTT once by writing into the state that QUICResumeSession shows would
// decline it for ever, and for all, if the cache handed out its own.
func TestDecliningEarlyDataOnceDeclinesItOnce(t *testing.T) {
	roots := newAuthority(t, "QUIC CA")
	server := &tls.Config{Certificates: []tls.Certificate{roots.issue(t, testName)}, NextProtos: []string{"proto"}, MinVersion: tls.VersionTLS13}
	for _, way := range []string{"Install", "View"} {
		c := newTestClient(t, ClientConfig{})
		cfg := &tls.Config{RootCAs: roots.pool(), ServerName: testName, NextProtos: []string{"proto"}, MinVersion: tls.VersionTLS13}
		if way == "View" {
			cfg.ClientSessionCache = c.View("QUIC")
		} else if err := c.Install(cfg); err != nil {
			t.Fatal(err)
		}
		declining := cfg.Clone()
		declining.ClientSessionCache = mutating{cfg.ClientSessionCache}
		if r := quicConnect(t, server, cfg, earlyData); r.resumed {
			t.Fatalf("%s: the first connection resumed", way)
		}
		if _, ok := declining.ClientSessionCache.Get(testName); !ok { // a dial that comes to nothing
			t.Fatalf("%s: no ticket", way)
		}
		if r := quicConnect(t, server, cfg, earlyData); !r.resumed || !r.early || r.rejected {
			t.Errorf("%s: after a dial that declined: %+v; want resumed, with early data", way, r)
		}
		if r := quicConnect(t, server, declining, earlyData); !r.resumed || r.early {
			t.Errorf("%s: declining: %+v; want resumed, without early data", way, r)
		}
		if r := quicConnect(t, server, cfg, earlyData); !r.resumed || !r.early || r.rejected {
			t.Errorf("%s: and again: %+v; want resumed, with early data", way, r)
		}
	}
}
