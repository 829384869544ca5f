package tlsstate

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"reflect"
	"unsafe"
)

// Bytes returns what a session keeps from the garbage collector.
func Bytes(state *tls.SessionState) int {
	h, b := HeldBy(state), Buffers{}
	n := OwnBytes(state, h, b)
	if h != nil {
		n += h.CertificateBytes(b)
	}
	return n
}

// OwnBytes is Bytes without the certificates, where they can be told apart.
func OwnBytes(state *tls.SessionState, h *Holding, b Buffers) int {
	const secret, protocol = 48, 16
	n := Allocated(int(reflect.TypeFor[tls.SessionState]().Size())) + secret + protocol
	for _, e := range state.Extra {
		n += sliceHeader + Allocated(len(e))
	}
	if h == nil { // this Go has other fields: count as if each byte were the least that x509 makes most of
		encoded, err := state.Bytes()
		if err != nil {
			return n
		}
		return n + unknownLayoutFactor*len(encoded)
	}
	n += b.add(*h.OCSP)
	for _, sct := range *h.SCTs {
		n += sliceHeader + b.add(sct)
	}
	return n
}

// CertificateBytes returns what a session's certificates keep from the garbage collector, beside buffers that are
// counted already.
func (h *Holding) CertificateBytes(b Buffers) (n int) {
	seen := make(map[*x509.Certificate]bool, 8)
	certificates := func(certs []*x509.Certificate) {
		n += Allocated(cap(certs) * pointer)
		for _, c := range certs {
			if !seen[c] {
				seen[c] = true
				n += b.add(c.Raw) + parsedBytes(c)
			}
		}
	}
	certificates(*h.Peers)
	for _, chain := range *h.Chains {
		n += sliceHeader
		certificates(chain)
	}
	return n
}

// unknownLayoutFactor is what a byte of a session's encoding is taken to cost where its certificates
// cannot be seen. Small certificates take six times their encoding.
const unknownLayoutFactor = 8

// Buffers counts memory that several slices point into once: as crypto/tls parses a certificate, it
// points into the whole message that it came in.
type Buffers map[*byte]int

// add returns by how much a slice makes the buffers larger. All that is behind it counts, up to the end
// of the buffer, by which buffers are told apart.
func (b Buffers) add(s []byte) int {
	size := cap(s)
	if size == 0 {
		return 0
	}
	end := &s[:size][size-1]
	known := b[end]
	if size <= known {
		return 0
	}
	b[end] = size
	return Allocated(size) - Allocated(known)
}

const (
	pointer      = int(unsafe.Sizeof(uintptr(0)))
	sliceHeader  = 3 * pointer
	stringHeader = 2 * pointer
	boxed        = 2 * pointer // an interface

	// certificateExtra is what a certificate costs besides: its place in the table of shared
	// ones, with a cleanup, and the collector's own.
	certificateExtra = 192
)

// Allocated returns about what the allocator takes for an object of some size.
func Allocated(size int) int {
	step := 16
	switch {
	case size <= 0:
		return 0
	case size > 32<<10:
		step = 8 << 10 // whole pages
	default:
		for step*16 <= size {
			step *= 2
		}
	}
	return (size + step - 1) / step * step
}

