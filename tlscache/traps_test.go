package tlscache

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// crypto/tls asks about an empty ticket in every TLS 1.2 ClientHello without one.
func TestEmptyTicketsCostNothing(t *testing.T) {
	store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
	w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long})
	w.attested(t)
	calls := store.calls.Load()
	w.want("a client without a ticket", w.client(tls.VersionTLS12), false)
	if got := store.calls.Load() - calls; got != 1 {
		t.Errorf("the store was called %d times; want once, to store the session", got)
	}
	if st := w.Stats(); st.Offered != 0 || len(w.misses()) != 0 {
		t.Errorf("stats: %+v; want nothing offered", st)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = w.server.UnwrapSession(nil, tls.ConnectionState{}) }); n != 0 {
		t.Errorf("an empty ticket costs %v allocations; want 0", n)
	}
}

// Forged and stale tickets come up to five in a ClientHello, before the client has proved anything.
func TestForgedTicketsNeverReachTheStore(t *testing.T) {
	store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
	k := ring(t, secret(1))
	w := newWorld(t, ServerConfig{Store: store, Keyring: k, Budget: long})
	m := capture(t, w, w.client(tls.VersionTLS13))
	m.cs.HandshakeComplete = true // as with QUIC: it is stored
	w.attested(t)
	good := w.wrapped(m)
	store.set(down)
	fallback := w.wrapped(m)
	store.set(nil)
	calls := store.calls.Load()

	change := func(ticket []byte, i int, by byte) []byte {
		b := bytes.Clone(ticket)
		b[i] ^= by
		return b
	}
	random := make([]byte, len(good))
	rand.Read(random)
	random[0] = 99
	huge := make([]byte, 1<<16-1)
	huge[0] = sealing.FormatRecord
	elsewhere := ring(t, secret(2))
	for _, tt := range []struct {
		name   string
		ticket []byte
		want   MissReason
	}{
		{"one byte", []byte{sealing.FormatHandle}, MissMalformed},
		{"random", random, MissMalformed},
		{"huge", huge, MissMalformed},
		{"unknown format", change(good, 0, 0x40), MissMalformed},
		{"unknown key", change(good, 1, 1), MissUnknownKey},
		{"of another keyring", sealing.Handle{}.Seal(elsewhere.active()), MissUnknownKey},
		{"changed", change(good, sealing.HandleHeader+14, 1), MissForged},
		{"changed MAC", change(good, len(good)-1, 1), MissForged},
		{"cut", good[:len(good)-1], MissMalformed},
		{"longer", append(bytes.Clone(good), 0), MissMalformed},
		{"expired", sealing.Handle{Expires: 1}.Seal(k.active()), MissExpired},
		{"at its auth age", sealing.Handle{Flags: sealing.FlagAge, Expires: 1}.Seal(k.active()), MissAuthAge},
		{"dead", w.dead(MissRevoked), MissRevoked},
		{"dead, of a newer version", sealing.Handle{Flags: sealing.FlagDead, ID: [sealing.NameSize]byte{200}}.Seal(k.active()), MissGone},
		{"fallback, changed", change(fallback, len(fallback)-1, 1), MissForged},
		{"fallback, unknown key", change(fallback, ticketHeader+1, 1), MissUnknownKey},
		{"fallback, unknown version", change(fallback, ticketHeader, 0x40), MissMalformed},
		{"fallback, other scope", change(fallback, 1, 1), MissScope},
		{"fallback, other server name", change(fallback, 1+sealing.TagSize, 1), MissServerName},
		{"fallback, other id", change(fallback, 1+2*sealing.TagSize, 1), MissForged},
		{"fallback, cut", fallback[:ticketHeader-1], MissMalformed},
	} {
		w.wantMiss(tt.name, tt.ticket, m, tt.want)
	}
	if got := store.calls.Load(); got != calls {
		t.Errorf("the store was called %d times for tickets that nobody needs to look up", got-calls)
	}
	if w.unwrapped(good, m) == nil {
		t.Error("the good ticket is not found")
	}
}

// Records in the Store that are not what was stored there.
func TestRecordsThatDoNotOpenAreAMissAndStay(t *testing.T) {
	memory := newMemory(t, session.MemoryConfig{})
	w := newWorld(t, ServerConfig{Store: remote{memory}, Keyring: ring(t, secret(1)), Budget: long})
	m := capture(t, w, w.client(tls.VersionTLS13))
	m.cs.HandshakeComplete = true // as with QUIC: it is stored
	one, two := w.wrapped(m), w.wrapped(m)
	keyOf := func(ticket []byte) session.Key {
		h, k, err := w.keyring.keys().OpenHandle(ticket)
		if err != nil {
			t.Fatal(err)
		}
		return w.storeKey(h, k)
	}
	other, err := memory.Lookup(t.Context(), keyOf(two))
	if err != nil {
		t.Fatal(err)
	}
	for what, bad := range map[string][]byte{"another session's": other, "empty": {}, "garbage": []byte("garbage")} {
		if err := memory.Update(t.Context(), keyOf(one), bad, DefaultTTL); err != nil {
			t.Fatal(err)
		}
		w.wantMiss(what, one, m, MissMalformed)
		if _, err := memory.Lookup(t.Context(), keyOf(one)); err != nil {
			t.Errorf("%s: the record is gone: %v; a fault of this process must not delete others' data", what, err)
		}
	}
}

