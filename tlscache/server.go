package tlscache

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/internal/faults"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

const (
	// DefaultTTL is the life of a server's sessions unless ServerConfig says otherwise: what RFC
	// 5246 F.1.4 advises.
	DefaultTTL = 24 * time.Hour

	// DefaultMaxAuthAge is how long a client may resume after it last proved who it is.
	DefaultMaxAuthAge = 7 * 24 * time.Hour

	// DefaultBudget is what Stores may add to one handshake unless the configuration says
	// otherwise. A full handshake costs about 1 ms of CPU more than a resumed one and no
	// round trip, so waiting much longer for a session is a loss.
	DefaultBudget = 5 * time.Millisecond

	// DefaultMaxInFlight bounds the calls that a Store has not answered yet, those whose
	// handshake has long given up on them included.
	DefaultMaxInFlight = 256
)

// ServerConfig sets up a Server. The zero value is a good server of one process: sessions of 24
// hours in its memory, at most 20480.
type ServerConfig struct {
	// Store keeps the sessions. Nil means a session.Memory of the Server's own, or none if it is Stateless. A Store that is
	// session.Local gets live sessions and is called directly; every other gets them sealed
	// and is called under the Budget, with one lookup for the session and one for
	// each of three watermarks (see RevokePrincipal) on each resumption. It gets no session of a client that
	// has shown no more than a ClientHello: see MaxUnconfirmed. The Server does not
	// close a Store that it was given.
	Store session.Store

	// Keyring seals handles, fallback tickets and, in a Store that is not Local, sessions and their
	// names. Nil, allowed with a Local Store only, means random secrets of this Server's own:
	// clients then resume with no other process, nor with this one after a restart.
	Keyring *Keyring

	// Scope names the trust configuration for what Install cannot compare: see Install. It is
	// part of the scope whether or not it is needed, and stands for the certificates that a Config shows, too. So
	// Servers that share a Store or a Keyring, and Configs, must differ in it if they differ in what they trust or
	// appear as.
	Scope string

	// ScopeOf returns the Scope of one Config; an empty one means Scope. It is called by Install, with
	// a nil hello, and for each connection, with its hello and the Config that it uses or
	// GetConfigForClient returned: often a clone of the one that Install saw, so look at what it
	// contains and not at its address. It must not change it, and must be safe for concurrent
	// use; it is part of each handshake. If it panics, nothing of the connection is stored.
	ScopeOf func(hello *tls.ClientHelloInfo, cfg *tls.Config) string

	// Principal returns whose session a connection's is, for RevokePrincipal and MaxAuthAge;
	// empty: no principal. It is called when a ticket is issued, before the handshake has ended, once, and
	// must be safe for concurrent use. It must not call ExportKeyingMaterial, which panics then.
	// Nil means PrincipalOf of the client's leaf certificate.
	Principal func(tls.ConnectionState) string

	// TTL is how long a session may be resumed; each TLS 1.3 resumption begins a new session. Zero
	// means 24 h, more than 7 days is an error (RFC 8446 4.6.1). The Store may cap it further:
	// session.MemoryConfig has a MaxTTL.
	TTL time.Duration

	// MaxAuthAge bounds chains of resumptions of clients with a certificate or a Principal: that
	// long after it last proved who it is, a client must do so again. Zero means 7 days.
	MaxAuthAge time.Duration

	// Budget is how long one handshake may wait for a Store that is not Local: at most half of it
	// for the session that the client offers, the rest to store the next one. What counts is the wait for the
	// Store; while it is for a processor of this machine, up to a second more may pass. Zero means 5 ms. A
	// client that offers several tickets of ours, which none of the usual does, may wait for
	// each of up to five: crypto/tls does not tell which of its calls belong together.
	Budget time.Duration

	// MaxInFlight bounds the calls that a Store which is not Local has not answered yet, and so the
	// goroutines that one which ignores its context can strand; an eighth of them are kept for finding out
	// that it works again. When it does, stranded calls give their places to others, up to four times
	// as many, and while it does not, one more call in five seconds or longer may be stranded. Zero means 256.
	MaxInFlight int

	// Stateless stores no session: tickets are sealed records, which clients keep, with all else as ever: scope, server name,
	// TTL, MaxAuthAge and revocation. Every holder of the Keyring resumes them, so give a fleet the same secrets. A Store, if there
	// is one, is for revocations alone, and must not be Local: it answers for each ticket as if the session lay there, and while it
	// does not answer, clients do one full handshake each and get tickets that resume without it.
	//
	// Without a Store, revocations reach this process alone and are forgotten when it ends, while tickets live on: rotate the
	// secrets out to end them. ServerStats.RevokedHere counts such revocations. No session can be used once only, so SingleUse is an error,
	// as is NoFallback, and none has early data. Tickets grow with the client's certificates: beyond 16 KiB their clients do full
	// handshakes (ServerStats.TooLarge).
	Stateless bool

	// SingleUse lets every session resume once: RFC 8446 8.1 and C.4. Clients that dial in parallel
	// then resume on one connection only. There are no fallback tickets, and hooks that the
	// configuration had are not asked.
	SingleUse bool

	// NoEarlyData issues sessions without 0-RTT, so that those of QUIC servers which allow it can
	// be used more than once. Their clients were told otherwise and see their early data
	// rejected; it is better not to allow it there.
	NoEarlyData bool

	// VerifyPeerOnResume runs the Config's VerifyPeerCertificate on resumption too, which crypto/tls does not, with the
	// certificates and chains of the session. So what it checks needs no named Scope, and a client that it refuses by now
	// does not resume. The refusal fails that handshake, ends the sessions of the client's principal as RevokePrincipal
	// does (without a principal, the session alone, in this process), and the next handshake is a full one. It costs what the function
	// costs, on each resumption. ServerStats.PeersRefused counts refusals.
	//
	// It runs before VerifyConnection, and like it after a TLS 1.3 client got its next ticket. Configs that differ in nothing else share
	// sessions. If it panics, the session ends too, and the panic goes on to the caller of the handshake.
	VerifyPeerOnResume bool

	// NoFallback issues and accepts no sealed records as tickets. When the Store fails, clients
	// do full handshakes then.
	NoFallback bool

	// OnHandshake is told of each handshake that is about to succeed: every check of the Server's and of the Config's has
	// passed, and the client may still vanish. It is called by the handshake's goroutine, under no lock, so it should be quick and must be
	// safe for concurrent use. If it panics, the handshake goes on; ServerStats.Panics counts that, and the Logger is
	// told. It hears nothing of Ungated connections, nor of Configs with SessionTicketsDisabled. Nil means none.
	OnHandshake func(Outcome)

	// Logger is told what happens seldom: revocations, and that the Store is left alone or used again, that it has lost
	// something, that another secret is active, that connections have another scope, that clients were refused on resumption
	// and that functions panicked. What may come often is logged once a minute or each time that its count has doubled. Lines have counts and
	// the ids of secrets, never a name, ticket, principal or key. They are written in order, in a goroutine of their own, so
	// that no handshake waits; where the Logger is slow, some are left out and counted. Nil means none.
	Logger *slog.Logger

	// MaxUnconfirmed bounds the sessions of this process in a Store that is not Local whose clients have shown
	// no more than a ClientHello: beyond it the oldest is deleted for another. It counts
	// with SingleUse and NoFallback, or if such a session is too large for a ticket; others take no place in
	// the Store before their client resumed: it gets them as sealed records. A Store that is full
	// evicts sessions of clients that do resume, unless it has room for as many more. Zero means 4096.
	MaxUnconfirmed int
}

