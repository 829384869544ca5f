package tlscache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
)

// Outcomes that were told, safe for concurrent use.
type outcomes struct {
	mu   sync.Mutex
	told []Outcome
}

func (o *outcomes) tell(out Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, out)
}

// take returns the outcomes since it was called last.
func (o *outcomes) take() []Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	told := o.told
	o.told = nil
	return told
}

// one returns the one outcome since then.
func (o *outcomes) one(t *testing.T) Outcome {
	t.Helper()
	told := o.take()
	if len(told) != 1 {
		t.Fatalf("%d outcomes were told: %v; want one", len(told), told)
	}
	return told[0]
}

func TestAServerTellsHowEachHandshakeWent(t *testing.T) {
	everywhere(t, func(t *testing.T, kind string, version uint16) {
		told := new(outcomes)
		w := newWorld(t, kept(t, kind, ServerConfig{OnHandshake: told.tell}))
		client := w.insistent(version)
		w.want("first", client, false)
		first := told.one(t)
		if first.Resumed || first.Miss != 0 || first.Version != version || first.Age != 0 || first.Server == (Fingerprint{}) {
			t.Errorf("the first: %+v; want a full handshake of that version that offered nothing", first)
		}
		w.want("again", client, true)
		if again := told.one(t); !again.Resumed || again.Miss != 0 || again.Age <= 0 || again.Server != first.Server {
			t.Errorf("again: %+v; want a resumption of a session of some age, of the same server", again)
		}
		client.ServerName = "other.example"
		w.want("another name", client, false)
		if other := told.one(t); other.Miss != MissServerName || other.Server == first.Server || other.Server == (Fingerprint{}) {
			t.Errorf("another name: %+v; want another fingerprint, and a miss of %q", other, MissServerName)
		}
		if err := w.RevokeAll(t.Context()); err == nil != (kind != "fallback tickets") {
			t.Fatal(err)
		}
		w.want("revoked", client, false)
		if revoked := told.one(t); revoked.Miss != MissRevoked {
			t.Errorf("revoked: %+v; want a miss of %q", revoked, MissRevoked)
		}
	})
}

// Who reads the Store and a log must not find one in the other, and who has neither secret finds no name.
func TestAFingerprintIsNoNameOfTheStore(t *testing.T) {
	k := ring(t, secret(1), secret(2))
	var f, same fingerprints
	got := f.of(k.active(), "HOST.example.")
	if got != same.of(k.active(), host) || got == f.of(k.active(), "other.example") || got == f.of(k.find(2), host) {
		t.Error("a fingerprint is not of the name and the secret alone")
	}
	if name := k.active().Name("server name", []byte(host)); [16]byte(name) == [16]byte(got) {
		t.Error("the fingerprint is the name of a watermark in the Store")
	}
	if f.of(k.active(), "") != (Fingerprint{}) || (Fingerprint{}).String() != "" || got.String() != hex.EncodeToString(got[:]) {
		t.Error("no name has a fingerprint, or one prints as another")
	}
}

// The age is that of the last full handshake, however often the session was renewed.
func TestTheAgeIsThatOfTheFullHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		told := new(outcomes)
		w := newWorld(t, ServerConfig{OnHandshake: told.tell})
		client := w.client(tls.VersionTLS13)
		w.want("first", client, false)
		for range 3 {
			time.Sleep(time.Hour)
			w.want("again", client, true)
		}
		all := told.take()
		if got := all[len(all)-1].Age; got != 3*time.Hour {
			t.Errorf("Age = %v after three hours; want them", got)
		}
	})
}

func TestAHandshakeThatFailsIsNotTold(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		told := new(outcomes)
		w := newWorld(t, ServerConfig{OnHandshake: told.tell}, func(cfg *tls.Config) {
			cfg.VerifyConnection = func(tls.ConnectionState) error { return errPin }
		})
		if _, _, err := connect(w.server, w.client(version)); !errors.Is(err, errPin) {
			t.Fatal(err)
		}
		if n := len(told.take()); n != 0 {
			t.Errorf("%d outcomes of a handshake that was refused", n)
		}
	})
}

