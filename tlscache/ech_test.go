package tlscache

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

const publicName = "public.test"

// echKey returns a server's key for ECH, and the list of it alone that clients are configured with.
func echKey(t testing.TB, id byte) (tls.EncryptedClientHelloKey, []byte) {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sized := func(b, field []byte) []byte {
		return append(binary.BigEndian.AppendUint16(b, uint16(len(field))), field...)
	}
	contents := []byte{id, 0, 0x20} // DHKEM(X25519, HKDF-SHA256)
	contents = sized(contents, key.PublicKey().Bytes())
	contents = sized(contents, []byte{0, 1, 0, 1}) // HKDF-SHA256, AES-128-GCM
	contents = append(contents, 32, byte(len(publicName)))
	contents = append(contents, publicName...)
	contents = sized(contents, nil)
	config := sized([]byte{0xfe, 0x0d}, contents)
	return tls.EncryptedClientHelloKey{Config: config, PrivateKey: key.Bytes(), SendAsRetry: true}, sized(nil, config)
}

// A hiding peer is one that takes ECH and connections without.
type hiding struct {
	*peer
	list []byte
	seen struct {
		sync.Mutex
		hidden, bare int // tickets that were offered in a ClientHello with ECH, and in one without
		wire         bytes.Buffer
		labels       [][]byte // that the server was offered
	}
}

func startHiding(t testing.TB, change func(*tls.Config)) *hiding {
	t.Helper()
	h := new(hiding)
	key, list := echKey(t, 7)
	h.list = list
	h.peer = startPeer(t, func(cfg *tls.Config) {
		cfg.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{key}
		if change != nil {
			change(cfg)
		}
		unwrap := cfg.UnwrapSession
		cfg.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
			h.note(identity, cs.ECHAccepted)
			return unwrap(identity, cs)
		}
	})
	h.cfg.Certificates = []tls.Certificate{h.roots.issue(t, testName, "b.test", publicName)}
	return h
}

func (h *hiding) note(identity []byte, ech bool) {
	h.seen.Lock()
	defer h.seen.Unlock()
	switch {
	case len(identity) == 0:
		return
	case ech:
		h.seen.hidden++
	default:
		h.seen.bare++
	}
	h.seen.labels = append(h.seen.labels, bytes.Clone(identity))
}

// bare returns a Config for the peer, and hidden one with ECH.
func (h *hiding) bare() *tls.Config { return h.config() }

func (h *hiding) hidden() *tls.Config {
	cfg := h.config()
	cfg.EncryptedClientHelloConfigList = h.list
	return cfg
}

// wants visits and compares how many tickets were offered, with ECH and without, and how many resumed.
func (h *hiding) wants(t testing.TB, what string, visit func() (bool, error), times, resumed, hidden, bare int) {
	t.Helper()
	h.seen.Lock()
	h.seen.hidden, h.seen.bare = 0, 0
	h.seen.Unlock()
	got := 0
	for range times {
		ok, err := visit()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if ok {
			got++
		}
	}
	h.seen.Lock()
	defer h.seen.Unlock()
	if got != resumed || h.seen.hidden != hidden || h.seen.bare != bare {
		t.Errorf("%s: %d visits, %d resumed, %d tickets offered under ECH and %d without; want %d, %d, %d",
			what, times, got, h.seen.hidden, h.seen.bare, resumed, hidden, bare)
	}
}

// with returns a visit with a Config.
func (h *hiding) with(cfg *tls.Config) func() (bool, error) {
	return func() (bool, error) { return h.visit(cfg) }
}

// An echShare is a way in which a Config with ECH and one without may get at each other's tickets.
var echShares = map[string]func(t *testing.T, h *hiding) (hidden, bare func() (bool, error)){
	"Install": func(t *testing.T, h *hiding) (hidden, bare func() (bool, error)) {
		c := newTestClient(t, ClientConfig{Scope: "named"})
		return installs(t, h, c, c)
	},
	"Store": func(t *testing.T, h *hiding) (hidden, bare func() (bool, error)) {
		store, keys := indexedRemote{newMemory(t, session.MemoryConfig{})}, ring(t, secret(1))
		cfg := ClientConfig{Store: store, Keyring: keys, Budget: long}
		return installs(t, h, newTestClient(t, cfg), newTestClient(t, cfg))
	},
	"DialTLSContext": func(t *testing.T, h *hiding) (hidden, bare func() (bool, error)) {
		store, keys := indexedRemote{newMemory(t, session.MemoryConfig{})}, ring(t, secret(1))
		dial := func(cfg *tls.Config) func() (bool, error) {
			c := newTestClient(t, ClientConfig{Store: store, Keyring: keys, Budget: long, TLS: cfg})
			return func() (bool, error) {
				conn, err := c.DialTLSContext(t.Context(), "tcp", h.addr)
				if err != nil {
					return false, err
				}
				return readGreeting(conn)
			}
		}
		return dial(h.hidden()), dial(h.bare())
	},
}

