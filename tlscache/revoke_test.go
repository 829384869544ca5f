package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// number returns the number of the promise with TLS_FULL set, as in make soak, and a smaller one else.
func number(promised, small int) int {
	switch {
	case os.Getenv("TLS_FULL") != "":
		return promised
	case raced:
		return max(small/4, 1)
	}
	return small
}

// stores are the two kinds that a Server tells apart.
func stores(t *testing.T, f func(t *testing.T, cfg ServerConfig)) {
	t.Run("memory", func(t *testing.T) { f(t, ServerConfig{}) })
	t.Run("remote", func(t *testing.T) {
		f(t, ServerConfig{Store: remote{newMemory(t, session.MemoryConfig{})}, Keyring: ring(t, secret(1)), Budget: long})
	})
}

// A sweptMemory and a sweptElsewhere tell when a revocation has freed the sessions of its principal. That is
// the last that it asks of a Store.
type sweptMemory struct {
	*session.Memory
	swept func()
}

func (s *sweptMemory) DeletePartial(ctx context.Context, partial string) (int, error) {
	defer s.swept()
	return s.Memory.DeletePartial(ctx, partial)
}

type sweptElsewhere struct {
	session.Indexed
	swept func()
}

func (s *sweptElsewhere) DeletePartial(ctx context.Context, partial string) (int, error) {
	defer s.swept()
	return s.Indexed.DeletePartial(ctx, partial)
}

func TestRevokePrincipalEndsStoredSessionsThoseBeingStoredAndTheirDescendants(t *testing.T) {
	kinds := map[string]func(m *session.Memory, swept func()) session.Store{
		"memory": func(m *session.Memory, swept func()) session.Store { return &sweptMemory{m, swept} },
		"remote": func(m *session.Memory, swept func()) session.Store { return &sweptElsewhere{m, swept} },
	}
	for kind, store := range kinds {
		t.Run(kind, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				// The revocation has swept, and waits until enough sessions have been stored since. What is stored
				// after that may be newer than the revocation.
				var over atomic.Bool
				enough := make(chan struct{})
				w := newWorld(t, ServerConfig{Keyring: ring(t, secret(1)), Budget: long,
					Store: store(newMemory(t, session.MemoryConfig{}), func() { <-enough; over.Store(true) })})
				mutual(w.ca)(w.server)
				if err := w.Install(w.server); err != nil {
					t.Fatal(err)
				}
				mine, others := w.ca.issue(t), w.ca.issue(t)
				n := number(1000, 60)

				var clients []*tls.Config
				for i := range n {
					c := w.mtls(version, mine)
					w.want("first", c, false)
					if i%2 == 0 {
						w.want("descendant", c, true)
					}
					clients = append(clients, c)
				}
				other := w.mtls(version, others)
				w.want("another principal's first", other, false)

				// As many more are stored, and resumed, while the revocation runs.
				var mu sync.Mutex
				meanwhile := make([]*tls.Config, 0, n)
				var storing sync.WaitGroup
				for range 4 {
					storing.Go(func() {
						for !over.Load() {
							c := w.mtls(version, mine)
							for range 2 {
								if _, _, err := connect(w.server, c); err != nil {
									t.Error(err)
								}
							}
							mu.Lock()
							if !over.Load() && len(meanwhile) < n {
								if meanwhile = append(meanwhile, c); len(meanwhile) == n {
									close(enough)
								}
							}
							mu.Unlock()
						}
					})
				}
				if err := w.RevokePrincipal(t.Context(), principalOf(t, mine)); err != nil {
					t.Fatal(err)
				}
				storing.Wait()

				for _, c := range append(clients, meanwhile...) {
					w.want("revoked", c, false)
				}
				w.want("what it got in a new handshake", clients[0], true)
				w.want("another principal", other, true)
			})
		})
	}
}

// The descendant of a session that was found before the revocation and is wrapped after it.
func TestRevocationReachesConnectionsBetweenUnwrapAndWrap(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		versions(t, func(t *testing.T, version uint16) {
			for what, revoke := range map[string]func(w *world) error{
				"principal":   func(w *world) error { return w.RevokePrincipal(t.Context(), "somebody") },
				"server name": func(w *world) error { return w.RevokeServerName(t.Context(), "HOST.example.") },
				"all":         func(w *world) error { return w.RevokeAll(t.Context()) },
			} {
				t.Run(what, func(t *testing.T) {
					cfg := cfg
					if what == "principal" {
						cfg.Principal = func(tls.ConnectionState) string { return "somebody" }
					}
					w := newWorld(t, cfg)
					m := capture(t, w, w.client(version))
					ticket := w.wrapped(m)
					if w.unwrapped(ticket, m) == nil {
						t.Fatal("a new session is not found")
					}
					if err := revoke(w); err != nil {
						t.Fatal(err)
					}
					w.wantMiss("the descendant", w.wrapped(m.resumed()), m, MissRevoked)
					if w.unwrapped(w.wrapped(m), m) == nil {
						t.Error("a session of a handshake after the revocation is not found")
					}
				})
			}
		})
	})
}

