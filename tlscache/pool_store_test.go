package tlscache

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

func TestProcessesShareTicketsThroughAStore(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p := startPeer(t, func(cfg *tls.Config) { cfg.MaxVersion = version })
		store := newTestStore(t)
		process := func() *Client {
			return newTestClient(t, ClientConfig{
				Store: store, Keyring: ring(t, secret(1)), TLS: p.config(), Budget: time.Minute,
				DialContext: dialTo(func() string { return p.addr }),
			})
		}
		one, two := process(), process()
		p.mustVisit(t, p.installed(t, one), false)
		p.mustVisit(t, p.installed(t, two), true)
		p.mustVisit(t, p.installed(t, one), true)
		wantDial(t, two, true) // a copy of the name's
		wantDial(t, one, true) // the address's own
		one.FlushHost("other.test")
		p.mustVisit(t, p.installed(t, two), true)
		one.FlushHost(testName)
		p.mustVisit(t, p.installed(t, two), false)
		wantDial(t, one, true) // the name's again, which came last
		two.Flush()
		wantDial(t, one, false)
		one.Close()
		wantDial(t, one, false)
		wantDial(t, two, true)
	}
}

func TestAStoreSeesNeitherSecretsNorNames(t *testing.T) {
	store := newTestStore(t)
	c := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute})
	c.View("test").Put(testName, fakeTicket{label: "the label"}.state(t))
	n := 0
	for e, err := range store.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		seen := append([]byte(e.Key.Partial+e.Key.ID), e.Session...)
		for _, secret := range []string{testName, "the label", "secret of the label"} {
			if bytes.Contains(seen, []byte(secret)) {
				t.Errorf("the Store has %q in the clear", secret)
			}
		}
	}
	if n != 1 {
		t.Errorf("the Store has %d sessions; want 1", n)
	}
}

func TestAKeyringRotatesUnderTicketsInAStore(t *testing.T) {
	store := newTestStore(t)
	keyring := ring(t, secret(1))
	c := newTestClient(t, ClientConfig{Store: store, Keyring: keyring, Budget: time.Minute})
	v := c.View("test")
	puts(t, v, "1")
	if err := keyring.Replace(secret(2), secret(1)); err != nil {
		t.Fatal(err)
	}
	wantGets(t, v, "1", "1")
	puts(t, v, "2")
	wantGets(t, v, "2")
	if err := keyring.Replace(secret(3)); err != nil {
		t.Fatal(err)
	}
	wantGets(t, v, "")
}

// What does not open is a miss, and does not stay in the way of what comes.
func TestATicketThatDoesNotOpenIsAMissOnce(t *testing.T) {
	store := newTestStore(t)
	c := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute})
	v := c.View("test")
	puts(t, v, "1")
	for e, err := range store.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(e.Session)
		bad[len(bad)-1] ^= 1
		if err := store.Update(t.Context(), e.Key, bad, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	wantGets(t, v, "", "")
	if got := c.Stats().Misses; got[MissForged] != 1 || got[MissGone] != 1 {
		t.Errorf("misses = %v; want 1 forged and then 1 gone", got)
	}
	puts(t, v, "2")
	wantGets(t, v, "2")
}

// An Indexed Store that does to every call what the test says.
type troubledStore struct {
	session.Indexed
	trouble func(ctx context.Context) error
}

func (s troubledStore) Update(ctx context.Context, _ session.Key, _ []byte, _ time.Duration) error {
	return s.trouble(ctx)
}

func (s troubledStore) Delete(ctx context.Context, _ session.Key) error { return s.trouble(ctx) }

func (s troubledStore) TakeNewest(ctx context.Context, _ string, _ bool) (session.Entry, error) {
	return session.Entry{Session: []byte("garbage")}, s.trouble(ctx)
}

func (s troubledStore) SelectSession(ctx context.Context, _ string, _ int) ([]session.Entry, error) {
	return []session.Entry{{Session: []byte("garbage")}}, s.trouble(ctx)
}

func (s troubledStore) DeletePartial(ctx context.Context, _ string) (int, error) {
	return 0, s.trouble(ctx)
}

func (s troubledStore) All(ctx context.Context) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) { yield(session.Entry{}, s.trouble(ctx)) }
}

func TestABrokenStoreFailsNoHandshake(t *testing.T) {
	p := startPeer(t, nil)
	never := make(chan struct{})
	var stranded sync.WaitGroup
	defer stranded.Wait()
	defer close(never)
	for name, trouble := range map[string]func(context.Context) error{
		"garbage": func(context.Context) error { return nil },
		"fails":   func(context.Context) error { return errors.New("no") },
		"panics":  func(context.Context) error { panic("no") },
		"slow":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"never returns": func(context.Context) error {
			stranded.Add(1)
			defer stranded.Done()
			<-never
			return nil
		},
	} {
		c := newTestClient(t, ClientConfig{
			Store: troubledStore{trouble: trouble}, Keyring: ring(t, secret(1)), Budget: time.Millisecond,
			TLS: p.config(), DialContext: cancellable(dialTo(func() string { return p.addr })),
		})
		cfg := p.installed(t, c)
		for i := range 100 {
			p.mustVisit(t, cfg, false)
			wantDial(t, c, false)
			if i%10 == 0 {
				cfg.ClientSessionCache.Put(testName, nil)
				_ = cancelledDial(c)
			}
		}
		c.Flush()
		st := c.Stats()
		if name != "garbage" && !st.Store.BreakerOpen {
			t.Errorf("%s: the breaker is closed after 200 handshakes: %+v", name, st.Store)
		}
		if st.Store.InFlight > DefaultMaxInFlight {
			t.Errorf("%s: %d calls in flight; want at most %d", name, st.Store.InFlight, DefaultMaxInFlight)
		}
	}
}

