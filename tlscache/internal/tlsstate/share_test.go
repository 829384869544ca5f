package tlsstate

import (
	"crypto/tls"
	"crypto/x509"
	"hash/maphash"
	"reflect"
	"runtime"
	"sync"
	"testing"
)

func held(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

func TestSharedCertificatesAreForgottenWithTheirSessions(t *testing.T) {
	table := newCertTable()
	der := shapes()[0].der(t)
	parse := func() *x509.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var wg sync.WaitGroup
	got := make([]*x509.Certificate, 8)
	for i := range got {
		wg.Go(func() { got[i] = table.One(parse()) })
	}
	wg.Wait()
	for _, c := range got {
		if c != got[0] {
			t.Error("two sessions hold one certificate twice")
		}
	}
	runtime.GC()
	if n := held(&table.certs); n != 1 {
		t.Errorf("%d certificates are known while one is held; want 1", n)
	}
	runtime.KeepAlive(got)
	got = nil
	for range 5000 { // cleanups run some time after the collection
		if held(&table.certs) == 0 {
			return
		}
		runtime.GC()
		runtime.Gosched()
	}
	t.Error("a certificate that no session holds is still in the table")
}

func TestEqualHashesDoNotSwapCertificates(t *testing.T) {
	var certs [2]*x509.Certificate
	for i := range certs {
		var err error
		if certs[i], err = x509.ParseCertificate(shapes()[0].der(t)); err != nil {
			t.Fatal(err)
		}
	}
	table := newCertTable()
	first := table.One(certs[0])
	known, _ := table.certs.Load(maphash.Bytes(table.seed, certs[0].Raw))
	table.certs.Store(maphash.Bytes(table.seed, certs[1].Raw), known) // as if their hashes met
	if got := table.One(certs[1]); got != certs[1] {
		t.Error("a certificate became another one")
	}
	runtime.KeepAlive(first)
}

func TestJunkAroundACertificateIsNotKept(t *testing.T) {
	// What crypto/tls parses points into the message it came in, which may hold much else.
	message := make([]byte, 60_000)
	der := shapes()[0].der(t)
	copy(message, der)
	c, err := x509.ParseCertificate(message[:len(der)])
	if err != nil {
		t.Fatal(err)
	}
	state := new(tls.SessionState)
	h := HeldBy(state)
	*h.Peers, *h.OCSP = []*x509.Certificate{c}, message[1000:1100]
	if n := Bytes(state); n < len(message) {
		t.Errorf("a session that holds a message of %d bytes weighs %d", len(message), n)
	}
	ShareCertificates(state)
	if n := Bytes(state); n > 5000 {
		t.Errorf("with certificates of its own it weighs %d bytes; want a few thousand", n)
	}
}

func TestUnknownSessionStatesAreWeighedByTheirEncoding(t *testing.T) {
	one := reflect.StructField{Name: "PeerCertificates", Type: reflect.TypeFor[[]*x509.Certificate]()}
	for _, other := range []reflect.Type{reflect.TypeFor[struct{}](), reflect.StructOf([]reflect.StructField{one}), reflect.TypeFor[tls.ConnectionState]()} {
		if findHolding(other) != nil {
			t.Errorf("the fields of %v are taken for those of a session", other)
		}
	}
	if knownHolding() == nil {
		t.Error("the fields of this Go's tls.SessionState are not found: certificates are not shared, and weighed by their encoding")
	}
}

func TestEveryListOfACertificateIsWeighed(t *testing.T) {
	// A field that a later Go adds is to be looked at, and added to parsedBytes if it grows.
	const known = 37
	grow := 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[x509.Certificate]()) {
		switch f.Type.Kind() {
		case reflect.Bool, reflect.Int:
		default:
			grow++
		}
	}
	if grow != known {
		t.Errorf("x509.Certificate has %d fields that are no numbers; parsedBytes was written for %d", grow, known)
	}
}
