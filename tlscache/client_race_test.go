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
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer stop()
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
			for i := range 30 { // or nothing would ever be held
				if _, err := p.visit(installed); err != nil {
					return err
				}
				if i%10 == 9 {
					flushes[i/10]()
				}
			}
			return nil
		})
		wg.Wait()
		if st := c.Stats(); st.Offered == 0 || st.Exported == 0 || st.Imported == 0 {
			t.Errorf("SingleUse %v: Stats = %+v; want something of everything", singleUse, st)
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