func TestAStoreNeedsStableScopesAndAKeyring(t *testing.T) {
	remote := troubledStore{} // not session.Local
	if _, err := NewClient(ClientConfig{Store: remote}); err == nil {
		t.Error("NewClient with a Store and no Keyring = nil; want an error")
	}
	cfg := ClientConfig{Store: remote, Keyring: ring(t, secret(1))}
	c := newTestClient(t, cfg)
	unstable := &tls.Config{VerifyPeerCertificate: pinning(true)}
	if err := c.Install(unstable); err == nil || unstable.ClientSessionCache != nil {
		t.Errorf("Install of an unstable scope = %v; want an error and an unchanged Config", err)
	}
	cfg.TLS = unstable
	if _, err := NewClient(cfg); err == nil {
		t.Error("NewClient with an unstable scope in TLS = nil; want an error")
	}
	cfg.Scope = "pinned"
	if err := newTestClient(t, cfg).Install(unstable); err != nil {
		t.Errorf("Install of a named scope = %v; want nil", err)
	}
	if err := c.Export(new(bytes.Buffer), ExportConfig{Keyring: cfg.Keyring}); err == nil {
		t.Error("Export with a Store = nil; want an error")
	}
}

// A slowIndexed Store takes its time for each call, and what it has does not open.
type slowIndexed struct {
	session.Indexed
	each time.Duration
}

func (s slowIndexed) TakeNewest(_ context.Context, partial string, _ bool) (session.Entry, error) {
	time.Sleep(s.each)
	return session.Entry{Key: session.Key{Partial: partial, ID: tickets.SlotName(0)}, Session: []byte("?")}, nil
}

func (s slowIndexed) Delete(context.Context, session.Key) error { time.Sleep(s.each); return nil }

func (s slowIndexed) DeletePartial(context.Context, string) (int, error) {
	time.Sleep(s.each)
	return 0, nil
}

func (s slowIndexed) Update(context.Context, session.Key, []byte, time.Duration) error {
	time.Sleep(s.each)
	return nil
}

// However many calls of its Store a Get or a Put makes, they have one budget.
func TestAPoolsCallsShareABudget(t *testing.T) {
	old := fakeTicket{label: "old", version: 0x0303}.state(t)
	synctest.Test(t, func(t *testing.T) {
		for each, want := range map[time.Duration]time.Duration{2 * time.Millisecond: 4 * time.Millisecond, 3 * time.Millisecond: 5 * time.Millisecond} {
			store := slowIndexed{newMemory(t, session.MemoryConfig{}), each}
			c := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1))})
			cache := c.View("a")
			for what, call := range map[string]func(){"Get": func() { cache.Get(testName) }, "Put": func() { cache.Put(testName, old) }} {
				begin := time.Now()
				if call(); time.Since(begin) != want {
					t.Errorf("two calls of %v: %s took %v; want %v", each, what, time.Since(begin), want)
				}
				time.Sleep(time.Second) // for what was given up on
			}
		}
	})
}

// A takingStore counts what is taken from it.
type takingStore struct {
	session.Indexed
	takes, selects atomic.Int64
}

func (s *takingStore) TakeNewest(ctx context.Context, partial string, keepLast bool) (session.Entry, error) {
	s.takes.Add(1)
	return s.Indexed.TakeNewest(ctx, partial, keepLast)
}

func (s *takingStore) SelectSession(ctx context.Context, partial string, limit int) ([]session.Entry, error) {
	s.selects.Add(1)
	return s.Indexed.SelectSession(ctx, partial, limit)
}

// No handshake waits for a probe, so one that takes a ticket loses it.
func TestNoTicketIsTakenToProbeAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &takingStore{Indexed: newMemory(t, session.MemoryConfig{})}
		cfg := tickets.Config{
			MaxSessions: 1, PerKey: 1, SingleUse: true,
			Store: store, Keys: ring(t, secret(1)).keys, Budget: DefaultBudget, MaxInFlight: DefaultMaxInFlight,
		}
		p, err := tickets.NewStorePool(cfg, new(clock.Clock), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		trip(p.Guard)
		time.Sleep(openAtMost)
		key := tickets.Key(viewScope("a"), "host.example")
		if tk, why := p.Take(key, p.Clock.Read()); tk != nil || !errors.Is(why, guard.ErrOpen) {
			t.Errorf("take = %v, %v with the breaker open; want nothing, %v", tk, why, guard.ErrOpen)
		}
		synctest.Wait()
		if n := store.takes.Load(); n != 0 || !p.Guard.Stats().BreakerOpen {
			t.Errorf("%d tickets taken as probes; want 0, and the breaker open", n)
		}
		p.Peek(key, p.Clock.Read()) // takes nothing away
		synctest.Wait()
		if n := store.selects.Load(); n != 1 || p.Guard.Stats().BreakerOpen {
			t.Errorf("%d probes that take nothing; want 1, which closes the breaker", n)
		}
	})
}