var (
	errServerClosed = errors.New("tlscache: server is closed")
	errZeroServer   = errors.New("tlscache: Server is a zero one; want NewServer")
)

// A Server keeps the sessions of TLS servers in a Store: Install puts it into their tls.Config. Its
// methods are safe for concurrent use. The zero Server is not usable; call NewServer. It must not
// be copied.
type Server struct {
	cfg     ServerConfig // with its defaults
	store   session.Store
	local   session.Local // the same, if it is one
	ownsIt  bool
	keyring *Keyring

	guard    *guard.Guard
	pools    certPools
	scopes   scopeCache
	appeared seenScopes
	log      lines
	sealsBy  atomic.Pointer[sealing.Keys] // the keys that sealed last

	fingerprints fingerprints
	installed    installed
	names        nameCache
	counts       serverCounters
	closed       atomic.Bool
	revoking     atomic.Int64 // see tell

	publisher publisher
	places    unconfirmed // in a Store that is not Local
	used      successions
	seen      atomic.Pointer[seenWitnesses]
	writings  witnessWritings
	attesting sync.WaitGroup // the attests that no handshake waits for
}

// isZero reports whether a Server did not come from NewServer.
func (s *Server) isZero() bool { return s == nil || s.keyring == nil }

// NewServer returns a Server. The error names every faulty field.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, store: cfg.Store, keyring: cfg.Keyring, guard: guard.New(cfg.MaxInFlight)}
	s.scopes.verifiesPeer, s.log.logger = cfg.VerifyPeerOnResume, cfg.Logger
	if s.keyring == nil {
		if s.keyring, err = NewKeyring(NewSecret(0)); err != nil {
			return nil, err
		}
	}
	if s.store == nil && !cfg.Stateless {
		memory, err := session.NewMemory(session.MemoryConfig{MaxTTL: cfg.TTL})
		if err != nil {
			return nil, err
		}
		s.store, s.ownsIt = memory, true
	}
	if s.local, _ = s.store.(session.Local); !s.isAlone() {
		s.keyring.publishers.add(s)
		s.guard.OnBreaker(s.log.sayBreaker)
		for _, w := range s.keyring.marks.ours() { // another Server's, which may be closed already
			s.publish(w, nil)
		}
	}
	return s, nil
}

