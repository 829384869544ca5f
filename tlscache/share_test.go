package tlscache

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"hash/maphash"
	"reflect"
	"runtime"
	"sync"
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// recordIn returns the record of a session that a Memory has.
func recordIn(t testing.TB, m *session.Memory) *sealing.Record {
	t.Helper()
	for e, err := range m.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		item, err := m.LookupLocal(e.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &item.Live.(*liveRecord).Record
	}
	t.Fatal("no session is stored")
	return nil
}

func TestSessionsHoldTheirCertificatesOnce(t *testing.T) {
	const visits = 600
	for _, c := range crowds[:3] {
		t.Run("chain of "+c.name, func(t *testing.T) {
			heap, st := c.held(t, visits, true, session.MemoryConfig{MaxBytes: 1 << 30, MaxSessions: 4096})
			if st.Sessions < visits {
				t.Fatalf("%d sessions are stored; want at least %d", st.Sessions, visits)
			}
			if each := heap / visits; each > 1500 {
				t.Errorf("a session takes %d bytes where all are of one client; want what one without a certificate takes, less than 1500", each)
			}
		})
	}
}

func TestWeightOfASessionIsWhatItHolds(t *testing.T) {
	const visits = 600
	for _, c := range crowds[:3] {
		t.Run("chain of "+c.name, func(t *testing.T) {
			heap, st := c.held(t, visits, false, session.MemoryConfig{MaxBytes: 1 << 30, MaxSessions: 4096})
			held, weighed := heap/visits, st.Weight/int64(st.Sessions)
			// Those of a chain hold the intermediate and the authority together, and weigh them each.
			if weighed < held*9/10 || c.name != "3" && weighed > held*13/10 {
				t.Errorf("a session holds %d bytes and weighs %d; want at most a tenth less and three more", held, weighed)
			}
		})
	}
}

func TestSharedCertificatesLeaveTheSessionAsItWas(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		var wrapped []byte
		memory := newMemory(t, session.MemoryConfig{})
		w := newWorld(t, ServerConfig{Store: memory})
		mutual(w.ca)(w.server)
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
		wrap := w.server.WrapSession
		w.server.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
			var err error
			if wrapped, err = ss.Bytes(); err != nil {
				t.Error(err)
			}
			return wrap(cs, ss)
		}
		client := w.client(version, showing(w.ca.issueChain(t)()))
		w.want("first visit", client, false)
		r := recordIn(t, memory)
		if got, err := r.State.Bytes(); err != nil || !bytes.Equal(got, wrapped) {
			t.Errorf("the stored session's encoding differs from what crypto/tls wrapped (%v)", err)
		}
		h := heldBy(r.State)
		if h == nil || len(*h.peers) != 2 || len(*h.chains) != 1 || len((*h.chains)[0]) != 3 || (*h.chains)[0][0] != (*h.peers)[0] {
			t.Fatal("the stored session's certificates are not two of the client's, the first of them that of the chain of three")
		}
		for _, c := range (*h.chains)[0] {
			if cap(c.Raw) > len(c.Raw)+len(c.Raw)/8+16 { // what the allocator rounds to
				t.Errorf("a certificate of %d bytes holds a buffer of %d", len(c.Raw), cap(c.Raw))
			}
			if again := shared.one(c); again != c {
				t.Error("a stored session's certificate is not the one that all share")
			}
		}
		w.want("second visit", client, true)
	})
}

func size(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

func TestSharedCertificatesAreForgottenWithTheirSessions(t *testing.T) {
	table := newCertTable()
	der := withExtension(t, 0).Certificate[0]
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
		wg.Go(func() { got[i] = table.one(parse()) })
	}
	wg.Wait()
	for _, c := range got {
		if c != got[0] {
			t.Error("two sessions hold one certificate twice")
		}
	}
	runtime.GC()
	if n := size(&table.certs); n != 1 {
		t.Errorf("%d certificates are known while one is held; want 1", n)
	}
	runtime.KeepAlive(got)
	got = nil
	for range 5000 { // cleanups run some time after the collection
		if size(&table.certs) == 0 {
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
		if certs[i], err = x509.ParseCertificate(withExtension(t, 0).Certificate[0]); err != nil {
			t.Fatal(err)
		}
	}
	table := newCertTable()
	first := table.one(certs[0])
	known, _ := table.certs.Load(maphash.Bytes(table.seed, certs[0].Raw))
	table.certs.Store(maphash.Bytes(table.seed, certs[1].Raw), known) // as if their hashes met
	if got := table.one(certs[1]); got != certs[1] {
		t.Error("a certificate became another one")
	}
	runtime.KeepAlive(first)
}

func TestJunkAroundACertificateIsNotKept(t *testing.T) {
	// What crypto/tls parses points into the message it came in, which may hold much else.
	message := make([]byte, 60_000)
	der := withExtension(t, 0).Certificate[0]
	copy(message, der)
	c, err := x509.ParseCertificate(message[:len(der)])
	if err != nil {
		t.Fatal(err)
	}
	state := new(tls.SessionState)
	h := heldBy(state)
	*h.peers, *h.ocsp = []*x509.Certificate{c}, message[1000:1100]
	if n := stateBytes(state); n < len(message) {
		t.Errorf("a session that holds a message of %d bytes weighs %d", len(message), n)
	}
	shareCertificates(state)
	if n := stateBytes(state); n > 5000 {
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