func TestRevocationOfOnesDoesNotReachOthers(t *testing.T) {
	w := newWorld(t, ServerConfig{Principal: func(cs tls.ConnectionState) string { return "of " + cs.ServerName }})
	m := capture(t, w, w.client(tls.VersionTLS13))
	other := m
	other.cs.ServerName = "other.example"
	ticket, otherTicket := w.wrapped(m), w.wrapped(other)
	if err := errors.Join(w.RevokePrincipal(t.Context(), "of other.example"), w.RevokeServerName(t.Context(), "")); err != nil {
		t.Fatal(err)
	}
	if w.unwrapped(ticket, m) == nil || w.unwrapped(otherTicket, other) != nil {
		t.Errorf("want the session of one principal to be found and the other not; misses %v", w.misses())
	}
	if err := w.RevokeServerName(t.Context(), "third.example"); err != nil {
		t.Fatal(err)
	}
	if w.unwrapped(ticket, m) == nil {
		t.Error("revoking another server name ended the session")
	}
	if err := w.RevokePrincipal(t.Context(), ""); err == nil {
		t.Error("RevokePrincipal of an empty principal: no error")
	}
}

func TestRevocationGivesMemoryBack(t *testing.T) {
	store := newMemory(t, session.MemoryConfig{})
	principal := ""
	w := newWorld(t, ServerConfig{Store: store, Principal: func(tls.ConnectionState) string { return principal }})
	m := capture(t, w, w.client(tls.VersionTLS13))
	fill := func() {
		for range 100 {
			w.wrapped(m)
		}
	}
	size := func(what string, want int) {
		if n, err := store.Size(t.Context()); n != want || err != nil {
			t.Errorf("%s: the store has %d sessions, %v; want %d", what, n, err, want)
		}
	}
	fill()
	if err := w.RevokeServerName(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	size("after RevokeServerName", 0)
	principal = "somebody"
	fill()
	if err := w.RevokePrincipal(t.Context(), "somebody"); err != nil {
		t.Fatal(err)
	}
	size("after RevokePrincipal", 0)
}

func TestRevocationEndsFallbackTickets(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
		cfg := ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long,
			Principal: func(tls.ConnectionState) string { return "somebody" }}
		w := newWorld(t, cfg)
		other := newServer(t, cfg) // a process that shares Store and secrets
		elsewhere := w.server.Clone()
		elsewhere.WrapSession, elsewhere.UnwrapSession = nil, nil
		if err := other.Install(elsewhere); err != nil {
			t.Fatal(err)
		}
		client := w.client(version)
		w.attested(t)
		store.set(down)
		w.want("first", client, false)
		w.want("with a fallback ticket", client, true)
		store.set(nil)
		if !resumes(t, elsewhere, client) {
			t.Error("the other process does not know the fallback ticket; the test shows nothing")
		}
		store.set(down)
		w.want("with a fallback ticket again", client, false) // the store knew a handle in between
		w.want("with a fallback ticket again", client, true)
		store.set(nil)
		held := client.ClientSessionCache
		client.ClientSessionCache = keepGet{held}
		if err := other.RevokePrincipal(t.Context(), "somebody"); err != nil {
			t.Fatal(err)
		}
		w.want("revoked by another process", client, false)
		if got := w.misses()[MissRevoked]; got != 1 {
			t.Errorf("misses: %v; want 1 for revoked", w.misses())
		}
		// The one that revoked knows it without the Store.
		store.set(down)
		if resumes(t, elsewhere, client) {
			t.Error("a revoked fallback ticket resumes where it was revoked, while the store is down")
		}
	})
}

// keepGet returns what its cache has and stores nothing.
type keepGet struct{ tls.ClientSessionCache }

func (keepGet) Put(string, *tls.ClientSessionState) {}

func TestProcessesThatShareAStoreSeeEachOthersRevocations(t *testing.T) {
	for what, revoke := range map[string]func(s *Server) error{
		"principal":   func(s *Server) error { return s.RevokePrincipal(t.Context(), "somebody") },
		"server name": func(s *Server) error { return s.RevokeServerName(t.Context(), host) },
		"all":         func(s *Server) error { return s.RevokeAll(t.Context()) },
	} {
		t.Run(what, func(t *testing.T) {
			// The other is ahead in the rotation: both know both secrets.
			memory := newMemory(t, session.MemoryConfig{})
			config := func(k *Keyring) ServerConfig {
				return ServerConfig{Store: remote{memory}, Keyring: k, Budget: long,
					Principal: func(tls.ConnectionState) string { return "somebody" }}
			}
			w := newWorld(t, config(ring(t, secret(1), secret(2))))
			other := newServer(t, config(ring(t, secret(2), secret(1))))
			m := capture(t, w, w.client(tls.VersionTLS13))
			ticket := w.wrapped(m)
			if w.unwrapped(ticket, m) == nil {
				t.Fatal("a new session is not found")
			}
			if err := revoke(other); err != nil {
				t.Fatal(err)
			}
			w.wantMiss("revoked elsewhere", w.wrapped(m.resumed()), m, MissRevoked)
		})
	}
}

