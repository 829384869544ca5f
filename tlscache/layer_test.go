package tlscache

import (
	"bytes"
	"crypto/tls"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// The gate reads the Config in use from a field that crypto/tls does not export. Without it nothing would
// resume but what GetConfigForClient returns: see ADR 13.
func TestHelloTellsTheConfigInUse(t *testing.T) {
	if helloConfig() < 0 {
		t.Fatal("tls.ClientHelloInfo has no field config of type *tls.Config any more; want another way to the Config in use")
	}
	w := newWorld(t, ServerConfig{})
	var seen *tls.Config
	server := w.config()
	server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		seen = configInUse(hello)
		return nil, nil
	}
	if _, _, err := connect(server, w.client(0)); err != nil || seen != server {
		t.Errorf("%v; in use is %p; want %p", err, seen, server)
	}
}

// Others may call GetConfigForClient, too; what they get is what the user's returns.
func TestGateReturnsNilToCallsOfOthers(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	for what, hello := range map[string]*tls.ClientHelloInfo{
		"nil": nil, "made up": {ServerName: host}, "on a Config without hooks": helloOn(w.config(), host),
		"on one that lost them": helloOn(w.config(func(c *tls.Config) { c.GetConfigForClient = w.server.GetConfigForClient }), host),
	} {
		if cfg, err := w.server.GetConfigForClient(hello); cfg != nil || err != nil {
			t.Errorf("%s: %v, %v; want nil, nil", what, cfg, err)
		}
	}
}

// TestNoLockIsHeldOverHooksOfTheUser: two connections are in the same hook at once, each once.
func TestNoLockIsHeldOverHooksOfTheUser(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		const clients = 4
		var mu sync.Mutex
		calls, inside := 0, make(chan struct{}, clients)
		all := make(chan struct{})
		w := newWorld(t, ServerConfig{})
		base := w.config()
		base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := w.server.Clone()
			c.GetConfigForClient = nil
			c.WrapSession = c.EncryptTicket
			c.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
				mu.Lock()
				calls++
				mu.Unlock()
				inside <- struct{}{}
				<-all // until the others are here
				return nil, nil
			}
			return c, nil
		}
		if err := w.Install(base); err != nil {
			t.Fatal(err)
		}
		stock := w.config(func(c *tls.Config) { c.Certificates = base.Certificates })
		var visits sync.WaitGroup
		for range clients {
			client := w.client(version)
			resumes(t, stock, client) // for a ticket that is none of ours
			visits.Go(func() {
				if _, _, err := connect(base, client); err != nil {
					t.Error(err)
				}
			})
		}
		for range clients {
			<-inside // a lock would let one in, and the test hang
		}
		close(all)
		visits.Wait()
		if calls != clients {
			t.Errorf("the user's UnwrapSession was called %d times on %d connections; want once on each", calls, clients)
		}
	})
}

// Hooks that a user puts over ours after Install are called, and ours by them.
func TestHooksPutOverOursStay(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		wrapped, unwrapped := 0, 0
		wrap, unwrap := w.server.WrapSession, w.server.UnwrapSession
		w.server.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
			wrapped++
			return wrap(cs, ss)
		}
		w.server.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
			if len(identity) > 0 {
				unwrapped++
			}
			return unwrap(identity, cs)
		}
		client := w.client(version)
		for i := range 3 {
			w.want("visit", client, i > 0)
		}
		if wrapped != 3 || unwrapped != 2 {
			t.Errorf("they were called %d and %d times; want 3 and 2", wrapped, unwrapped)
		}
		if st := w.Stats(); st.Ungated != 0 || st.Resumed != 2 || st.Stored+st.Reissued != 3 {
			t.Errorf("stats: %+v; want 2 resumed, 3 issued, none ungated", st)
		}
	})
}

// As quic-go and its http3 do: clones with functions over the hooks and over GetConfigForClient, which are
// put over what that returns again.
func TestFunctionsPutOverTheGateAsQUICLibrariesDo(t *testing.T) {
	w, client := newQUICWorld(t, ServerConfig{NoEarlyData: true})
	var setUp func(cfg *tls.Config) *tls.Config
	wrapped := 0
	setUp = func(cfg *tls.Config) *tls.Config {
		_, _ = cfg.DecryptTicket(nil, tls.ConnectionState{})
		c := cfg.Clone()
		c.MinVersion = tls.VersionTLS13
		wrap, unwrap := c.WrapSession, c.UnwrapSession
		c.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
			wrapped++
			ss.Extra = append(ss.Extra, []byte("settings"))
			return wrap(cs, ss)
		}
		c.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) { return unwrap(identity, cs) }
		if get := c.GetConfigForClient; get != nil {
			c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				theirs, err := get(hello)
				if theirs != nil {
					theirs = setUp(theirs)
				}
				return theirs, err
			}
		}
		return c
	}
	server := setUp(w.server)
	for i := range 3 {
		r := quicConnect(t, server, client, tls.QUICSessionTicketOptions{})
		if r.resumed != (i > 0) || i > 0 && (len(r.extra) != 1 || !bytes.Equal(r.extra[0], []byte("settings"))) {
			t.Errorf("connection %d: resumed = %v with extra %q; want %v with the settings once", i, r.resumed, r.extra, i > 0)
		}
	}
	if wrapped != 3 {
		t.Errorf("their WrapSession was called %d times on 3 connections", wrapped)
	}
}

