package tlscache

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
)

// clockedStores are the ways in which a Server's sessions are kept, with a clock that the test sets.
func clockedStores(t *testing.T, f func(t *testing.T, cfg ServerConfig, c *clock.Fake)) {
	for _, kind := range []string{"memory", "remote", "fallback tickets"} {
		t.Run(kind, func(t *testing.T) {
			k, c := clocked(t, secret(1))
			cfg := ServerConfig{Keyring: k, Budget: long, Principal: func(tls.ConnectionState) string { return "somebody" }}
			memory := newMemory(t, session.MemoryConfig{MaxTTL: session.MaxTTL})
			switch kind {
			case "memory":
				cfg.Store = memory
			case "remote":
				cfg.Store = remote{memory}
			default:
				store := &faulty{Store: memory}
				store.set(down)
				cfg.Store = store
			}
			f(t, cfg, c)
		})
	}
}

// One handshake, or a revocation, or both while the clock is wrong: those who come once it was put right
// resume as ever.
func TestOneWrongClockEndsNoResumptionAfterwards(t *testing.T) {
	for _, off := range []time.Duration{48 * time.Hour, -48 * time.Hour} {
		for _, revoke := range []bool{false, true} {
			t.Run(fmt.Sprintf("off %v, revoke %v", off, revoke), func(t *testing.T) {
				clockedStores(t, func(t *testing.T, cfg ServerConfig, c *clock.Fake) {
					versions(t, func(t *testing.T, version uint16) {
						w := newWorld(t, cfg)
						early := w.client(version)
						w.want("before", early, false)
						c.Set(off)
						during := w.client(version)
						w.want("while the clock is wrong", during, false)
						if revoke {
							_ = w.RevokeAll(t.Context())
						}
						c.Set(-off)
						for range 3 {
							client := w.client(version)
							w.want("first of a client that comes later", client, false)
							for range 3 {
								w.want("again", client, true)
							}
						}
						if !revoke {
							w.want("of before", early, true)
						}
					})
				})
			})
		}
	}
}

// Whatever the wall clock does, what was authenticated before a revocation is revoked by it, also when the
// time comes that a wrong clock has shown.
func TestRevocationsHoldWhateverTheWallClockDoes(t *testing.T) {
	hour := time.Hour
	for _, steps := range [][2]time.Duration{{0, 0}, {-hour, 0}, {hour, -hour}, {0, -hour}, {0, hour}, {48 * hour, -48 * hour}, {-hour, -hour}} {
		t.Run(fmt.Sprint(steps), func(t *testing.T) {
			clockedStores(t, func(t *testing.T, cfg ServerConfig, c *clock.Fake) {
				cfg.TTL, cfg.MaxAuthAge = session.MaxTTL, session.MaxTTL
				w := newWorld(t, cfg)
				m := capture(t, w, w.client(tls.VersionTLS13)).resumed()
				issue := func() []byte { m := m; m.cs.DidResume = false; return w.wrapped(m) }
				tickets := [][]byte{issue()}
				c.Set(steps[0])
				tickets = append(tickets, issue())
				_ = w.RevokePrincipal(t.Context(), "somebody") // down: an error, and heeded here
				gone := func(when string) {
					t.Helper()
					for i, ticket := range tickets {
						if w.unwrapped(ticket, m) != nil {
							t.Errorf("%s: ticket %d, of before the revocation, resumes", when, i)
						}
					}
				}
				gone("at once")
				c.Set(steps[1])
				gone("after the second step")
				for range 10 {
					c.Pass(6 * hour)
					gone("later")
				}
			})
		})
	}
}