// parsedBytes returns what x509 made of a certificate, without its DER, to which the raw fields point.
// It walks all lists: what one takes of memory can be thirty times what it takes of the DER.
func parsedBytes(c *x509.Certificate) int {
	n := certificateExtra + Allocated(int(unsafe.Sizeof(*c))) + publicKeyBytes(c) + bigBytes(c.SerialNumber)
	n += nameBytes(&c.Issuer) + nameBytes(&c.Subject)
	for _, list := range [...][]pkix.Extension{c.Extensions, c.ExtraExtensions} {
		n += Allocated(cap(list) * int(unsafe.Sizeof(pkix.Extension{})))
		for _, e := range list {
			n += oidBytes(e.Id)
		}
	}
	n += Allocated(cap(c.ExtKeyUsage) * int(unsafe.Sizeof(x509.ExtKeyUsage(0))))
	n += Allocated(cap(c.UnhandledCriticalExtensions) * sliceHeader) // their ids are those of Extensions
	n += oidsBytes(c.UnknownExtKeyUsage) + oidsBytes(c.PolicyIdentifiers)
	n += Allocated(cap(c.Policies) * sliceHeader)
	n += Allocated(cap(c.PolicyMappings) * int(unsafe.Sizeof(x509.PolicyMapping{})))
	for _, list := range [...][]string{
		c.OCSPServer, c.IssuingCertificateURL, c.DNSNames, c.EmailAddresses, c.CRLDistributionPoints,
		c.PermittedDNSDomains, c.ExcludedDNSDomains, c.PermittedEmailAddresses, c.ExcludedEmailAddresses,
		c.PermittedURIDomains, c.ExcludedURIDomains,
	} {
		n += stringsBytes(list)
	}
	n += Allocated(cap(c.IPAddresses) * sliceHeader)
	for _, list := range [...][]*net.IPNet{c.PermittedIPRanges, c.ExcludedIPRanges} {
		n += Allocated(cap(list)*pointer) + len(list)*Allocated(int(unsafe.Sizeof(net.IPNet{})))
	}
	n += Allocated(cap(c.URIs) * pointer)
	for _, u := range c.URIs {
		n += Allocated(int(unsafe.Sizeof(url.URL{}))) + Allocated(len(u.Scheme)+len(u.Opaque)+len(u.Host)+len(u.Path)+
			len(u.RawPath)+len(u.RawQuery)+len(u.Fragment)+len(u.RawFragment))
		if u.User != nil {
			n += 64 + len(u.User.String())
		}
	}
	return n
}

func nameBytes(name *pkix.Name) int {
	n := 0
	for _, list := range [...][]string{name.Country, name.Organization, name.OrganizationalUnit, name.Locality,
		name.Province, name.StreetAddress, name.PostalCode} {
		n += Allocated(cap(list) * stringHeader) // their bytes are those of Names
	}
	n += Allocated(cap(name.Names) * int(unsafe.Sizeof(pkix.AttributeTypeAndValue{})))
	n += Allocated(cap(name.ExtraNames) * int(unsafe.Sizeof(pkix.AttributeTypeAndValue{})))
	for _, a := range name.Names {
		n += oidBytes(a.Type) + boxed
		if s, ok := a.Value.(string); ok {
			n += textBytes(len(s))
		}
	}
	return n
}

func stringsBytes(list []string) int {
	n := Allocated(cap(list) * stringHeader)
	for _, s := range list {
		n += textBytes(len(s))
	}
	return n
}

// textBytes returns what the allocator takes for a string: short ones share a block, and those of one
// byte need none.
func textBytes(size int) int {
	switch {
	case size <= 1:
		return 0
	case size < 16:
		return size + size/4
	}
	return Allocated(size)
}

func oidsBytes(list []asn1.ObjectIdentifier) int {
	n := Allocated(cap(list) * sliceHeader)
	for _, oid := range list {
		n += oidBytes(oid)
	}
	return n
}

func oidBytes(oid asn1.ObjectIdentifier) int { return Allocated(cap(oid) * int(unsafe.Sizeof(int(0)))) }

func bigBytes(i *big.Int) int {
	if i == nil {
		return 0
	}
	return Allocated(int(unsafe.Sizeof(*i))) + Allocated(cap(i.Bits())*pointer)
}

func publicKeyBytes(c *x509.Certificate) int {
	switch key := c.PublicKey.(type) {
	case nil:
		return 0
	case *rsa.PublicKey:
		return Allocated(int(unsafe.Sizeof(*key))) + bigBytes(key.N)
	case *ecdsa.PublicKey:
		coordinate := Allocated(int(unsafe.Sizeof(big.Int{}))) + Allocated(key.Params().BitSize/8+2*pointer)
		return Allocated(int(unsafe.Sizeof(*key))) + 2*coordinate
	case ed25519.PublicKey:
		return sliceHeader + Allocated(len(key))
	}
	return 256 + Allocated(len(c.RawSubjectPublicKeyInfo)) // X25519, DSA
}
