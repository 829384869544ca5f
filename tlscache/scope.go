package tlscache

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// A scope is the trust configuration that a session belongs to. A session of one scope never
// resumes under another: the checks that made it may not be those that the other asks for.
//
// Functions and certificate pools are not in sum, only whether a function that crypto/tls does not run on
// resumption is there. The address of a function says nothing about
// what it closes over, and two pools can have equal subjects and other keys. crypto/tls checks
// the chain against the pool again when it resumes; within one process certPools
// tell pools apart as well.
type scope struct {
	sum      [sha256.Size]byte
	unstable string // the field that makes sum say too little; empty: none
}

// serverScope returns the scope of a server's configuration. A named scope is stable whatever
// the configuration's functions are: the name stands for what they check. It does not stand for
// their absence.
func serverScope(named string, cfg *tls.Config, verifiesPeer bool) scope {
	return newScope("server", named, cfg, verifiesPeer)
}

// clientScope is serverScope for a client's configuration.
func clientScope(named string, cfg *tls.Config, verifiesPeer bool) scope {
	return newScope("client", named, cfg, verifiesPeer)
}

// newScope returns the scope of a Config. Where VerifyPeerCertificate runs on resumption too, it needs no name.
func newScope(role, named string, cfg *tls.Config, verifiesPeer bool) scope {
	b := make([]byte, 0, 256)
	b = sealing.AppendField(b, []byte("sessioncache scope v1"))
	b = sealing.AppendField(b, []byte(role))
	b = sealing.AppendField(b, []byte(named))
	b = binary.BigEndian.AppendUint32(b, uint32(cfg.ClientAuth))
	b = binary.BigEndian.AppendUint16(b, orDefault(cfg.MinVersion, tls.VersionTLS12))
	b = binary.BigEndian.AppendUint16(b, orDefault(cfg.MaxVersion, tls.VersionTLS13))
	if cfg.InsecureSkipVerify {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	for _, sum := range appearances(role, named, cfg) {
		b = append(b, sum[:]...)
	}
	// Nothing is appended where there is none, so that these scopes are what they were in version 1.
	for _, what := range presences(role, cfg) {
		b = sealing.AppendField(b, []byte(what))
	}
	s := scope{sum: sha256.Sum256(b)}
	if named == "" {
		s.unstable = unstable(role, cfg, verifiesPeer)
	}
	return s
}

// presences names what decides about a connection, is not run or not used on resumption, and so makes a
// session without it another than one with it.
func presences(role string, cfg *tls.Config) (there []string) {
	if cfg.VerifyPeerCertificate != nil {
		there = append(there, "VerifyPeerCertificate")
	}
	if role != "client" {
		return there
	}
	if cfg.GetClientCertificate != nil {
		there = append(there, "GetClientCertificate")
	}
	if hasECH(cfg) {
		there = append(there, "EncryptedClientHelloConfigList")
	}
	return there
}

// unstable names the field that decides whom to trust, or as whom to appear, and cannot be
// compared. VerifyConnection is none: crypto/tls runs it on resumption too.
func unstable(role string, cfg *tls.Config, verifiesPeer bool) string {
	switch {
	case cfg.VerifyPeerCertificate != nil && !verifiesPeer:
		return "VerifyPeerCertificate"
	case role == "client" && cfg.GetClientCertificate != nil:
		return "GetClientCertificate"
	}
	return ""
}

// appearances returns whom cfg appears as, sorted: the order of certificates is no part of it. A client is told from
// others by the very certificate that it shows, since its sessions speak for it. A server's certificate is renewed under its
// clients, so its identity counts, and where the user names the scope, that stands for it.
func appearances(role, named string, cfg *tls.Config) [][sha256.Size]byte {
	if role == "server" && named != "" {
		return nil
	}
	var sums [][sha256.Size]byte
	add := func(c *tls.Certificate) {
		switch {
		case c == nil || len(c.Certificate) == 0:
		case role == "server":
			sums = append(sums, identityOf(c))
		default:
			sums = append(sums, sha256.Sum256(c.Certificate[0]))
		}
	}
	for i := range cfg.Certificates {
		add(&cfg.Certificates[i])
	}
	//lint:ignore SA1019 deprecated, and crypto/tls still serves from it
	for _, c := range cfg.NameToCertificate {
		add(c)
	}
	slices.SortFunc(sums, func(a, b [sha256.Size]byte) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(sums)
}

// A scoped is a server's scope as records and handles have it.
type scoped struct {
	scope    [sha256.Size]byte
	unstable bool // nothing is stored
	tags     atomic.Pointer[scopeTag]
	noted    atomic.Bool // see noteScope

	reason string // why it is unstable
	from   snapshot
}

// A scopeTag is the tag of a scope under some keys. Those in use change once a day.
type scopeTag struct {
	keys *sealing.Keys
	tag  sealing.Tag
}

// tag returns the tag of the scope.
func (s *scoped) tag(k *sealing.Keys) sealing.Tag {
	if t := s.tags.Load(); t != nil && t.keys == k {
		return t.tag
	}
	t := &scopeTag{keys: k, tag: k.Name("scope", s.scope[:]).Tag()}
	s.tags.Store(t)
	return t.tag
}

// A snapshot is all of a Config that decides about its scope, as cheap to compare as it can be: this
// is done for each connection, so that no change goes unseen.
type snapshot struct {
	named    string
	auth     tls.ClientAuthType
	min, max uint16
	insecure bool
	verifies bool
	pool     uint64
	chains   [][]byte // DER, in the order of Certificates
	ends     []int    // of each chain in chains
	whole    bool     // says all there is to say
}

func snapshotOf(named string, cfg *tls.Config, pool uint64) snapshot {
	p := snapshot{named: named, auth: cfg.ClientAuth, min: cfg.MinVersion, max: cfg.MaxVersion, insecure: cfg.InsecureSkipVerify,
		verifies: cfg.VerifyPeerCertificate != nil, pool: pool,
		//lint:ignore SA1019 deprecated, and a map has no order to compare in
		whole: len(cfg.NameToCertificate) == 0}
	for i := range cfg.Certificates {
		p.chains = append(p.chains, cfg.Certificates[i].Certificate...)
		p.ends = append(p.ends, len(p.chains))
	}
	return p
}

// is reports whether snapshotOf would return the same.
func (p *snapshot) is(named string, cfg *tls.Config, pool uint64) bool {
	//lint:ignore SA1019 deprecated, and a map has no order to compare in
	if !p.whole || len(cfg.NameToCertificate) > 0 || p.named != named || p.pool != pool ||
		p.auth != cfg.ClientAuth || p.min != cfg.MinVersion || p.max != cfg.MaxVersion ||
		p.insecure != cfg.InsecureSkipVerify || p.verifies != (cfg.VerifyPeerCertificate != nil) {
		return false
	}
	return p.hasChains(cfg.Certificates)
}

// hasChains reports whether certificates are those of the snapshot.
func (p *snapshot) hasChains(certs []tls.Certificate) bool {
	if len(p.ends) != len(certs) {
		return false
	}
	begin := 0
	for i := range certs {
		chain := p.chains[begin:p.ends[i]]
		begin = p.ends[i]
		// A certificate's bytes are not written to; other ones are elsewhere, since these are held.
		if !slices.EqualFunc(chain, certs[i].Certificate, func(a, b []byte) bool {
			return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
		}) {
			return false
		}
	}
	return true
}

func leafOf(c *tls.Certificate) []byte {
	if len(c.Certificate) == 0 {
		return nil
	}
	return c.Certificate[0]
}

// scopeSlots is how many scopes a scopeCache has at once. Where two Configs meet in a slot, the scope of
// each is computed as if there were no cache, which takes a few microseconds.
const scopeSlots = 64

// A scopeCache saves computing a scope anew for each connection. It is safe for
// concurrent use.
type scopeCache struct {
	verifiesPeer bool // ServerConfig.VerifyPeerOnResume
	slots        [scopeSlots]atomic.Pointer[scoped]
}

var scopeSeed = maphash.MakeSeed()

// of returns the scope of a Config whose ClientCAs have a number.
func (c *scopeCache) of(named string, cfg *tls.Config, pool uint64) *scoped {
	at := maphash.String(scopeSeed, named) + pool
	if len(cfg.Certificates) > 0 {
		if leaf := leafOf(&cfg.Certificates[0]); len(leaf) > 0 {
			at += uint64(reflect.ValueOf(leaf).Pointer() >> 6)
		}
	}
	slot := &c.slots[at%scopeSlots]
	if s := slot.Load(); s != nil && s.from.is(named, cfg, pool) {
		return s
	}
	sc := serverScope(named, cfg, c.verifiesPeer)
	if pool > 0 {
		sc.sum = sha256.Sum256(appendPool(sc.sum[:], pool, cfg.ClientCAs))
	}
	s := &scoped{scope: sc.sum, unstable: sc.unstable != "", reason: sc.unstable, from: snapshotOf(named, cfg, pool)}
	slot.Store(s)
	return s
}

// scopeOf returns the scope of a Config as it stands.
func (s *Server) scopeOf(hello *tls.ClientHelloInfo, cfg *tls.Config) (*scoped, error) {
	named := s.cfg.Scope
	if s.cfg.ScopeOf != nil {
		err := guard.Protect(func() error { named = orDefault(s.cfg.ScopeOf(hello, cfg), named); return nil })
		if err != nil {
			s.counts.panics.Add(1)
			return nil, errors.New("tlscache: ScopeOf panicked")
		}
	}
	pool := uint64(0)
	if s.local != nil && cfg.ClientAuth != tls.NoClientCert {
		pool = 1 + s.pools.number(cfg.ClientCAs)
	}
	return s.scopes.of(named, cfg, pool), nil
}