// What is authenticated after a revocation is not revoked by it, in memory whatever the clock does.
func TestRevocationsInMemoryReachNothingThatCameLater(t *testing.T) {
	k, c := clocked(t, secret(1))
	w := newWorld(t, ServerConfig{Keyring: k})
	m := capture(t, w, w.client(tls.VersionTLS13))
	for _, by := range []time.Duration{time.Hour, -time.Hour, -time.Hour, -48 * time.Hour, 47 * time.Hour} {
		before := w.wrapped(m)
		if err := w.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Set(by)
		if after := w.wrapped(m); w.unwrapped(after, m) == nil || w.unwrapped(before, m) != nil {
			t.Errorf("a revocation before a step of %v: want it to reach the session before alone; misses %v", by, w.misses())
		}
	}
}

// A deadline is over by either clock: a suspended machine's monotonic clock stands still.
func TestSessionsEndByBothClocks(t *testing.T) {
	clockedStores(t, func(t *testing.T, cfg ServerConfig, c *clock.Fake) {
		w := newWorld(t, cfg)
		m := capture(t, w, w.client(tls.VersionTLS13))
		ticket := w.wrapped(m)
		c.Suspend(DefaultTTL - time.Minute)
		if w.unwrapped(ticket, m) == nil {
			t.Errorf("not found after nearly its TTL; misses %v", w.misses())
		}
		c.Suspend(2 * time.Minute)
		w.wantMiss("after its TTL, most of it suspended", ticket, m, MissExpired)
	})
	t.Run("set back", func(t *testing.T) {
		k, c := clocked(t, secret(1))
		w := newWorld(t, ServerConfig{Keyring: k})
		m := capture(t, w, w.client(tls.VersionTLS13))
		ticket := w.wrapped(m)
		c.Pass(DefaultTTL - time.Minute)
		c.Set(-time.Hour)
		if w.unwrapped(ticket, m) == nil {
			t.Errorf("not found after nearly its TTL; misses %v", w.misses())
		}
		c.Pass(2 * time.Minute)
		if w.unwrapped(ticket, m) != nil {
			t.Error("found after its TTL, since the wall clock was set back")
		}
	})
	t.Run("auth age", func(t *testing.T) {
		k, c := clocked(t, secret(1))
		w := newWorld(t, ServerConfig{Keyring: k, MaxAuthAge: time.Hour, Principal: func(tls.ConnectionState) string { return "somebody" }})
		m := capture(t, w, w.client(tls.VersionTLS13))
		ticket := w.wrapped(m)
		c.Pass(59 * time.Minute)
		c.Set(-time.Hour)
		if w.unwrapped(ticket, m) == nil {
			t.Errorf("not found before MaxAuthAge; misses %v", w.misses())
		}
		c.Pass(2 * time.Minute)
		if w.unwrapped(ticket, m) != nil {
			t.Error("found after MaxAuthAge, since the wall clock was set back")
		}
	})
}

// A record that came sealed says when it was made; a clock that was wrong then says nothing.
func TestTimesThatCannotBeTrueAreNotBelieved(t *testing.T) {
	k, c := clocked(t, secret(1))
	other, there := clocked(t, secret(1))
	there.Set(2 * clock.MaxSkew)
	memory := newMemory(t, session.MemoryConfig{})
	config := func(k *Keyring) ServerConfig { return ServerConfig{Store: remote{memory}, Keyring: k, Budget: long} }
	w := newWorld(t, config(k))
	ahead := newServer(t, config(other))
	cfg := &tls.Config{Certificates: w.server.Certificates}
	if err := ahead.Install(cfg); err != nil {
		t.Fatal(err)
	}
	client := w.client(tls.VersionTLS12)
	resumes(t, cfg, client)
	w.want("a session that a process has issued whose clock is ahead", client, false)
	resumes(t, cfg, client)
	c.Set(clock.MaxSkew * 3 / 2)
	w.want("of one that is ahead by less", client, true)

	// Its watermark counts from when it was seen, not until the time that it shows.
	there.Set(48 * time.Hour)
	client = w.client(tls.VersionTLS12)
	w.want("first", client, false)
	if err := ahead.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want("revoked by one whose clock is far ahead", client, false)
	w.want("of the handshake that met the watermark, which may have begun before it was set", client, false)
	for range 3 {
		w.want("of a handshake after the revocation", client, true)
	}
}
