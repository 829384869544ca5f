package tlscache

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
)

// Whatever the wall clock does, and however often: what was authenticated before a revocation in this process is
// not resumed after it. In memory nothing else is refused either, but for what has expired by one of the clocks.
func TestRevocationsHoldHoweverOftenTheWallClockIsSet(t *testing.T) {
	for _, name := range []string{"memory", "a Store", "fallback tickets"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, ServerConfig{})
			m := capture(t, w, w.client(tls.VersionTLS13))
			plain := w.config()
			rapid.Check(t, func(rt *rapid.T) {
				k, c := clocked(t, secret(1))
				c.Stop()
				memory, err := session.NewMemory(session.MemoryConfig{MaxTTL: session.MaxTTL})
				if err != nil {
					rt.Fatal(err)
				}
				defer memory.Close()
				cfg := ServerConfig{Keyring: k, Store: memory, TTL: session.MaxTTL, MaxAuthAge: session.MaxTTL, Budget: long}
				switch name {
				case "a Store":
					cfg.Store = remote{memory}
				case "fallback tickets":
					store := &moodyStore{Store: memory}
					store.fails.Store(true)
					cfg.Store = store
				}
				s, err := NewServer(cfg)
				if err != nil {
					rt.Fatal(err)
				}
				p := &world{t: t, server: plain.Clone(), Server: s}
				if err := s.Install(p.server); err != nil {
					rt.Fatal(err)
				}
				(&wrongClock{world: p, moment: m, clock: c, exact: name == "memory"}).run(rt)
			})
		})
	}
}

// A wrongClock is a process whose wall clock is set at random.
type wrongClock struct {
	*world
	moment moment
	clock  *clock.Fake
	exact  bool
	steps  int
	issued []wrongSession
}

type wrongSession struct {
	ticket  []byte
	expires clock.Stamp
	revoked bool
}

func (x *wrongClock) run(rt *rapid.T) {
	second := time.Second
	lengths := []time.Duration{time.Millisecond, second / 2, 3 * second, time.Minute, time.Hour, 48 * time.Hour}
	rt.Repeat(map[string]func(*rapid.T){
		"issue": func(*rapid.T) {
			x.issued = append(x.issued, wrongSession{ticket: x.wrapped(x.moment), expires: x.clock.Read().Plus(session.MaxTTL)})
		},
		"revoke": func(rt *rapid.T) {
			_ = x.RevokeAll(context.Background()) // heeded here, whatever becomes of it in the Store
			for i := range x.issued {
				x.issued[i].revoked = true
			}
		},
		"the clock is set": func(rt *rapid.T) {
			by := rapid.SampledFrom(lengths).Draw(rt, "by")
			if rapid.Bool().Draw(rt, "back") {
				by = -by
			}
			// What a clock remembers is bounded: of more steps than that, the earliest are forgotten.
			if x.steps++; x.steps <= clock.MaxSpans {
				x.clock.Set(by)
			}
		},
		"time passes": func(rt *rapid.T) { x.clock.Pass(rapid.SampledFrom(lengths).Draw(rt, "by")) },
		"": func(rt *rapid.T) {
			now := x.clock.Read()
			x.clock.Pass(time.Millisecond)
			for i, s := range x.issued {
				got := x.unwrapped(s.ticket, x.moment) != nil
				over := now.Wall > s.expires.Wall-int64(2*time.Second) || now.Order > s.expires.Order-int64(2*time.Second)
				switch {
				case got && s.revoked:
					rt.Fatalf("session %d was revoked and resumes", i)
				case !got && !s.revoked && !over && (x.exact || x.steps == 0):
					rt.Fatalf("session %d was not revoked and does not resume: %v", i, x.misses())
				}
			}
		},
	})
}

// What the random runs above found first.
func TestRevocationsHoldThroughStepsThatUndoEachOther(t *testing.T) {
	const issue, revoke = 1, 2 // beside them, steps of the wall clock
	for name, steps := range map[string][]time.Duration{
		"back by as much as has passed":               {issue, revoke, 0, -5 * time.Second},
		"forward by little and then back by much":     {issue, revoke, 3 * time.Second, -time.Minute},
		"wrong when issued, right when revoked, back": {time.Hour, issue, -time.Hour, revoke, time.Hour},
		"slow when revoked":                           {issue, -48 * time.Hour, revoke, 48 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			k, c := clocked(t, secret(1))
			c.Stop()
			store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
			store.set(down) // so that no watermark there tells what this process should know itself
			w := newWorld(t, ServerConfig{Keyring: k, Store: store, Budget: long})
			m := capture(t, w, w.client(tls.VersionTLS13))
			var ticket []byte
			revoked := false
			for _, step := range steps {
				switch step {
				case issue:
					ticket = w.wrapped(m)
				case revoke:
					if err := w.RevokeAll(t.Context()); err == nil {
						t.Error("RevokeAll with a Store that is down = nil; want an error")
					}
					revoked = true
				default:
					c.Set(step)
					k.clock.Read()
				}
				if c.Pass(3 * time.Second); revoked && w.unwrapped(ticket, m) != nil {
					t.Errorf("a session of before the revocation resumes after a step of %v", step)
				}
			}
			if w.unwrapped(w.wrapped(m), m) == nil {
				t.Errorf("a session of after the revocation does not resume: %v", w.misses())
			}
		})
	}
}
