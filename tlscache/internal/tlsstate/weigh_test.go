package tlsstate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A shape is one kind of certificate that a client can make itself.
type shape struct {
	name   string
	key    func() (crypto.Signer, error)
	change func(*x509.Certificate)
}

func ecdsaKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func shapes() []shape {
	extension := func(id int, n int) pkix.Extension {
		return pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, id}, Value: make([]byte, n)}
	}
	return []shape{
		{"plain", ecdsaKey, nil},
		{"RSA 2048", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }, nil},
		{"Ed25519", func() (crypto.Signer, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err }, nil},
		{"60 KB of extension", ecdsaKey, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{extension(1, 60_000)} }},
		{"2000 extensions", ecdsaKey, func(c *x509.Certificate) {
			for i := range 2000 {
				c.ExtraExtensions = append(c.ExtraExtensions, extension(i, 1))
			}
		}},
		{"2000 names", ecdsaKey, func(c *x509.Certificate) {
			for i := range 2000 {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("h%d.example", i))
			}
		}},
		{"8000 short names", ecdsaKey, func(c *x509.Certificate) {
			for range 8000 {
				c.DNSNames = append(c.DNSNames, "a")
			}
		}},
		{"5000 addresses", ecdsaKey, func(c *x509.Certificate) {
			for range 5000 {
				c.IPAddresses = append(c.IPAddresses, net.IPv4(1, 2, 3, 4).To4())
			}
		}},
		{"5000 URIs", ecdsaKey, func(c *x509.Certificate) {
			for range 5000 {
				c.URIs = append(c.URIs, &url.URL{Scheme: "a", Opaque: "b"})
			}
		}},
		{"3000 e-mail addresses", ecdsaKey, func(c *x509.Certificate) {
			for range 3000 {
				c.EmailAddresses = append(c.EmailAddresses, "a@b.c")
			}
		}},
		{"5000 key usages", ecdsaKey, func(c *x509.Certificate) {
			for i := range 5000 {
				c.UnknownExtKeyUsage = append(c.UnknownExtKeyUsage, asn1.ObjectIdentifier{1, 2, i})
			}
		}},
		{"2000 policies", ecdsaKey, func(c *x509.Certificate) {
			for i := range 2000 {
				oid, _ := x509.OIDFromInts([]uint64{1, 2, uint64(i)})
				c.Policies = append(c.Policies, oid)
			}
		}},
		{"2000 parts of a subject", ecdsaKey, func(c *x509.Certificate) {
			for i := range 2000 {
				c.Subject.OrganizationalUnit = append(c.Subject.OrganizationalUnit, fmt.Sprint(i))
			}
		}},
		{"1000 other parts of a subject", ecdsaKey, func(c *x509.Certificate) {
			for i := range 1000 {
				c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{1, 2, 3, i}, Value: fmt.Sprint(i)})
			}
		}},
		{"1000 constraints", ecdsaKey, func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid = true, true
			for i := range 1000 {
				_, ipnet, _ := net.ParseCIDR("10.0.0.0/8")
				c.PermittedDNSDomains = append(c.PermittedDNSDomains, fmt.Sprintf("a%d.b", i))
				c.ExcludedIPRanges = append(c.ExcludedIPRanges, ipnet)
				c.ExcludedURIDomains = append(c.ExcludedURIDomains, "b.c")
			}
		}},
		{"1000 lists", ecdsaKey, func(c *x509.Certificate) {
			for i := range 1000 {
				c.OCSPServer = append(c.OCSPServer, fmt.Sprint("http://", i))
				c.CRLDistributionPoints = append(c.CRLDistributionPoints, fmt.Sprint("http://", i))
			}
		}},
		{"a long name", ecdsaKey, func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("x", 30_000) }},
	}
}

// der returns a self-signed certificate.
func (s shape) der(t testing.TB) []byte {
	t.Helper()
	key, err := s.key()
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if s.change != nil {
		s.change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// heapOf returns what each of n things that made makes keeps from the collector.
func heapOf(n int, made func() any) int {
	var before, after runtime.MemStats
	kept := make([]any, n)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range kept {
		kept[i] = made()
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return (int(after.HeapAlloc) - int(before.HeapAlloc)) / n
}

func TestWeightOfACertificateIsWhatItHolds(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			der := s.der(t)
			var weight int
			n := 20 + 100_000/len(der)
			heap := heapOf(n, func() any {
				own := append([]byte(nil), der...)
				c, err := x509.ParseCertificate(own)
				if err != nil {
					t.Fatal(err)
				}
				weight = Buffers{}.add(c.Raw) + parsedBytes(c)
				return c
			})
			ratio := float64(weight) / float64(heap)
			least := 0.9
			if raced {
				least = 0.75 // there short strings do not share blocks
			}
			if ratio < least || ratio > 1.25 {
				t.Errorf("a certificate of %d bytes of DER holds %d bytes and weighs %d, %.2f of it; want %.2f to 1.25", len(der), heap, weight, ratio, least)
			}
		})
	}
}
