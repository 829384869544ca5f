package tlscache

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// clockedPools runs a test on Clients whose clocks it sets, in memory and with a Store that many share.
func clockedPools(t *testing.T, cfg ClientConfig, f func(t *testing.T, clock *clock.Fake, client func() *Client)) {
	t.Helper()
	for _, kind := range []string{"memory", "store"} {
		t.Run(kind, func(t *testing.T) {
			cfg, clock := cfg, new(clock.Fake)
			cfg.Budget = time.Minute
			if kind == "store" {
				cfg.Store, cfg.Keyring = newTestStore(t), ring(t, secret(1))
			}
			f(t, clock, func() *Client {
				c := newTestClient(t, cfg)
				clock.Under(&c.clock)
				return c
			})
		})
	}
}

// putNow stores a ticket that came at the present time of a clock.
func putNow(t testing.TB, v tls.ClientSessionCache, clock *clock.Fake, label string, version uint16) {
	t.Helper()
	f := fakeTicket{label: label, version: version, created: time.Unix(0, clock.Read().Wall)}
	v.Put("a", f.state(t))
}

// A deadline is over by either clock: a suspended machine's monotonic clock stands still, and the wall clock
// may be set back.
func TestTicketsEndByBothClocks(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		life := tickets.MaxLife12
		if version == tls.VersionTLS13 {
			life = tickets.MaxLife13
		}
		clockedPools(t, ClientConfig{}, func(t *testing.T, clock *clock.Fake, client func() *Client) {
			v := client().View("test")
			putNow(t, v, clock, "1", version)
			clock.Suspend(life - time.Minute)
			wantGets(t, v, "1")
			clock.Suspend(2 * time.Minute)
			wantGets(t, v, "")
			clock.Set(-time.Hour)
			wantGets(t, v, "") // it was over before the clock was set back

			putNow(t, v, clock, "2", version)
			clock.Pass(life - time.Minute)
			clock.Set(-time.Hour)
			wantGets(t, v, "2")
			clock.Pass(2 * time.Minute)
			wantGets(t, v, "")
		})
	})
}

func TestExportLeavesOutWhatEndedWhileSuspended(t *testing.T) {
	c, clock := newTestClient(t, ClientConfig{}), new(clock.Fake)
	clock.Under(&c.clock)
	putNow(t, c.View("test"), clock, "1", tls.VersionTLS12)
	clock.Suspend(25 * time.Hour)
	exported(t, c, ExportConfig{Keyring: ring(t, secret(1)), ClientCertificates: true})
	if n := c.Stats().Exported; n != 0 {
		t.Errorf("%d exported; want none", n)
	}
}

// One handshake while the wall clock is wrong ends no resumption once it was put right.
func TestOneWrongClockEndsNoResumptionOfAClient(t *testing.T) {
	for _, off := range []time.Duration{48 * time.Hour, -48 * time.Hour} {
		versions(t, func(t *testing.T, version uint16) {
			t.Run(fmt.Sprint("off ", off), func(t *testing.T) {
				clockedPools(t, ClientConfig{}, func(t *testing.T, clock *clock.Fake, client func() *Client) {
					v := client().View("test")
					putNow(t, v, clock, "before", version)
					clock.Set(off)
					labelOf(t, v, "a")
					putNow(t, v, clock, "while wrong", version)
					wantGets(t, v, "while wrong")
					clock.Set(-off)
					if off > 0 { // else it says that it was over long ago
						wantGets(t, v, "while wrong")
					}
					// What others find in a Store may be unbelievable to them, and must not stay.
					other := client().View("test")
					labelOf(t, other, "a")
					for i := range 3 {
						label := fmt.Sprint("after ", i)
						putNow(t, other, clock, label, version)
						wantGets(t, other, label)
					}
				})
			})
		})
	}
}

