package tlscache

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

// liveBytes returns what a record keeps from the garbage collector, in bytes: itself, the session and
// the session's certificates, each in full, also where other sessions share them. For those
// could go, and leave this one to hold it.
func (r *liveRecord) liveBytes() int {
	return allocated(int(unsafe.Sizeof(*r))) + allocated(len(r.Server)) + stateBytes(r.State)
}

// stateBytes returns what a session keeps from the garbage collector.
func stateBytes(state *tls.SessionState) int {
	h, b := heldBy(state), buffers{}
	n := ownBytes(state, h, b)
	if h != nil {
		n += h.certificateBytes(b)
	}
	return n
}

// ownBytes is stateBytes without the certificates, where they can be told apart.
func ownBytes(state *tls.SessionState, h *holding, b buffers) int {
	const secret, protocol = 48, 16
	n := allocated(int(reflect.TypeFor[tls.SessionState]().Size())) + secret + protocol
	for _, e := range state.Extra {
		n += sliceHeader + allocated(len(e))
	}
	if h == nil { // this Go has other fields: count as if each byte were the least that x509 makes most of
		encoded, err := state.Bytes()
		if err != nil {
			return n
		}
		return n + unknownLayoutFactor*len(encoded)
	}
	n += b.add(*h.ocsp)
	for _, sct := range *h.scts {
		n += sliceHeader + b.add(sct)
	}
	return n
}

// certificateBytes returns what a session's certificates keep from the garbage collector, beside buffers that are
// counted already.
func (h *holding) certificateBytes(b buffers) (n int) {
	seen := make(map[*x509.Certificate]bool, 8)
	certificates := func(certs []*x509.Certificate) {
		n += allocated(cap(certs) * pointer)
		for _, c := range certs {
			if !seen[c] {
				seen[c] = true
				n += b.add(c.Raw) + parsedBytes(c)
			}
		}
	}
	certificates(*h.peers)
	for _, chain := range *h.chains {
		n += sliceHeader
		certificates(chain)
	}
	return n
}

// maxTicketBytes bounds what a client's ticket keeps from the garbage collector. The chain of a usual server comes to 10 to
// 30 KB; servers decide about it, and some send more than their clients need.
const maxTicketBytes = maxShared

// unknownLayoutFactor is what a byte of a session's encoding is taken to cost where its certificates
// cannot be seen. Small certificates take six times their encoding.
const unknownLayoutFactor = 8

// ownBytes returns what a ticket keeps from the garbage collector, where a pool has it in memory, without the
// certificates that it may share.
func (t *ticket) ownBytes(h *holding) int {
	return allocated(int(unsafe.Sizeof(memoryTicket{}))) + allocated(cap(t.label)) + ownBytes(t.state, h, buffers{})
}

// buffers counts memory that several slices point into once: as crypto/tls parses a certificate, it
// points into the whole message that it came in.
type buffers map[*byte]int

// add returns by how much a slice makes the buffers larger. All that is behind it counts, up to the end
// of the buffer, by which buffers are told apart.
func (b buffers) add(s []byte) int {
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
	return allocated(size) - allocated(known)
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

// allocated returns about what the allocator takes for an object of some size.
func allocated(size int) int {
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
	n := certificateExtra + allocated(int(unsafe.Sizeof(*c))) + publicKeyBytes(c) + bigBytes(c.SerialNumber)
	n += nameBytes(&c.Issuer) + nameBytes(&c.Subject)
	for _, list := range [...][]pkix.Extension{c.Extensions, c.ExtraExtensions} {
		n += allocated(cap(list) * int(unsafe.Sizeof(pkix.Extension{})))
		for _, e := range list {
			n += oidBytes(e.Id)
		}
	}
	n += allocated(cap(c.ExtKeyUsage) * int(unsafe.Sizeof(x509.ExtKeyUsage(0))))
	n += allocated(cap(c.UnhandledCriticalExtensions) * sliceHeader) // their ids are those of Extensions
	n += oidsBytes(c.UnknownExtKeyUsage) + oidsBytes(c.PolicyIdentifiers)
	n += allocated(cap(c.Policies) * sliceHeader)
	n += allocated(cap(c.PolicyMappings) * int(unsafe.Sizeof(x509.PolicyMapping{})))
	for _, list := range [...][]string{
		c.OCSPServer, c.IssuingCertificateURL, c.DNSNames, c.EmailAddresses, c.CRLDistributionPoints,
		c.PermittedDNSDomains, c.ExcludedDNSDomains, c.PermittedEmailAddresses, c.ExcludedEmailAddresses,
		c.PermittedURIDomains, c.ExcludedURIDomains,
	} {
		n += stringsBytes(list)
	}
	n += allocated(cap(c.IPAddresses) * sliceHeader)
	for _, list := range [...][]*net.IPNet{c.PermittedIPRanges, c.ExcludedIPRanges} {
		n += allocated(cap(list)*pointer) + len(list)*allocated(int(unsafe.Sizeof(net.IPNet{})))
	}
	n += allocated(cap(c.URIs) * pointer)
	for _, u := range c.URIs {
		n += allocated(int(unsafe.Sizeof(url.URL{}))) + allocated(len(u.Scheme)+len(u.Opaque)+len(u.Host)+len(u.Path)+
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
		n += allocated(cap(list) * stringHeader) // their bytes are those of Names
	}
	n += allocated(cap(name.Names) * int(unsafe.Sizeof(pkix.AttributeTypeAndValue{})))
	n += allocated(cap(name.ExtraNames) * int(unsafe.Sizeof(pkix.AttributeTypeAndValue{})))
	for _, a := range name.Names {
		n += oidBytes(a.Type) + boxed
		if s, ok := a.Value.(string); ok {
			n += textBytes(len(s))
		}
	}
	return n
}

func stringsBytes(list []string) int {
	n := allocated(cap(list) * stringHeader)
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
	return allocated(size)
}

func oidsBytes(list []asn1.ObjectIdentifier) int {
	n := allocated(cap(list) * sliceHeader)
	for _, oid := range list {
		n += oidBytes(oid)
	}
	return n
}

func oidBytes(oid asn1.ObjectIdentifier) int { return allocated(cap(oid) * int(unsafe.Sizeof(int(0)))) }

func bigBytes(i *big.Int) int {
	if i == nil {
		return 0
	}
	return allocated(int(unsafe.Sizeof(*i))) + allocated(cap(i.Bits())*pointer)
}

func publicKeyBytes(c *x509.Certificate) int {
	switch key := c.PublicKey.(type) {
	case nil:
		return 0
	case *rsa.PublicKey:
		return allocated(int(unsafe.Sizeof(*key))) + bigBytes(key.N)
	case *ecdsa.PublicKey:
		coordinate := allocated(int(unsafe.Sizeof(big.Int{}))) + allocated(key.Params().BitSize/8+2*pointer)
		return allocated(int(unsafe.Sizeof(*key))) + 2*coordinate
	case ed25519.PublicKey:
		return sliceHeader + allocated(len(key))
	}
	return 256 + allocated(len(c.RawSubjectPublicKeyInfo)) // X25519, DSA
}