// A panic costs the report. It is counted and logged, so it is not silent.
func TestAPanicOfOnHandshakeCostsNoHandshake(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		h := newHandler()
		panics := func(Outcome) { panic("a bug of the user's in " + host) }
		w := newWorld(t, ServerConfig{OnHandshake: panics, Logger: slog.New(h)})
		c := newTestClient(t, ClientConfig{OnHandshake: panics, Logger: slog.New(h)})
		client := w.client(version)
		client.ClientSessionCache = nil
		if err := c.Install(client); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			w.want(fmt.Sprint("handshake ", i), client, i > 0)
		}
		if server, client := w.Stats().Panics, c.Stats().Panics; server != 3 || client != 3 {
			t.Errorf("%d panics are counted of the server's, %d of the client's; want 3 each", server, client)
		}
		for range 4 { // the first and second of both
			if line := <-h.lines; !strings.Contains(line, "OnHandshake") || strings.Contains(line, host) {
				t.Errorf("logged %q; want that OnHandshake panicked, and not what it said", line)
			}
		}
	})
}

func TestAClientTellsHowEachHandshakeWent(t *testing.T) {
	for _, way := range []string{"Install", "DialTLSContext"} {
		t.Run(way, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				p := startPeer(t, func(c *tls.Config) { c.MaxVersion = version })
				told := new(outcomes)
				c := newTestClient(t, ClientConfig{OnHandshake: told.tell, TLS: p.config()})
				of := p.installed(t, c)
				visit := func() Outcome {
					t.Helper()
					var err error
					if way == "Install" {
						_, err = p.visit(of)
					} else if conn, dialErr := c.DialTLSContext(t.Context(), "tcp", p.addr); dialErr != nil {
						err = dialErr
					} else {
						_, err = readGreeting(conn)
					}
					if err != nil {
						t.Fatal(err)
					}
					return told.one(t)
				}
				first := visit()
				if first.Resumed || first.Miss != MissGone || first.Version != version || first.Server == (Fingerprint{}) {
					t.Errorf("the first: %+v; want a full handshake that had nothing to offer", first)
				}
				if again := visit(); !again.Resumed || again.Miss != 0 || again.Server != first.Server {
					t.Errorf("again: %+v; want a resumption", again)
				}
				p.restart(7)
				if declined := visit(); declined.Resumed || declined.Miss != MissDeclined {
					t.Errorf("after a restart of the server: %+v; want a ticket that was declined", declined)
				}
			})
		})
	}
}

func TestAttemptsAreMatchedAndBounded(t *testing.T) {
	var as attempts
	as.begin("a", attempt{miss: MissGone})
	as.begin("a", attempt{created: 1})
	as.begin("a", attempt{created: 2})
	any := func(attempt) bool { return true }
	for i, want := range []uint64{1, 2} {
		if a, ok := as.end("a", attempt.offered); !ok || a.created != want {
			t.Errorf("%d: %+v, %v; want the first that offered", i, a, ok)
		}
	}
	if a, ok := as.end("a", any); !ok || a.miss != MissGone {
		t.Errorf("%+v, %v; want the one without a ticket", a, ok)
	}
	if _, ok := as.end("a", any); ok || len(as.mu.of) != 0 {
		t.Error("an attempt is left of none")
	}
	for i := range 3 * maxAttempted {
		as.begin(fmt.Sprint(i), attempt{})
		as.begin("a", attempt{})
	}
	if len(as.mu.of) > maxAttempted || len(as.mu.of["a"]) > maxAttempts {
		t.Errorf("%d keys, %d attempts of one; want %d and %d at most", len(as.mu.of), len(as.mu.of["a"]), maxAttempted, maxAttempts)
	}
}