// Install at each reload, by one Server or by two in turn, leaves a Config as it is after one.
func TestInstallingAgainCostsNothing(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		asked := 0
		get := func(*tls.ClientHelloInfo) (*tls.Config, error) { asked++; return nil, nil }
		w := newWorld(t, ServerConfig{}, stockHooks, func(cfg *tls.Config) { cfg.GetConfigForClient = get })
		other := newServer(t, ServerConfig{})
		for i := range number(5000, 500) {
			s := w.Server
			if i%2 == 0 {
				s = other
			}
			if i%3 == 0 {
				w.server = w.server.Clone()
			}
			if err := s.Install(w.server); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
		l := layerOf(w.server)
		if len(l.others) != 1 || l.others[0] != other {
			t.Errorf("%d Servers are before it; want the other one", len(l.others))
		}
		for _, left := range []bool{ourWraps.owner(l.before.wrap) != nil, ourUnwraps.owner(l.before.unwrap) != nil, ourGates.owner(l.before.get) != nil} {
			if left {
				t.Error("a hook of ours is under ours")
			}
		}
		client := w.client(version)
		w.want("first", client, false)
		asked = 0
		w.want("second", client, true)
		if asked != 1 {
			t.Errorf("the user's GetConfigForClient was called %d times on one connection; want once", asked)
		}
	})
}

func TestServersOfReloadsAreForgotten(t *testing.T) {
	cfg := &tls.Config{}
	for range 10 * maxOthers {
		if err := newServer(t, ServerConfig{}).Install(cfg); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(layerOf(cfg).others); n > maxOthers {
		t.Errorf("%d Servers are kept; want at most %d", n, maxOthers)
	}
	for range 10 {
		s := newServer(t, ServerConfig{})
		if err := s.Install(cfg); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	if err := newServer(t, ServerConfig{}).Install(cfg); err != nil {
		t.Fatal(err)
	}
	for _, o := range layerOf(cfg).others {
		if o.closed.Load() {
			t.Error("a closed Server is kept")
		}
	}
}

// Clients of the Server that a Config had before go on to resume: it is the second fallback.
func TestTheServerBeforeIsTheSecondFallback(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		client := w.client(version)
		w.want("first", client, false)
		next := newServer(t, ServerConfig{})
		if err := next.Install(w.server); err != nil {
			t.Fatal(err)
		}
		w.want("with a ticket of the Server before", client, true)
		w.want("with one of the new Server", client, true)
		if st := next.Stats(); st.Found != 2 || st.FoundForeign != 1 {
			t.Errorf("stats: %+v; want 2 found, 1 of them foreign", st)
		}
	})
}

func TestStatsTellOfConfigsThatAreBypassed(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	want := func(what string, n int) {
		t.Helper()
		if got := w.Stats().Bypassed; got != n {
			t.Errorf("%s: Bypassed is %d; want %d", what, got, n)
		}
	}
	want("installed", 0)
	w.server.NextProtos = []string{"h2"}
	w.server.VerifyConnection = func(tls.ConnectionState) error { return nil }
	want("completed", 0)
	fresh := w.config()
	w.server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return fresh, nil }
	want("GetConfigForClient set after Install", 1)
	if err := w.Install(w.server); err != nil {
		t.Fatal(err)
	}
	want("Install last", 0)
	w.server.WrapSession = nil
	want("without a hook", 1)
	runtime.KeepAlive(w.server)
}

// Configs by the thousand, as a program that installs in each connection's has them.
func TestInstalledConfigsAreBounded(t *testing.T) {
	s := newServer(t, ServerConfig{})
	var held []*tls.Config
	for range 3 * maxInstalled {
		held = append(held, new(tls.Config))
		if err := s.Install(held[len(held)-1]); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.installed.mu.configs); n > maxInstalled {
		t.Errorf("%d Configs are remembered; want at most %d", n, maxInstalled)
	}
	runtime.KeepAlive(held)
}

var global tls.Config

func TestInstallOnAConfigThatIsNotOnTheHeap(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	global.Certificates = w.server.Certificates
	if err := w.Install(&global); err != nil {
		t.Fatal(err)
	}
	w.server = &global
	client := w.client(0)
	w.want("first", client, false)
	w.want("second", client, true)
}

// A Config that the gate made, kept and returned to all, mixes its connections up, never to their gain.
func TestAConfigOfOneConnectionThatServesMany(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{Store: newMemory(t, session.MemoryConfig{})})
		kept := w.open(host)
		server := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return kept, nil }}
		var fleet sync.WaitGroup
		for range 8 {
			client := w.client(version)
			fleet.Go(func() {
				for range 4 {
					if _, _, err := connect(server, client); err != nil {
						t.Error(err)
					}
				}
			})
		}
		fleet.Wait()
		before := time.Now()
		if err := w.RevokeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		client := w.client(version)
		resumes(t, server, client)
		if resumes(t, server, client) {
			t.Errorf("a session of a Config from before %v resumes after the revocation", before)
		}
	})
}

func TestErrorsOfHooksPutOverOursStay(t *testing.T) {
	no := errors.New("no")
	w := newWorld(t, ServerConfig{})
	w.server.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, no }
	if _, _, err := connect(w.server, w.client(0)); !errors.Is(err, no) {
		t.Errorf("%v; want the user's error", err)
	}
}