// validate reports every faulty field at once and returns cfg with its defaults filled in.
func (cfg ServerConfig) validate() (ServerConfig, error) {
	var wrong faults.List
	if cfg.TTL < 0 || cfg.TTL > session.MaxTTL {
		wrong.Add("TTL is %v; want from 1ns to %v, or 0 for %v", cfg.TTL, session.MaxTTL, DefaultTTL)
	}
	if cfg.MaxAuthAge < 0 {
		wrong.Add("MaxAuthAge is %v; want at least 1ns, or 0 for %v", cfg.MaxAuthAge, DefaultMaxAuthAge)
	}
	if cfg.Budget < 0 {
		wrong.Add("Budget is %v; want at least 1ns, or 0 for %v", cfg.Budget, DefaultBudget)
	}
	if cfg.MaxInFlight < 0 {
		wrong.Add("MaxInFlight is %d; want at least 1, or 0 for %d", cfg.MaxInFlight, DefaultMaxInFlight)
	}
	if cfg.MaxUnconfirmed < 0 {
		wrong.Add("MaxUnconfirmed is %d; want at least 1, or 0 for %d", cfg.MaxUnconfirmed, DefaultMaxUnconfirmed)
	}
	addStoreFaults(&wrong, cfg.Store, cfg.Keyring, "sessions")
	cfg.addStatelessFaults(&wrong)
	if err := wrong.Err("tlscache"); err != nil {
		return cfg, err
	}
	cfg.TTL = orDefault(cfg.TTL, DefaultTTL)
	cfg.MaxAuthAge = orDefault(cfg.MaxAuthAge, DefaultMaxAuthAge)
	cfg.Budget = orDefault(cfg.Budget, DefaultBudget)
	cfg.MaxInFlight = orDefault(cfg.MaxInFlight, DefaultMaxInFlight)
	cfg.MaxUnconfirmed = orDefault(cfg.MaxUnconfirmed, DefaultMaxUnconfirmed)
	return cfg, nil
}

// isNil reports whether an interface is nil, or has a nil pointer, or such like, inside.
func isNil(x any) bool {
	switch v := reflect.ValueOf(x); v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Chan, reflect.Slice:
		return v.IsNil()
	}
	return false
}

// orDefault returns v, or what 0 stands for.
func orDefault[T comparable](v, zero T) T {
	var none T
	if v == none {
		return zero
	}
	return v
}

// Close ends the Server and the Store that it made itself, if any. The hooks stay in the
// configurations and do no harm: no session of the Server is resumed any more, and new tickets
// come from the hooks that the configuration had before, or lead nowhere. Handshakes may be
// under way. Revocations are not written to the Store again. Close may be called twice; it always returns nil.
func (s *Server) Close() error {
	if s.isZero() || s.closed.Swap(true) {
		return nil
	}
	s.keyring.publishers.remove(s)
	s.publisher.close()
	if s.ownsIt {
		return s.store.Close()
	}
	return nil
}

// PrincipalOf returns the principal of a client certificate unless ServerConfig.Principal says
// otherwise: the SHA-256 of its public key (SubjectPublicKeyInfo) in hex, so that it outlives
// renewals of the certificate. Of nil it is empty, which stands for none.
func PrincipalOf(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// identify returns what stands for a principal in records: of one length.
func identify(principal string) sealing.PrincipalID { return sha256.Sum256([]byte(principal)) }

// principal returns whose session a connection's is; known is false if the user's func panicked,
// and such a session could not be revoked.
func (s *Server) principal(cs tls.ConnectionState) (id sealing.PrincipalID, known bool) {
	var p string
	if s.cfg.Principal != nil {
		if err := guard.Protect(func() error { p = s.cfg.Principal(cs); return nil }); err != nil {
			s.counts.panics.Add(1)
			return id, false
		}
	} else if len(cs.PeerCertificates) > 0 {
		p = PrincipalOf(cs.PeerCertificates[0])
	}
	if p == "" {
		return id, true
	}
	return identify(p), true
}
