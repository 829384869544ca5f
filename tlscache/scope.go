package tlscache

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"sync"
)

// A scope is the trust configuration that a session belongs to. A session of one scope never
// resumes under another: the checks that made it may not be those that the other asks for.
//
// Functions and certificate pools are not in sum. The address of a function says nothing about
// what it closes over, and two pools can have equal subjects and other keys. crypto/tls checks
// the chain against the pool again when it resumes; within one process a poolRegistry
// tells pools apart as well.
type scope struct {
	sum      [sha256.Size]byte
	unstable string // the field that makes sum say too little; empty: none
}

// serverScope returns the scope of a server's configuration. A named scope is stable whatever
// the configuration's functions are: the name stands for what they check.
func serverScope(named string, cfg *tls.Config) scope {
	return scopeOf("server", named, cfg)
}

// clientScope is serverScope for a client's configuration.
func clientScope(named string, cfg *tls.Config) scope {
	return scopeOf("client", named, cfg)
}

func scopeOf(role, named string, cfg *tls.Config) scope {
	b := make([]byte, 0, 256)
	b = appendField(b, []byte("sessioncache scope v1"))
	b = appendField(b, []byte(role))
	b = appendField(b, []byte(named))
	b = binary.BigEndian.AppendUint32(b, uint32(cfg.ClientAuth))
	b = binary.BigEndian.AppendUint16(b, orDefault(cfg.MinVersion, tls.VersionTLS12))
	b = binary.BigEndian.AppendUint16(b, orDefault(cfg.MaxVersion, tls.VersionTLS13))
	if cfg.InsecureSkipVerify {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	for _, sum := range leaves(cfg) {
		b = append(b, sum[:]...)
	}
	s := scope{sum: sha256.Sum256(b)}
	if named == "" {
		s.unstable = unstable(role, cfg)
	}
	return s
}

// unstable names the field that decides whom to trust, or as whom to appear, and cannot be
// compared. VerifyConnection is none: crypto/tls runs it on resumption too.
func unstable(role string, cfg *tls.Config) string {
	switch {
	case cfg.VerifyPeerCertificate != nil:
		return "VerifyPeerCertificate"
	case role == "client" && cfg.GetClientCertificate != nil:
		return "GetClientCertificate"
	}
	return ""
}

// leaves returns the digests of the leaf certificates that cfg shows, sorted: their order is no
// part of whom it appears as.
func leaves(cfg *tls.Config) [][sha256.Size]byte {
	var sums [][sha256.Size]byte
	add := func(c *tls.Certificate) {
		if c != nil && len(c.Certificate) > 0 {
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

// maxPools bounds the pools that a poolRegistry remembers. A program has a few; one that makes
// an equal pool for every connection has one.
const maxPools = 256

// A poolRegistry numbers certificate pools within a process, equal ones alike. The zero value
// is ready; it is safe for concurrent use.
type poolRegistry struct {
	mu struct {
		sync.RWMutex
		pools []*x509.CertPool
		next  uint32
	}
}

// number returns the number of a pool, from 1; 0 is nil, the system's roots. Beyond maxPools every
// pool is a new one: its sessions do not resume, which is the safe side to fail on.
func (r *poolRegistry) number(pool *x509.CertPool) uint32 {
	if pool == nil {
		return 0
	}
	r.mu.RLock()
	n := find(r.mu.pools, pool)
	r.mu.RUnlock()
	if n > 0 {
		return n
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := find(r.mu.pools, pool); n > 0 {
		return n // another was quicker
	}
	r.mu.next++
	if len(r.mu.pools) < maxPools {
		r.mu.pools = append(r.mu.pools, pool.Clone()) // the caller may add to his
	}
	return r.mu.next
}

func find(pools []*x509.CertPool, pool *x509.CertPool) uint32 {
	return uint32(1 + slices.IndexFunc(pools, pool.Equal))
}
