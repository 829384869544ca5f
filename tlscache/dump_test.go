package tlscache

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/gob"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// dump writes what a Memory has, as docs/store.md says.
func dump(t testing.TB, m *session.Memory) []byte {
	t.Helper()
	var file bytes.Buffer
	out := gob.NewEncoder(&file)
	for e, err := range m.All(context.Background()) {
		if err != nil {
			t.Fatalf("All yields %v", err)
		}
		if len(e.Session) == 0 {
			t.Fatal("All yields a session of no bytes")
		}
		if err := out.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	return file.Bytes()
}

// entriesOf reads a dump.
func entriesOf(t testing.TB, file []byte) (entries []session.Entry) {
	t.Helper()
	for in := gob.NewDecoder(bytes.NewReader(file)); ; {
		var e session.Entry
		if err := in.Decode(&e); err != nil {
			return entries // the end
		}
		entries = append(entries, e)
	}
}

// A restarted is a Server of another process, on the sessions that the first one dumped.
type restarted struct {
	*world
	memory *session.Memory
}

// restart returns the world after a restart: another Server with a Keyring of the same secrets, the same
// certificates, and the sessions of a dump.
func (w *world) restart(entries []session.Entry, cfg ServerConfig, keyring *Keyring, change ...func(*tls.Config)) restarted {
	w.t.Helper()
	memory := newMemory(w.t, session.MemoryConfig{})
	for _, e := range entries {
		if err := memory.Update(context.Background(), e.Key, e.Session, time.Until(e.Expires)); err != nil {
			w.t.Fatal(err)
		}
	}
	next := &world{t: w.t, ca: w.ca, server: &tls.Config{Certificates: w.server.Certificates}}
	for _, f := range change {
		f(next.server)
	}
	cfg.Store, cfg.Keyring = memory, keyring
	next.Server = newServer(w.t, cfg)
	if err := next.Install(next.server); err != nil {
		w.t.Fatal(err)
	}
	return restarted{next, memory}
}

func TestADumpOfLiveSessionsResumesInTheNextProcess(t *testing.T) {
	for _, kind := range []struct {
		name   string
		mutual bool
		cfg    ServerConfig
	}{
		{"anonymous", false, ServerConfig{}},
		{"mutual", true, ServerConfig{}},
		{"single use", false, ServerConfig{SingleUse: true}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				memory := newMemory(t, session.MemoryConfig{})
				cfg := kind.cfg
				cfg.Store, cfg.Keyring = memory, ring(t, secret(1))
				var changes []func(*tls.Config)
				w := &world{t: t, ca: newAuthority(t, "authority")}
				if kind.mutual {
					changes = append(changes, mutual(w.ca))
				}
				w.server, w.Server = w.config(changes...), newServer(t, cfg)
				if err := w.Install(w.server); err != nil {
					t.Fatal(err)
				}
				var clients []*tls.Config
				for range 13 {
					client := w.client(version)
					if kind.mutual {
						client = w.mtls(version, w.ca.issue(t))
					}
					w.want("before", client, false)
					clients = append(clients, client)
				}
				w.want("the first, again", clients[0], true)
				entries := entriesOf(t, dump(t, memory))
				if kind.mutual {
					changes = []func(*tls.Config){mutual(w.ca)} // an equal pool, elsewhere
				}
				next := w.restart(entries, cfg, ring(t, secret(2), secret(1)), changes...)
				for _, client := range clients {
					next.want("after the restart", client, true)
					next.want("and again", client, true)
				}
				if got := next.misses(); len(got) > 0 {
					t.Errorf("misses %v; want none", got)
				}
			})
		})
	}
}

