package tlscache

import (
	"crypto/tls"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

// A secret that was away while its sessions were revoked brings none of them back.
func TestRevocationsReachSessionsOfSecretsThatComeBack(t *testing.T) {
	for _, kind := range []string{"memory", "remote", "fallback tickets", "another process"} {
		t.Run(kind, func(t *testing.T) {
			for what, revoke := range map[string]func(s *Server) error{
				"principal":   func(s *Server) error { return s.RevokePrincipal(t.Context(), "somebody") },
				"server name": func(s *Server) error { return s.RevokeServerName(t.Context(), host) },
				"all":         func(s *Server) error { return s.RevokeAll(t.Context()) },
			} {
				t.Run(what, func(t *testing.T) {
					k := ring(t, secret(1))
					memory := newMemory(t, session.MemoryConfig{})
					store := &faulty{Store: memory}
					cfg := ServerConfig{Store: store, Keyring: k, Budget: long, Principal: func(tls.ConnectionState) string { return "somebody" }}
					if kind == "memory" {
						cfg.Store = memory
					}
					w := newWorld(t, cfg)
					revoker := w.Server
					if kind == "another process" {
						cfg.Keyring = ring(t, secret(1))
						revoker = newServer(t, cfg)
						if err := cfg.Keyring.Replace(secret(2)); err != nil {
							t.Fatal(err)
						}
					}
					m := capture(t, w, w.client(tls.VersionTLS13))
					if kind == "fallback tickets" {
						store.set(down)
					}
					ticket := w.wrapped(m)
					store.set(nil)
					if err := k.Replace(secret(2)); err != nil {
						t.Fatal(err)
					}
					if err := revoke(revoker); err != nil {
						t.Fatal(err)
					}
					if err := k.Replace(secret(2), secret(1)); err != nil {
						t.Fatal(err)
					}
					if w.unwrapped(ticket, m) != nil {
						t.Error("a revoked session resumes since its secret came back")
					}
					if w.unwrapped(w.wrapped(m), m) == nil {
						t.Errorf("a session of after the revocation is not found; misses %v", w.misses())
					}
				})
			}
		})
	}
}

// What a Store has told once stays known, whatever becomes of it there.
func TestWatermarksThatTheStoreLosesStayKnown(t *testing.T) {
	memory := newMemory(t, session.MemoryConfig{})
	config := func() ServerConfig {
		return ServerConfig{Store: remote{memory}, Keyring: ring(t, secret(1)), Budget: long}
	}
	w, other := newWorld(t, config()), newServer(t, config())
	m := capture(t, w, w.client(tls.VersionTLS13))
	ticket := w.wrapped(m)
	if err := other.RevokeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantMiss("revoked elsewhere", ticket, m, MissRevoked)
	if err := memory.Delete(t.Context(), watermarkKey(w.keyring.active().Everything)); err != nil {
		t.Fatal(err)
	}
	w.wantMiss("revoked elsewhere, and the Store lost it", ticket, m, MissRevoked)
}

func TestMarksAreBoundedAndFoldToTheSafeSide(t *testing.T) {
	principal := "first"
	w := newWorld(t, ServerConfig{Principal: func(tls.ConnectionState) string { return principal }})
	w.keyring.marks.limit = 8
	m := capture(t, w, w.client(tls.VersionTLS13))
	ticket := w.wrapped(m)
	for i := range 100 {
		if err := w.RevokePrincipal(t.Context(), string(rune('a'+i))); err != nil {
			t.Fatal(err)
		}
	}
	marks := w.keyring.marks
	if n := marks.mu.n; n > 8 || marks.of.Size() != n || marks.named.Size() > n {
		t.Errorf("%d marks, %d and %d in the maps; want at most 8", n, marks.of.Size(), marks.named.Size())
	}
	w.wantMiss("older than a revocation that was folded", ticket, m, MissRevoked)
	if w.unwrapped(w.wrapped(m), m) == nil {
		t.Error("a session of after the revocations is not found")
	}
}