func installs(t *testing.T, h *hiding, one, other *Client) (hidden, bare func() (bool, error)) {
	t.Helper()
	with, without := h.hidden(), h.bare()
	for cfg, c := range map[*tls.Config]*Client{with: one, without: other} {
		if err := c.Install(cfg); err != nil {
			t.Fatal(err)
		}
	}
	return h.with(with), h.with(without)
}

func TestATicketMadeUnderECHIsOfferedUnderECHAlone(t *testing.T) {
	for name, share := range echShares {
		t.Run(name, func(t *testing.T) {
			h := startHiding(t, nil)
			hidden, bare := share(t, h)
			h.wants(t, "with ECH", hidden, 3, 2, 2, 0)
			h.wants(t, "then without", bare, 1, 0, 0, 0)
			h.wants(t, "without, again", bare, 1, 1, 0, 1)
			h.wants(t, "with ECH again", hidden, 2, 2, 2, 0)
		})
		t.Run(name+", the other way round", func(t *testing.T) {
			h := startHiding(t, nil)
			hidden, bare := share(t, h)
			h.wants(t, "without", bare, 2, 1, 0, 1)
			h.wants(t, "then with ECH", hidden, 1, 0, 0, 0)
		})
	}
}

func TestExportedTicketsMadeUnderECHAreOfferedUnderECHAlone(t *testing.T) {
	h := startHiding(t, nil)
	former, keys := newTestClient(t, ClientConfig{}), ring(t, secret(1))
	hidden, _ := installs(t, h, former, former)
	h.wants(t, "before the restart", hidden, 2, 1, 1, 0)
	file := exported(t, former, ExportConfig{Keyring: keys})
	next := newTestClient(t, ClientConfig{})
	imports(t, next, file, ImportConfig{Keyring: keys})
	hidden, bare := installs(t, h, next, next)
	h.wants(t, "without ECH", bare, 1, 0, 0, 0)
	h.wants(t, "with ECH", hidden, 1, 1, 1, 0)
}

// A clone is told from its original by its first handshake: no hook of a client runs before its ClientHello.
func TestACloneThatLosesECHIsOfferedNothingAfterItsFirstHandshake(t *testing.T) {
	h := startHiding(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := h.hidden()
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "with ECH", h.with(cfg), 2, 1, 1, 0)
	lost := cfg.Clone()
	lost.EncryptedClientHelloConfigList = nil
	if _, err := h.visit(lost); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "clones without", func() (bool, error) { return h.visit(lost.Clone()) }, 5, 0, 0, 0)
	h.wants(t, "the original, which nothing tells from them now", h.with(cfg), 2, 0, 0, 0)
	if st := c.Stats(); st.MixedECH != 6 || st.Misses[MissScope] != 7 || st.Refused != 8 {
		t.Errorf("%d handshakes of mixed ECH, %d misses for their scope, %d tickets refused; want 6, 7, 8", st.MixedECH, st.Misses[MissScope], st.Refused)
	}
	fresh := h.hidden() // as the clone should have been made
	if err := c.Install(fresh); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "a Config with an Install of its own", h.with(fresh), 3, 3, 3, 0)
}

func TestACloneThatGainsECHLeavesNoTicketToItsOriginal(t *testing.T) {
	h := startHiding(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := h.bare()
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	gained := cfg.Clone()
	gained.EncryptedClientHelloConfigList = h.list
	h.wants(t, "clones with ECH", func() (bool, error) { return h.visit(gained.Clone()) }, 3, 0, 0, 0)
	h.wants(t, "the original", h.with(cfg), 3, 2, 0, 2)
	if st := c.Stats(); st.MixedECH != 3 || st.Refused != 3 {
		t.Errorf("%d handshakes of mixed ECH, %d tickets refused; want 3, 3", st.MixedECH, st.Refused)
	}
	// A ticket of the original's that the clone resumes has no successor.
	h.wants(t, "the clone", h.with(gained), 1, 1, 1, 0)
	if st := c.Stats(); st.Refused != 4 {
		t.Errorf("%d tickets refused; want 4, the last of a connection that resumed under ECH", st.Refused)
	}
}

// A clone that the user's VerifyConnection refuses has sent its ClientHello all the same.
func TestARefusedCloneThatLosesECHIsFoundOut(t *testing.T) {
	h := startHiding(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := h.hidden()
	refuse := false
	cfg.VerifyConnection = func(tls.ConnectionState) error {
		if refuse {
			return errors.New("refused")
		}
		return nil
	}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "with ECH", h.with(cfg), 1, 0, 0, 0)
	lost := cfg.Clone()
	lost.EncryptedClientHelloConfigList = nil
	refuse = true
	if _, err := h.visit(lost); err == nil {
		t.Fatal("the visit succeeded; want it refused")
	}
	if n := c.Stats().MixedECH; n != 1 {
		t.Errorf("%d handshakes of mixed ECH; want 1", n)
	}
	refuse = false
	h.wants(t, "the original, which nothing tells from it now", h.with(cfg), 2, 0, 0, 0)
	h.wants(t, "the clone again", h.with(lost), 1, 0, 0, 0)
}

func TestARetryAfterARejectionResumesUnderECHAlone(t *testing.T) {
	h := startHiding(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := h.hidden()
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "with ECH", h.with(cfg), 2, 1, 1, 0)
	key, _ := echKey(t, 8)
	h.cfg.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{key}
	_, err := h.visit(cfg)
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) || len(rejected.RetryConfigList) == 0 {
		t.Fatalf("the server has another key now: %v; want a rejection with a list to retry with", err)
	}
	again := cfg.Clone()
	again.EncryptedClientHelloConfigList = rejected.RetryConfigList
	h.wants(t, "the retry", h.with(again), 3, 2, 2, 0)
	if st := c.Stats(); st.MixedECH != 0 {
		t.Errorf("%d handshakes of mixed ECH; want 0: the list is another one, and there is one", st.MixedECH)
	}
	h.cfg.EncryptedClientHelloKeys = nil // "securely disabled"
	if _, err := h.visit(again); !errors.As(err, &rejected) {
		t.Fatalf("the server has no key now: %v; want a rejection", err)
	}
	bare := h.bare()
	if err := c.Install(bare); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "the retry without ECH", h.with(bare), 1, 0, 0, 0)
}