// Who restores a dump does not know what was revoked before.
func TestADumpHasNothingThatWasRevoked(t *testing.T) {
	ctx := context.Background()
	versions(t, func(t *testing.T, version uint16) {
		for name, revoke := range map[string]func(w *world, cert tls.Certificate) error{
			"principal":   func(w *world, cert tls.Certificate) error { return w.RevokePrincipal(ctx, principalOf(t, cert)) },
			"server name": func(w *world, _ tls.Certificate) error { return w.RevokeServerName(ctx, host) },
			"everything":  func(w *world, _ tls.Certificate) error { return w.RevokeAll(ctx) },
		} {
			memory := newMemory(t, session.MemoryConfig{})
			ca := newAuthority(t, "clients")
			w := newWorld(t, ServerConfig{Store: memory, Keyring: ring(t, secret(1))}, mutual(ca))
			revoked, other := ca.issue(t), ca.issue(t)
			client := w.mtls(version, revoked)
			w.want("before", client, false)
			elsewhere := w.client(version, showing(other), func(cfg *tls.Config) { cfg.ServerName = "other.example" })
			w.want("another's", elsewhere, false)
			if err := revoke(w, revoked); err != nil {
				t.Fatal(err)
			}
			entries := entriesOf(t, dump(t, memory))
			want := 1 // the other's
			if name == "everything" {
				want = 0
			}
			if len(entries) != want {
				t.Errorf("%s: the dump has %d sessions; want %d, none that was revoked", name, len(entries), want)
			}
			next := w.restart(entries, ServerConfig{}, ring(t, secret(1)), mutual(ca))
			next.want(name+": the revoked one", client, false)
			next.want(name+": the other", elsewhere, name != "everything")
		}
	})
}

// Revocations reach restored sessions as they reach sealed ones.
func TestRestoredSessionsCanBeRevoked(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		for _, shared := range []bool{false, true} {
			memory := newMemory(t, session.MemoryConfig{})
			keyring := ring(t, secret(1))
			w := newWorld(t, ServerConfig{Store: memory, Keyring: keyring})
			client := w.client(version)
			w.want("before", client, false)
			entries := entriesOf(t, dump(t, memory))
			revoker := w.Server // shares the Keyring, and so what it revokes after the dump
			if !shared {
				keyring = ring(t, secret(1))
			}
			next := w.restart(entries, ServerConfig{}, keyring)
			if !shared {
				revoker = next.Server
			}
			if err := revoker.RevokeAll(context.Background()); err != nil {
				t.Fatal(err)
			}
			next.want("after the revocation", client, false)
			if got := next.misses(); got[MissRevoked] != 1 {
				t.Errorf("shared Keyring %v: misses %v; want the session revoked", shared, got)
			}
		}
	})
}

// A record opens under its own key and under no other.
func TestDumpedSessionsAreBoundToTheirKeys(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		memory := newMemory(t, session.MemoryConfig{})
		w := newWorld(t, ServerConfig{Store: memory, Keyring: ring(t, secret(1))})
		a, b := w.client(version), w.client(version)
		w.want("a", a, false)
		w.want("b", b, false)
		entries := entriesOf(t, dump(t, memory))
		if len(entries) != 2 {
			t.Fatalf("the dump has %d sessions; want 2", len(entries))
		}
		entries[0].Session, entries[1].Session = entries[1].Session, entries[0].Session
		next := w.restart(entries, ServerConfig{}, ring(t, secret(1)))
		next.want("a, with the bytes of b", a, false)
		next.want("b, with the bytes of a", b, false)
		if got := next.misses(); got[MissMalformed] != 2 {
			t.Errorf("misses %v; want 2 malformed ones", got)
		}

		item, err := memory.LookupLocal(entries[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := item.SessionBytes(entries[1].Key); err == nil {
			t.Errorf("a live session under another's key gives %d bytes; want an error", len(s))
		}
	})
}