func TestRevocationThatTheStoreDoesNotTakeIsAnErrorAndHoldsHere(t *testing.T) {
	store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
	w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long})
	m := capture(t, w, w.client(tls.VersionTLS13))
	ticket := w.wrapped(m)
	for what, how := range map[string]fault{"down": down, "panics": panics} {
		store.set(how)
		if err := w.RevokeAll(t.Context()); err == nil {
			t.Errorf("%s: RevokeAll: no error", what)
		}
	}
	store.set(nil)
	w.wantMiss("revoked", ticket, m, MissRevoked)
}

// Where the session can be read and its watermarks cannot, it might be revoked.
func TestWatermarksThatCannotBeReadAreAMiss(t *testing.T) {
	for _, what := range []string{"sealed", "stored"} {
		memory := newMemory(t, session.MemoryConfig{})
		w := newWorld(t, ServerConfig{Store: remote{memory}, Keyring: ring(t, secret(1)), Budget: long})
		m := capture(t, w, w.client(tls.VersionTLS13))
		m.cs.HandshakeComplete = what == "stored"
		ticket := w.wrapped(m)
		if st := w.Stats(); st.Stored != 1 && what == "stored" || st.Sealed != 1 && what == "sealed" {
			t.Fatalf("%d stored, %d sealed; want a session %s", st.Stored, st.Sealed, what)
		}
		k := w.keyring.active()
		if err := memory.Update(t.Context(), watermarkKey(k.Everything), []byte("garbage"), DefaultTTL); err != nil {
			t.Fatal(err)
		}
		w.wantMiss(what+", unreadable watermark", ticket, m, MissMalformed)
	}
}

// A slow Store is asked while RevokeAll runs; what is authenticated meanwhile is not to resume either.
func TestRevocationHoldsFromItsReturnOn(t *testing.T) {
	store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
	w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long})
	m := capture(t, w, w.client(tls.VersionTLS13))
	var meanwhile []byte
	store.set(func(context.Context) ([]byte, error) {
		store.set(nil)
		meanwhile = w.wrapped(m)
		return nil, nil
	})
	if err := w.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantMiss("stored while RevokeAll ran", meanwhile, m, MissRevoked)
	if w.unwrapped(w.wrapped(m), m) == nil {
		t.Error("what is stored after RevokeAll is not found")
	}
}

// deafStore ignores contexts.
type deafStore struct {
	session.Store
	mu      sync.Mutex
	release chan struct{}
}

func (s *deafStore) Update(ctx context.Context, key session.Key, b []byte, ttl time.Duration) error {
	s.mu.Lock()
	release := s.release
	s.mu.Unlock()
	if release != nil {
		<-release
	}
	return s.Store.Update(context.WithoutCancel(ctx), key, b, ttl)
}

func TestRevocationReturnsWhenItsContextIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &deafStore{Store: newMemory(t, session.MemoryConfig{}), release: make(chan struct{})}
		s := newServer(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
		for name, revoke := range map[string]func(context.Context) error{
			"RevokePrincipal":  func(ctx context.Context) error { return s.RevokePrincipal(ctx, "somebody") },
			"RevokeServerName": func(ctx context.Context) error { return s.RevokeServerName(ctx, "host.example") },
			"RevokeAll":        s.RevokeAll,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			begin := time.Now()
			err := revoke(ctx)
			cancel()
			if took := time.Since(begin); took != 200*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v after %v; want %v after 200ms", name, err, took, context.DeadlineExceeded)
			}
			if !s.keyring.marks.covers(&sealing.Record{Auth: clock.Stamp{Wall: 1, Order: 1}, Server: "host.example", Principal: identify("somebody")}) {
				t.Errorf("%s: this process does not heed it", name)
			}
		}
		close(store.release)
		synctest.Wait()
		if n := s.revoking.Load(); n != 0 {
			t.Errorf("%d revocations under way after the Store answered; want 0", n)
		}
	})
}

func TestRevocationsThatTheStoreNeverAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &deafStore{Store: newMemory(t, session.MemoryConfig{}), release: make(chan struct{})}
		s := newServer(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
		for range maxRevoking {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := s.RevokeAll(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
		}
		begin := time.Now()
		if err := s.RevokeAll(t.Context()); err == nil || time.Since(begin) != 0 {
			t.Errorf("one more: %v after %v; want an error at once", err, time.Since(begin))
		}
		close(store.release)
	})
}