// What was stored under a wrong clock must not lie in a Store in the way of what is good.
func TestUnbelievableTicketsLeaveAStore(t *testing.T) {
	store, keyring, clock := newTestStore(t), ring(t, secret(1)), new(clock.Fake)
	client := func() tls.ClientSessionCache {
		c := newTestClient(t, ClientConfig{Store: store, Keyring: keyring, Budget: time.Minute})
		clock.Under(&c.clock)
		return c.View("test")
	}
	v := client()
	putNow(t, v, clock, "good", tls.VersionTLS13)
	clock.Set(48 * time.Hour)
	for i := range 3 {
		putNow(t, v, clock, fmt.Sprint("ahead ", i), tls.VersionTLS13)
	}
	clock.Set(-48 * time.Hour)
	wantGets(t, client(), "good", "good")
}

// shifted makes a Config's clock one that the test sets.
func shifted(cfg *tls.Config, clock *clock.Fake) *tls.Config {
	cfg.Time = func() time.Time { return time.Unix(0, clock.Read().Wall) }
	return cfg
}

// crypto/tls goes by the Config's clock, and so does a ticket.
func TestTicketsEndByTheConfigsClock(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		life := tickets.MaxLife12
		if version == tls.VersionTLS13 {
			life = tickets.MaxLife13
		}
		clock := new(clock.Fake)
		p := startPeer(t, func(cfg *tls.Config) { cfg.MaxVersion = version })
		c := newTestClient(t, ClientConfig{TLS: shifted(p.config(), clock), DialContext: dialTo(func() string { return p.addr })})
		other, cfg := newTestClient(t, ClientConfig{}), shifted(p.config(), clock)
		if err := other.Install(cfg); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			by   time.Duration
			want bool
		}{{0, false}, {0, true}, {life + time.Second, false}, {0, true}, {-time.Minute, true}, {time.Minute, true}} {
			clock.Set(step.by)
			p.mustVisit(t, cfg, step.want)
			wantDial(t, c, step.want)
		}
		if a, b := c.Stats().Failed, other.Stats().Failed; a != 0 || b != 0 {
			t.Errorf("%d and %d failed; want none, for crypto/tls was given nothing that is over", a, b)
		}
	})
}

// However often a ticket is renewed: 24 hours after the full handshake for TLS 1.2, 7 days for TLS 1.3, the server is
// authenticated again.
func TestRenewedTicketsEndWithTheirFamily(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		life, step := tickets.MaxLife12, time.Hour
		if version == tls.VersionTLS13 {
			life, step = tickets.MaxLife13, 7*time.Hour
		}
		for _, singleUse := range []bool{false, true} {
			t.Run(fmt.Sprint("single use ", singleUse), func(t *testing.T) {
				clockedPools(t, ClientConfig{SingleUse: singleUse}, func(t *testing.T, clock *clock.Fake, client func() *Client) {
					p := startPeer(t, func(cfg *tls.Config) { shifted(cfg, clock).MaxVersion = version })
					cfg := shifted(p.config(), clock)
					if err := client().Install(cfg); err != nil {
						t.Fatal(err)
					}
					for round := range 2 {
						p.mustVisit(t, cfg, false)
						passed := time.Duration(0)
						for passed+step < life-time.Minute {
							passed += step
							clock.Pass(step)
							if resumed, err := p.visit(cfg); err != nil || !resumed {
								t.Fatalf("round %d, after %v: resumed = %v, error %v; want a resumption", round, passed, resumed, err)
							}
						}
						clock.Pass(life - passed)
					}
					p.mustVisit(t, cfg, false)
					p.mustVisit(t, cfg, true)
				})
			})
		}
	})
}

