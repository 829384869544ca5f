package tlscache

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"hash/maphash"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"unsafe"
	"weak"
)

// maxShared is the largest session whose certificates are looked for among those of others, by the
// weight of its certificates. Each new one is parsed once more. A client that sends hundreds of its own
// making must not cost that, and a Store hardly takes such a session in any case.
const maxShared = 64 << 10

// shareCertificates makes a session, a copy of our own, hold each of its certificates in common with all
// other sessions that have it. crypto/tls parses what clients send anew in each full handshake, and
// keeps the whole message: a client that never resumes, or an intermediate certificate that all clients
// send, would be held once for each session.
func shareCertificates(state *tls.SessionState) {
	h := heldBy(state)
	if h == nil || len(*h.peers) == 0 {
		return
	}
	size := 0
	for _, c := range *h.peers {
		if size += len(c.Raw) + parsedBytes(c); size > maxShared {
			return
		}
	}
	*h.peers = shared.all(*h.peers)
	*h.chains = slices.Clone(*h.chains)
	for i, chain := range *h.chains {
		(*h.chains)[i] = shared.all(chain)
	}
	*h.ocsp = bytes.Clone(*h.ocsp)
	*h.scts = slices.Clone(*h.scts)
	for i, sct := range *h.scts {
		(*h.scts)[i] = bytes.Clone(sct)
	}
}

// A certTable finds certificates by their DER. It holds them weakly: one that no session has any more
// is collected, and leaves the table. It is safe for concurrent use.
type certTable struct {
	seed  maphash.Seed
	certs sync.Map // hash of the DER -> weak.Pointer[x509.Certificate]
}

var shared = newCertTable()

func newCertTable() *certTable { return &certTable{seed: maphash.MakeSeed()} }

// all returns some certificates as all sessions share them.
func (t *certTable) all(certs []*x509.Certificate) []*x509.Certificate {
	own := make([]*x509.Certificate, len(certs))
	for i, c := range certs {
		own[i] = t.one(c)
	}
	return own
}

// one returns the certificate that all sessions share which have an equal one.
func (t *certTable) one(c *x509.Certificate) *x509.Certificate {
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

// A holding points to those fields of a session which crypto/tls does not export and which decide
// about its size.
type holding struct {
	peers  *[]*x509.Certificate
	chains *[][]*x509.Certificate
	ocsp   *[]byte
	scts   *[][]byte
	secret *[]byte
}

// heldBy returns the fields, or nil if this Go's SessionState has others.
func heldBy(state *tls.SessionState) *holding {
	f := knownHolding()
	if f == nil {
		return nil
	}
	p := unsafe.Pointer(state)
	return &holding{
		peers:  (*[]*x509.Certificate)(unsafe.Add(p, f.peers)),
		chains: (*[][]*x509.Certificate)(unsafe.Add(p, f.chains)),
		ocsp:   (*[]byte)(unsafe.Add(p, f.ocsp)),
		scts:   (*[][]byte)(unsafe.Add(p, f.scts)),
		secret: (*[]byte)(unsafe.Add(p, f.secret)),
	}
}

// holdingFields are the offsets of a holding's fields.
type holdingFields struct{ peers, chains, ocsp, scts, secret uintptr }

var knownHolding = sync.OnceValue(func() *holdingFields { return findHolding(reflect.TypeFor[tls.SessionState]()) })

// findHolding looks the fields up by name and type.
func findHolding(state reflect.Type) *holdingFields {
	ok := true
	find := func(name string, want reflect.Type) uintptr {
		f, found := state.FieldByName(name)
		if !found || len(f.Index) != 1 || f.Type != want {
			ok = false
			return 0
		}
		return f.Offset
	}
	fields := &holdingFields{
		peers:  find("peerCertificates", reflect.TypeFor[[]*x509.Certificate]()),
		chains: find("verifiedChains", reflect.TypeFor[[][]*x509.Certificate]()),
		ocsp:   find("ocspResponse", reflect.TypeFor[[]byte]()),
		scts:   find("scts", reflect.TypeFor[[][]byte]()),
		secret: find("secret", reflect.TypeFor[[]byte]()),
	}
	if !ok {
		return nil
	}
	return fields
}