// A Principal that exports keying material, which TLS 1.2 cannot at this point, panics.
func TestFunctionsThatPanicDoNoHarm(t *testing.T) {
	for what, principal := range map[string]func(tls.ConnectionState) string{
		"exports keying material": func(cs tls.ConnectionState) string {
			b, _ := cs.ExportKeyingMaterial("label", nil, 32)
			return string(b)
		},
		"panics": func(tls.ConnectionState) string { panic("no") },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, ServerConfig{Principal: principal})
			client := w.client(tls.VersionTLS12)
			w.want("first", client, false)
			w.want("second: whose session it is, nobody knows", client, false)
			if st := w.Stats(); st.Panics != 2 || st.Dead != 2 {
				t.Errorf("stats: %+v; want 2 panics, 2 dead handles", st)
			}
		})
	}
}

// broken is a Local Store whose every method panics.
type broken struct{ session.Local }

func TestLocalStoresThatPanicDoNoHarm(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{Store: broken{}, Keyring: ring(t, secret(1))})
		client := w.client(version)
		w.want("first", client, false)
		w.want("second", client, false)
		k := w.keyring.active()
		sc, err := w.scopeOf(nil, w.server)
		if err != nil {
			t.Fatal(err)
		}
		n := k.Name(sealing.OfServerName, []byte(host))
		h := sealing.Handle{Scope: sc.tag(k), Server: sealing.Tag(n[:sealing.TagSize]), Expires: 1 << 31}
		if version == tls.VersionTLS13 {
			h.Flags = sealing.FlagTLS13
		}
		client.ClientSessionCache.Put(host, nil)
		state, err := w.open(host).UnwrapSession(h.Seal(k), tls.ConnectionState{Version: version, ServerName: host})
		if state != nil || err != nil {
			t.Errorf("UnwrapSession = %v, %v; want a miss", state, err)
		}
		if st := w.Stats(); st.Panics != 3 {
			t.Errorf("%d panics counted; want 3", st.Panics)
		}
		w.closed.Store(true) // or Close would call the Store
	})
}

// A session of one server name is none of another's: golang/go#77217, CVE-2025-23419.
func TestServerNamesDoNotShareSessions(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		cache := new(lastSession)
		client := w.client(version, func(cfg *tls.Config) { cfg.ClientSessionCache = cache })
		w.want("first", client, false)
		session := cache.state
		client.ServerName = "other.example"
		w.want("another name", client, false)
		if got := w.misses()[MissServerName]; got != 1 {
			t.Errorf("misses: %v; want 1 for the server name", w.misses())
		}
		cache.state = session
		client.ServerName = "HOST.example."
		w.want("the same name in another spelling", client, true)
	})
}

// VerifyConnection runs after WrapSession on some connections; it runs on resumption too, so a session of
// a connection that it refused does not get past it.
func TestVerifyConnectionRefusesResumedConnections(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		refused := errors.New("refused")
		var verdict error
		w := newWorld(t, ServerConfig{}, func(cfg *tls.Config) {
			cfg.VerifyConnection = func(tls.ConnectionState) error { return verdict }
		})
		client := w.client(version)
		w.want("first", client, false)
		verdict = refused
		if _, _, err := connect(w.server, client); !errors.Is(err, refused) {
			t.Errorf("resumed connection: %v; want it refused", err)
		}
	})
}

// Tickets stay small where a stock ticket would hold the client's certificates.
func TestHandlesAreSmall(t *testing.T) {
	for _, mtls := range []bool{false, true} {
		w := newWorld(t, ServerConfig{})
		client := w.client(tls.VersionTLS13)
		if mtls {
			mutual(w.ca)(w.server)
			if err := w.Install(w.server); err != nil {
				t.Fatal(err)
			}
			client = w.mtls(tls.VersionTLS13, w.ca.issue(t))
		}
		if n := len(w.wrapped(capture(t, w, client))); n > 96 {
			t.Errorf("client certificate %v: a handle of %d bytes; want at most 96", mtls, n)
		}
	}
}

func TestServerConfigNamesEveryFault(t *testing.T) {
	memory := newMemory(t, session.MemoryConfig{})
	_, err := NewServer(ServerConfig{Store: remote{memory}, TTL: session.MaxTTL + 1, MaxAuthAge: -1, Budget: -1, MaxInFlight: -1})
	if err == nil {
		t.Fatal("NewServer: no error")
	}
	for _, field := range []string{"TTL", "MaxAuthAge", "Budget", "MaxInFlight", "Keyring"} {
		if !bytes.Contains([]byte(err.Error()), []byte(field)) {
			t.Errorf("NewServer: %v; want %s named", err, field)
		}
	}
	if _, err := NewServer(ServerConfig{Keyring: new(Keyring)}); err == nil {
		t.Error("NewServer with a zero Keyring: no error")
	}
}

// No session is lost while secrets are rotated: clients come back with handles of the secret before.
func TestKeyRotationLosesNoSession(t *testing.T) {
	stores(t, func(t *testing.T, cfg ServerConfig) {
		versions(t, func(t *testing.T, version uint16) {
			k := ring(t, secret(1), secret(2))
			cfg.Keyring = k
			w := newWorld(t, cfg)
			mutual(w.ca)(w.server)
			if err := w.Install(w.server); err != nil {
				t.Fatal(err)
			}
			client := w.mtls(version, w.ca.issue(t))
			w.want("first", client, false)
			for id := uint32(2); id < 12; id++ {
				if err := k.Replace(secret(id), secret(id-1), secret(id+1)); err != nil {
					t.Fatal(err)
				}
				w.want("after a rotation", client, true)
				w.want("and again", client, true)
			}
		})
	})
}
