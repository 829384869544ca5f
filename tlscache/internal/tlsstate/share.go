package tlsstate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// MaxShared is the largest session whose certificates are looked for among those of others, by the
// weight of its certificates. Each new one is parsed once more. A client that sends hundreds of its own
// making must not cost that, and a Store hardly takes such a session in any case.
const MaxShared = 64 << 10

// ShareCertificates makes a session, a copy of our own, hold each of its certificates in common with all
// other sessions that have it. crypto/tls parses what clients send anew in each full handshake, and
// keeps the whole message: a client that never resumes, or an intermediate certificate that all clients
// send, would be held once for each session.
func ShareCertificates(state *tls.SessionState) {
	h := HeldBy(state)
	if h == nil || len(*h.Peers) == 0 {
		return
	}
	size := 0
	for _, c := range *h.Peers {
		if size += len(c.Raw) + parsedBytes(c); size > MaxShared {
			return
		}
	}
	*h.Peers = Shared.all(*h.Peers)
	*h.Chains = slices.Clone(*h.Chains)
	for i, chain := range *h.Chains {
		(*h.Chains)[i] = Shared.all(chain)
	}
	*h.OCSP = bytes.Clone(*h.OCSP)
	*h.SCTs = slices.Clone(*h.SCTs)
	for i, sct := range *h.SCTs {
		(*h.SCTs)[i] = bytes.Clone(sct)
	}
}

// A certTable finds certificates by their DER. It holds them weakly: one that no session has any more
// is collected, and leaves the table. It is safe for concurrent use.
type certTable struct {
	seed  maphash.Seed
	certs sync.Map // hash of the DER -> weak.Pointer[x509.Certificate]
}

// Shared has the certificates of all sessions of the process.
var Shared = newCertTable()

func newCertTable() *certTable { return &certTable{seed: maphash.MakeSeed()} }

// all returns some certificates as all sessions share them.
func (t *certTable) all(certs []*x509.Certificate) []*x509.Certificate {
	own := make([]*x509.Certificate, len(certs))
	for i, c := range certs {
		own[i] = t.One(c)
	}
	return own
}

// One returns the certificate that all sessions share which have an equal one.
func (t *certTable) One(c *x509.Certificate) *x509.Certificate {
	key := maphash.Bytes(t.seed, c.Raw)
	known, ok := t.certs.Load(key)
	if k := heldWeakly(known, ok); k != nil {
		return either(k, c)
	}
	// One with a DER of its own: c's lies in the message that it came in.
	fresh, err := x509.ParseCertificate(bytes.Clone(c.Raw))
	if err != nil {
		return c
	}
	weakly := weak.Make(fresh)
	for {
		if ok && t.certs.CompareAndSwap(key, known, weakly) {
			break // that of one which is gone, and not yet forgotten
		}
		if known, ok = t.certs.LoadOrStore(key, weakly); !ok {
			break
		}
		if k := heldWeakly(known, ok); k != nil {
			return either(k, c)
		}
	}
	runtime.AddCleanup(fresh, func(key uint64) { t.certs.CompareAndDelete(key, weakly) }, key)
	return fresh
}

func heldWeakly(known any, ok bool) *x509.Certificate {
	if !ok {
		return nil
	}
	return known.(weak.Pointer[x509.Certificate]).Value()
}

// either returns the known one of two certificates if they are equal: two hashes may meet.
func either(known, c *x509.Certificate) *x509.Certificate {
	if known == c || bytes.Equal(known.Raw, c.Raw) {
		return known
	}
	return c
}
