package tlsstate

import (
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"sync"
	"unsafe"
)

// A Holding points to those fields of a session which crypto/tls does not export and which decide
// about its size.
type Holding struct {
	Peers  *[]*x509.Certificate
	Chains *[][]*x509.Certificate
	OCSP   *[]byte
	SCTs   *[][]byte
	Secret *[]byte
}

// HeldBy returns the fields, or nil if this Go's SessionState has others.
func HeldBy(state *tls.SessionState) *Holding {
	f := knownHolding()
	if f == nil {
		return nil
	}
	p := unsafe.Pointer(state)
	return &Holding{
		Peers:  (*[]*x509.Certificate)(unsafe.Add(p, f.peers)),
		Chains: (*[][]*x509.Certificate)(unsafe.Add(p, f.chains)),
		OCSP:   (*[]byte)(unsafe.Add(p, f.ocsp)),
		SCTs:   (*[][]byte)(unsafe.Add(p, f.scts)),
		Secret: (*[]byte)(unsafe.Add(p, f.secret)),
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

// CertsUntil returns until when crypto/tls offers a session with these certificates, in Unix seconds: as long as the
// leaf is valid, and all of a chain where any was verified. 0: not known, or before 1970.
func (h *Holding) CertsUntil() uint64 {
	if h == nil || len(*h.Peers) == 0 {
		return 0
	}
	until := (*h.Peers)[0].NotAfter.Unix()
	longest := int64(0)
	for _, chain := range *h.Chains {
		shortest := until
		for _, cert := range chain {
			shortest = min(shortest, cert.NotAfter.Unix())
		}
		longest = max(longest, shortest)
	}
	if len(*h.Chains) > 0 {
		until = longest
	}
	return uint64(max(until, 0))
}
