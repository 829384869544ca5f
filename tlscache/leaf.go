package tlscache

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"slices"

	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// identityOf returns whom a server appears as with a certificate: its names, and the root of its chain. So a renewed one,
// of another key too and by another intermediate, is the same. Where its names or its root cannot be told, it is
// the certificate itself that counts, and a renewal ends sessions.
func identityOf(c *tls.Certificate) [sha256.Size]byte {
	itself := sha256.Sum256(c.Certificate[0])
	leaf := c.Leaf
	if leaf == nil || !bytes.Equal(leaf.Raw, c.Certificate[0]) { // the user sets it
		var err error
		if leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return itself
		}
	}
	names, ok := namesOf(leaf)
	if !ok {
		return itself
	}
	root := rootOf(leaf, c.Certificate[1:])
	if root == nil {
		return itself
	}
	b := sealing.AppendField(nil, []byte("sessioncache identity v1"))
	b = sealing.AppendField(b, leaf.RawSubject)
	b = sealing.AppendField(b, root)
	for _, n := range names {
		b = sealing.AppendField(b, n)
	}
	return sha256.Sum256(b)
}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// namesOf returns the alternative names of a certificate as they are encoded, of every kind, sorted: issuers put them in
// any order. It is not ok if they cannot be read.
func namesOf(cert *x509.Certificate) (names [][]byte, ok bool) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(subjectAltName) {
			continue
		}
		var all []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &all); err != nil || len(rest) > 0 {
			return nil, false
		}
		for _, n := range all {
			names = append(names, n.FullBytes)
		}
	}
	slices.SortFunc(names, bytes.Compare)
	return slices.CompactFunc(names, bytes.Equal), true
}

// rootOf returns what tells the root of a chain from others: its key where the chain has it, else its name and the
// identifier of its key, which the last certificate says of its issuer. Nil: it says too little. Certificates that do not
// continue the chain are none of it.
func rootOf(leaf *x509.Certificate, above [][]byte) []byte {
	last := leaf
	for _, der := range above {
		next, err := x509.ParseCertificate(der)
		if err != nil || !mayBeIssuedBy(last, next) {
			break
		}
		last = next
	}
	switch {
	case mayBeIssuedBy(last, last):
		return sealing.AppendField(sealing.AppendField(nil, []byte("key")), last.RawSubjectPublicKeyInfo)
	case len(last.AuthorityKeyId) > 0:
		b := sealing.AppendField(sealing.AppendField(nil, []byte("issuer")), last.RawIssuer)
		return sealing.AppendField(b, last.AuthorityKeyId)
	}
	return nil
}

// mayBeIssuedBy reports whether names and key identifiers let one certificate be the issuer of another. Signatures are not
// checked: the certificates are the server's own.
func mayBeIssuedBy(cert, issuer *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, issuer.RawSubject) &&
		(len(cert.AuthorityKeyId) == 0 || len(issuer.SubjectKeyId) == 0 || bytes.Equal(cert.AuthorityKeyId, issuer.SubjectKeyId))
}