// A listener of a Logger learns how often what happened, and never to whom.
func TestNoLineNamesAnybody(t *testing.T) {
	h := newHandler()
	cert := newAuthority(t, "clients").issue(t)
	j := new(judge)
	store := &moodyStore{Store: remote{newMemory(t, session.MemoryConfig{})}}
	keys := ring(t, secret(1), secret(2))
	w := newWorld(t, ServerConfig{Store: store, Keyring: keys, Budget: long, Logger: slog.New(h), VerifyPeerOnResume: true}, func(c *tls.Config) {
		c.ClientAuth, c.VerifyPeerCertificate = tls.RequireAnyClientCert, j.verify
	})
	client := w.insistent(tls.VersionTLS13, cert)
	w.want("first", client, false)
	w.want("again", client, true)
	ticket, _, _ := client.ClientSessionCache.(*lastSession).state.ResumptionState()
	j.refuses = true
	if _, _, err := connect(w.server, client); !errors.Is(err, errPin) {
		t.Fatal(err)
	}
	j.refuses = false
	principal := PrincipalOf(cert.Leaf)
	if err := errors.Join(w.RevokePrincipal(t.Context(), principal), w.RevokeServerName(t.Context(), host), w.RevokeAll(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := keys.Replace(secret(2), secret(1)); err != nil {
		t.Fatal(err)
	}
	w.want("after a rotation", client, false)
	w.server.MinVersion = tls.VersionTLS10
	w.want("after a change", client, false)
	store.fails.Store(true)
	for !w.Stats().Store.BreakerOpen {
		_, _ = guard.Do(long, w.guard, guard.NoProbe, func(ctx context.Context) ([]byte, error) { return store.Lookup(ctx, session.Key{}) })
	}
	store.fails.Store(false)
	want := []string{"refused clients", "revoked", "another secret", "another scope", "left alone"}
	for len(want) > 0 {
		line := <-h.lines
		want = slices.DeleteFunc(want, func(w string) bool { return strings.Contains(line, w) })
	}
	name := keys.find(1).Name("server name", []byte(host))
	s := secret(1)
	for what, secret := range map[string]string{
		"server name": host, "principal": principal, "ticket": string(ticket), "ticket, in hex": hex.EncodeToString(ticket)[:32], "secret": string(s.Bytes[:]),
		"secret, in hex": hex.EncodeToString(s.Bytes[:]), "name in the Store": hex.EncodeToString(name[:]), "subject": "leaf",
	} {
		if strings.Contains(h.all(), secret) {
			t.Errorf("the %s is logged:\n%s", what, h.all())
		}
	}
}

// The breaker's lines come in the order of what it did.
func TestTheStoresOutagesAreLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHandler()
		l := lines{logger: slog.New(h)}
		g := guard.New(64)
		g.OnBreaker(l.sayBreaker)
		call := func(err error) {
			_, _ = guard.Do(time.Second, g, guard.MayProbe, func(context.Context) (struct{}, error) { return struct{}{}, err })
		}
		for range 3 {
			for range 40 {
				call(errMoody)
			}
			if line := <-h.lines; !strings.Contains(line, "left alone") || !strings.Contains(line, "WARN") {
				t.Fatalf("logged %q; want that the Store is left alone", line)
			}
			time.Sleep(time.Second)
			call(nil) // the probe
			if line := <-h.lines; !strings.Contains(line, "answers again") {
				t.Fatalf("logged %q; want that it answers again", line)
			}
		}
		if len(h.lines) > 0 {
			t.Errorf("and %q", <-h.lines)
		}
	})
}

// The Config of each connection runs the user's VerifyConnection as before.
func TestOnHandshakeStandsOverTheUsersVerifyConnection(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		calls, told := 0, new(outcomes)
		w := newWorld(t, ServerConfig{OnHandshake: told.tell}, func(cfg *tls.Config) {
			cfg.VerifyConnection = func(tls.ConnectionState) error { calls++; return nil }
			cfg.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { t.Error("nobody asked for it"); return nil }
			cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
			cfg.VerifyPeerCertificate = nil
		})
		client := w.client(version)
		w.want("first", client, false)
		w.want("again", client, true)
		if n := len(told.take()); calls != 2 || n != 2 {
			t.Errorf("VerifyConnection ran %d times, %d outcomes were told; want 2 and 2", calls, n)
		}
	})
}

// crypto/tls declines by itself a session of a client whose certificate is not asked for any more, say: it just does
// not resume.
func TestADeclinedSessionIsTold(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		told := new(outcomes)
		w := newWorld(t, ServerConfig{OnHandshake: told.tell})
		client := w.insistent(version)
		w.want("first", client, false)
		w.server.Time = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) } // crypto/tls: it is over
		told.take()
		w.want("declined", client, false)
		if o := told.one(t); o.Miss != MissDeclined {
			t.Errorf("%+v; want a miss of %q", o, MissDeclined)
		}
	})
}