// Each check that a sealed record gets in a Store elsewhere.
func TestRestoredSessionsAreCheckedAsSealedOnes(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		for _, tt := range []struct {
			name    string
			cfg     ServerConfig
			keyring *Keyring
			change  func(w *world, cfg *tls.Config)
			spoil   func(s []byte) []byte
			want    MissReason
		}{
			{"as it was", ServerConfig{}, ring(t, secret(1)), nil, nil, 0},
			{"another named scope", ServerConfig{Scope: "x"}, ring(t, secret(1)), nil, nil, MissScope},
			{"another leaf", ServerConfig{}, ring(t, secret(1)), func(w *world, cfg *tls.Config) {
				cfg.Certificates = []tls.Certificate{w.ca.issue(t, host)}
			}, nil, MissScope},
			{"no such secret", ServerConfig{}, ring(t, secret(2)), nil, nil, MissUnknownKey},
			{"a bit of it changed", ServerConfig{}, ring(t, secret(1)), nil, func(s []byte) []byte { s[len(s)-1] ^= 1; return s }, MissMalformed},
			{"cut short", ServerConfig{}, ring(t, secret(1)), nil, func(s []byte) []byte { return s[:len(s)/2] }, MissMalformed},
			{"empty", ServerConfig{}, ring(t, secret(1)), nil, func([]byte) []byte { return nil }, MissMalformed},
			{"a shorter TTL than it has left", ServerConfig{TTL: time.Minute}, ring(t, secret(1)), nil, nil, MissExpired},
		} {
			memory := newMemory(t, session.MemoryConfig{})
			w := newWorld(t, ServerConfig{Store: memory, Keyring: ring(t, secret(1))})
			client := w.client(version)
			w.want("before", client, false)
			entries := entriesOf(t, dump(t, memory))
			if tt.spoil != nil {
				entries[0].Session = tt.spoil(slices.Clone(entries[0].Session))
			}
			next := w.restart(entries, tt.cfg, tt.keyring, func(cfg *tls.Config) {
				if tt.change != nil {
					tt.change(w, cfg)
				}
			})
			next.want(tt.name, client, tt.want == 0)
			if got := next.misses(); tt.want != 0 && got[tt.want] != 1 {
				t.Errorf("%s: misses %v; want %v", tt.name, got, tt.want)
			}
		}
	})
}

// Pools are numbered as they come, and they come in another order after a restart.
func TestTenantsResumeAfterARestartInWhateverOrderTheyCome(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		memory := newMemory(t, session.MemoryConfig{})
		w := newWorld(t, ServerConfig{Store: memory, Keyring: ring(t, secret(1))})
		// Of one subject: only their keys tell them apart.
		tenants := []*authority{newAuthority(t, "one subject"), newAuthority(t, "one subject")}
		serve := func(s *Server, ca *authority) *tls.Config {
			cfg := &tls.Config{Certificates: w.server.Certificates}
			mutual(ca)(cfg)
			if err := s.Install(cfg); err != nil {
				t.Fatal(err)
			}
			return cfg
		}
		clients := make([]*tls.Config, len(tenants))
		for i, ca := range tenants {
			clients[i] = w.mtls(version, ca.issue(t))
			if resumes(t, serve(w.Server, ca), clients[i]) {
				t.Fatal("a first visit resumed")
			}
		}
		next := w.restart(entriesOf(t, dump(t, memory)), ServerConfig{}, ring(t, secret(1)))
		for _, i := range []int{1, 0} {
			if !resumes(t, serve(next.Server, tenants[i]), clients[i]) {
				t.Errorf("tenant %d does not resume after the restart: misses %v", i, next.misses())
			}
		}
	})
}

// A single-use session is dumped once it was stored, and not once it was taken.
func TestWhatWasTakenIsNotDumped(t *testing.T) {
	memory := newMemory(t, session.MemoryConfig{})
	w := newWorld(t, ServerConfig{Store: memory, Keyring: ring(t, secret(1)), SingleUse: true})
	spent := w.client(tls.VersionTLS12)
	cache := new(lastSession)
	spent.ClientSessionCache = keepGet{cache}
	first := w.client(tls.VersionTLS12, func(cfg *tls.Config) { cfg.ClientSessionCache = cache })
	w.want("first", first, false)
	w.want("spends it", spent, true)
	next := w.restart(entriesOf(t, dump(t, memory)), ServerConfig{SingleUse: true}, ring(t, secret(1)))
	next.want("spent before the restart", spent, false)

	for e, err := range next.memory.All(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if s, err := next.memory.Take(context.Background(), e.Key); err != nil || len(s) == 0 {
			t.Errorf("Take of a live session = %d bytes, %v; want what All yielded", len(s), err)
		}
		if _, err := next.memory.Take(context.Background(), e.Key); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("a second Take = %v; want %v", err, session.ErrNotFound)
		}
	}
}
