package tlscache

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// Install makes a server's Config keep its sessions in s: it sets WrapSession and UnwrapSession, and
// wraps VerifyConnection, and GetConfigForClient where that is set. Everything else stays, so that http.Server and others
// may go on to clone and complete cfg. Install before cfg is in use: handshakes that run meanwhile
// race with it, and clones made earlier keep what they had. Connections that begin later use the
// Server, also where cfg has served before.
//
// Hooks that cfg had are the second fallback: WrapSession's is asked when the Store fails and there
// is no fallback ticket, UnwrapSession's for tickets that are not the Server's. The Server neither
// scopes nor revokes their sessions. Installing again renews the scope and stacks nothing;
// another Server's hooks count as those that cfg had.
//
// The scope is fixed here: sessions resume only under an equal one, whose leaf certificates,
// ClientAuth, InsecureSkipVerify, version range and ServerConfig.Scope are the same. ClientCAs are
// compared within the process where the Store is Local; otherwise crypto/tls checks the client's
// chain against them again whenever it resumes, as it runs VerifyConnection again. It does not run
// VerifyPeerCertificate again, so a Config with one needs a named Scope, or Install returns an error.
//
// A Config that GetConfigForClient returns is cloned and gets the hooks, with a scope of its own,
// unless Install was called on it. If it would need a named Scope and has none, its sessions are not
// stored, and counted in ServerStats.Unstable.
func (s *Server) Install(cfg *tls.Config) error {
	switch {
	case cfg == nil:
		return errors.New("tlscache: Install on a nil Config")
	case s.closed.Load():
		return errServerClosed
	case cfg.SessionTicketsDisabled:
		return errors.New("tlscache: Install on a Config with SessionTicketsDisabled, which resumes nothing")
	}
	sc, err := s.scopeOf(nil, cfg)
	if err != nil {
		return err
	}
	if sc.unstable != "" {
		return fmt.Errorf("tlscache: Install on a Config with %s, which crypto/tls does not run on resumption and"+
			" nobody can compare; want ServerConfig.Scope or ScopeOf to name what it checks", sc.unstable)
	}
	s.hook(cfg, sc)
	if get := cfg.GetConfigForClient; get != nil {
		cfg.GetConfigForClient = s.configForClient(get)
	}
	return nil
}

// configForClient returns the user's GetConfigForClient with hooks in what it returns. It returns
// nil where the user's does, which stands for the Config in use: what that has become since Install,
// only crypto/tls knows.
func (s *Server) configForClient(get func(*tls.ClientHelloInfo) (*tls.Config, error)) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		theirs, err := get(hello)
		if err != nil || theirs == nil || theirs.SessionTicketsDisabled || s.closed.Load() {
			return theirs, err
		}
		if in := installedIn(theirs); in != nil && in.s == s {
			return theirs, nil
		}
		sc, err := s.scopeOf(hello, theirs)
		if err != nil {
			sc.unstable = "ScopeOf" // it panicked
		}
		ours := theirs.Clone() // it may be shared between connections
		s.hook(ours, sc)
		return ours, nil
	}
}

// scopeOf returns the scope of a Config.
func (s *Server) scopeOf(hello *tls.ClientHelloInfo, cfg *tls.Config) (scope, error) {
	named := s.cfg.Scope
	if s.cfg.ScopeOf != nil {
		err := protected(func() error { named = orDefault(s.cfg.ScopeOf(hello, cfg), named); return nil })
		if err != nil {
			s.counts.panics.Add(1)
			return scope{}, errors.New("tlscache: ScopeOf panicked")
		}
	}
	sc := serverScope(named, cfg)
	if s.local != nil && cfg.ClientAuth != tls.NoClientCert {
		// Numbers mean nothing to other processes, and the sessions go to none.
		b := binary.BigEndian.AppendUint32(sc.sum[:], s.pools.number(cfg.ClientCAs))
		sc.sum = sha256.Sum256(b)
	}
	return sc, nil
}

// An installation is a Server's hooks in one Config.
type installation struct {
	s        *Server
	scope    [sha256.Size]byte
	unstable bool // nothing is stored
	tags     atomic.Pointer[scopeTag]

	verifies atomic.Bool // verify was called: nobody has replaced it

	// What the Config had before; nil if nothing.
	verifyBefore func(tls.ConnectionState) error
	wrapBefore   func(tls.ConnectionState, *tls.SessionState) ([]byte, error)
	unwrapBefore func([]byte, tls.ConnectionState) (*tls.SessionState, error)
}

// A scopeTag is the tag of an installation's scope under some keys. Those in use change once a day.
type scopeTag struct {
	keys *keys
	tag  tag
}

// hook sets the hooks of cfg.
func (s *Server) hook(cfg *tls.Config, sc scope) {
	in := &installation{s: s, scope: sc.sum, unstable: sc.unstable != "",
		verifyBefore: cfg.VerifyConnection, wrapBefore: cfg.WrapSession, unwrapBefore: cfg.UnwrapSession}
	if old := installedIn(cfg); old != nil && old.s == s {
		in.wrapBefore, in.unwrapBefore = old.wrapBefore, old.unwrapBefore
		// All method values of one method have the same code. Were that to change, a full handshake
		// would be noted twice, and the second note expire.
		if reflect.ValueOf(cfg.VerifyConnection).Pointer() == reflect.ValueOf(old.verify).Pointer() {
			in.verifyBefore = old.verifyBefore
		}
	}
	cfg.VerifyConnection, cfg.WrapSession, cfg.UnwrapSession = in.verify, in.wrap, in.unwrap
}

// verify is the VerifyConnection of a Config: the user's. It notes when a client that shows a certificate
// was let in. A client can hold back the rest of a full handshake for as long as it likes, and a
// revocation meanwhile must reach the session that is issued at its end.
func (in *installation) verify(cs tls.ConnectionState) error {
	before := in.s.keyring.clock.stamp()
	if in.verifyBefore != nil {
		if err := in.verifyBefore(cs); err != nil {
			return err
		}
	}
	if cs.DidResume || len(cs.PeerCertificates) == 0 {
		return nil
	}
	in.verifies.Store(true)
	if id, known := in.s.principal(cs); known && id != (principalID{}) {
		in.s.notes.add(lineageKey{principal: id, full: true}, before, time.Now())
	}
	return nil
}

// tag returns the tag of the scope.
func (in *installation) tag(k *keys) tag {
	if t := in.tags.Load(); t != nil && t.keys == k {
		return t.tag
	}
	t := &scopeTag{keys: k, tag: k.name("scope", in.scope[:]).tag()}
	in.tags.Store(t)
	return t.tag
}

// probe asks a Config's UnwrapSession whether it is ours: functions cannot be compared. The identity
// is secret, so that no client can ask.
var probe struct {
	sync.Mutex
	identity []byte
	answer   *installation // of the hook that saw the identity
}

func init() {
	probe.identity = make([]byte, 32)
	rand.Read(probe.identity) // never fails
}

// installedIn returns the installation whose hooks cfg has, if any.
func installedIn(cfg *tls.Config) *installation {
	if cfg.UnwrapSession == nil || cfg.WrapSession == nil {
		return nil
	}
	probe.Lock()
	defer probe.Unlock()
	probe.answer = nil
	_ = protected(func() error { _, err := cfg.UnwrapSession(probe.identity, tls.ConnectionState{}); return err })
	return probe.answer
}