// One Config for both roles: what the server accepts says nothing about what the client offers.
func TestAServersECHIsNotTheClients(t *testing.T) {
	var mesh *tls.Config
	h := startHiding(t, func(cfg *tls.Config) { mesh = cfg })
	c := newTestClient(t, ClientConfig{})
	if err := c.Install(mesh); err != nil {
		t.Fatal(err)
	}
	visitor := newTestClient(t, ClientConfig{})
	hidden, _ := installs(t, h, visitor, visitor)
	h.wants(t, "with ECH", hidden, 3, 2, 2, 0)
	if st := c.Stats(); st.MixedECH != 0 {
		t.Errorf("%d handshakes of mixed ECH; want 0: they were the server's", st.MixedECH)
	}
}

// The name that a Server binds its sessions to is the hidden one.
func TestAServerResumesUnderECH(t *testing.T) {
	h := startHiding(t, nil)
	s := newServer(t, ServerConfig{})
	if err := s.Install(h.cfg); err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, ClientConfig{})
	hidden, bare := installs(t, h, c, c)
	for i, visit := range []func() (bool, error){hidden, hidden, bare, bare} {
		if resumed, err := visit(); err != nil || resumed != (i%2 == 1) {
			t.Errorf("visit %d: resumed = %v, %v; want %v", i, resumed, err, i%2 == 1)
		}
	}
	if err := s.RevokeServerName(t.Context(), publicName); err != nil {
		t.Fatal(err)
	}
	if resumed, err := hidden(); err != nil || !resumed {
		t.Errorf("after the public name was revoked: resumed = %v, %v; want true", resumed, err)
	}
	if err := s.RevokeServerName(t.Context(), testName); err != nil {
		t.Fatal(err)
	}
	if resumed, err := hidden(); err != nil || resumed {
		t.Errorf("after the hidden name was revoked: resumed = %v, %v; want false", resumed, err)
	}
}

// It was not so before Go mended CVE-2026-42505; then not even scopes help.
func TestTheOuterClientHelloShowsNoTicket(t *testing.T) {
	h := startHiding(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := h.hidden()
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		raw, err := new(net.Dialer).DialContext(context.Background(), "tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(&overheard{raw, &h.seen.wire}, cfg)
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	h.seen.Lock()
	defer h.seen.Unlock()
	if len(h.seen.labels) != 1 || h.seen.hidden != 1 {
		t.Fatalf("%d tickets were offered, %d under ECH; want 1", len(h.seen.labels), h.seen.hidden)
	}
	if bytes.Contains(h.seen.wire.Bytes(), h.seen.labels[0]) || bytes.Contains(h.seen.wire.Bytes(), []byte(testName)) {
		t.Error("the ticket or the server's name was on the wire; want neither")
	}
	if !bytes.Contains(h.seen.wire.Bytes(), []byte(publicName)) {
		t.Error("the public name was not on the wire: nothing was overheard")
	}
}

// An overheard connection notes what its client writes.
type overheard struct {
	net.Conn
	wire *bytes.Buffer
}

func (o *overheard) Write(b []byte) (int, error) {
	o.wire.Write(b)
	return o.Conn.Write(b)
}

func TestListsOfCertificatesLeaveTheirSetWhenCollected(t *testing.T) {
	var s certLists
	kept, gone := []*x509.Certificate{{}}, []*x509.Certificate{{}}
	s.add(kept)
	s.add(kept)
	s.add(gone)
	s.add(nil)
	if !s.has(kept) || !s.has(gone) || s.has([]*x509.Certificate{kept[0]}) || s.has(nil) {
		t.Error("the set does not tell its lists from others of equal content")
	}
	runtime.KeepAlive(gone)
	gone = nil
	for range 5000 { // cleanups run some time after the collection
		if size(&s.lists) == 1 {
			break
		}
		runtime.GC()
	}
	if n := size(&s.lists); n != 1 || !s.has(kept) {
		t.Errorf("%d lists are left; want the one that is kept", n)
	}
}

func size(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}