// The same where each process lives for less than the family does.
func TestAFamilyEndsAcrossProcesses(t *testing.T) {
	for _, kind := range []string{"export", "store"} {
		t.Run(kind, func(t *testing.T) {
			clock, keyring, store := new(clock.Fake), ring(t, secret(1)), newTestStore(t)
			p := startPeer(t, func(cfg *tls.Config) { shifted(cfg, clock) })
			var file []byte
			visit := func(want bool) { // in a process of its own
				t.Helper()
				cc := ClientConfig{}
				if kind == "store" {
					cc = ClientConfig{Store: store, Keyring: keyring, Budget: time.Minute}
				}
				c := newTestClient(t, cc)
				clock.Under(&c.clock)
				if file != nil {
					imports(t, c, file, ImportConfig{Keyring: keyring})
				}
				cfg := shifted(p.config(), clock)
				if err := c.Install(cfg); err != nil {
					t.Fatal(err)
				}
				p.mustVisit(t, cfg, want)
				if kind == "export" {
					file = exported(t, c, ExportConfig{Keyring: keyring})
				}
			}
			visit(false)
			for range 6 {
				clock.Pass(24 * time.Hour)
				visit(true)
			}
			clock.Pass(25 * time.Hour)
			visit(false)
			visit(true)
		})
	}
}

// A server may send a ticket whenever it likes, also days after the handshake.
func TestALateTicketOfAConnectionIsOfItsFamily(t *testing.T) {
	p := startPeer(t, nil)
	cache := new(oneTicket)
	cfg := p.config()
	cfg.ClientSessionCache = cache
	p.mustVisit(t, cfg, false)
	clock := new(clock.Fake)
	c := newTestClient(t, ClientConfig{})
	clock.Under(&c.clock)
	v := c.View("test")
	v.Put("a", cache.cs)
	clock.Pass(tickets.MaxLife13 - time.Hour)
	_, state, err := cache.cs.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	late, err := tls.NewResumptionState([]byte("late"), tlsstate.Private(state))
	if err != nil {
		t.Fatal(err)
	}
	c.Flush()
	v.Put("a", late)
	wantGets(t, v, "late") // the last one, so it stays
	clock.Pass(2 * time.Hour)
	wantGets(t, v, "")
}

// A oneTicket cache keeps what crypto/tls put last, and hands out nothing.
type oneTicket struct{ cs *tls.ClientSessionState }

func (o *oneTicket) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (o *oneTicket) Put(_ string, cs *tls.ClientSessionState)   { o.cs = cs }

// A TLS 1.2 master secret that comes again is of its family, whatever became of the tickets that had it.
func TestAMasterSecretIsKnownWithoutItsTickets(t *testing.T) {
	for _, singleUse := range []bool{false, true} {
		clockedPools(t, ClientConfig{SingleUse: singleUse}, func(t *testing.T, clock *clock.Fake, client func() *Client) {
			c := client()
			v := c.View("test")
			renewed := func(label string) {
				v.Put("a", fakeTicket{label: label, version: tls.VersionTLS12, secret: "the same", created: time.Unix(0, clock.Read().Wall)}.state(t))
			}
			renewed("1")
			for i := range 23 {
				clock.Pass(time.Hour)
				if i%2 == 0 {
					labelOf(t, v, "a")
				} else {
					c.Flush()
				}
				renewed("1+")
			}
			wantGets(t, v, "1+")
			renewed("1++")
			clock.Pass(2 * time.Hour)
			wantGets(t, v, "")
		})
	}
}

// Tickets that an earlier version of this package encoded say nothing of their family, so they end it.
func TestTicketsOfVersion1AreRead(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	tk := newFakeTicket(t, c, fakeTicket{label: "1", life: time.Hour})
	key := tickets.Key(viewScope("test"), "a")
	b, err := tickets.AppendTicket(nil, key, &tk)
	if err != nil {
		t.Fatal(err)
	}
	old := append([]byte{1}, b[1:9]...)
	old = append(old, b[17:]...)
	found, got, err := tickets.DecodeTicket(old)
	if err != nil || found != key || string(got.Label) != "1" || got.End != got.Until {
		t.Fatalf("decodeTicket = %q, %v; want the ticket, and its deadline for its family", found, err)
	}
	for _, bad := range [][]byte{append([]byte{3}, b[1:]...), append([]byte{1}, b[1:]...), append([]byte{2}, old[1:]...), old[:9], b[:17], {1}, {2}, nil} {
		if _, _, err := tickets.DecodeTicket(bad); err == nil {
			t.Errorf("an encoding of version %v and %d bytes is taken for a ticket", bad[:min(1, len(bad))], len(bad))
		}
	}
}
