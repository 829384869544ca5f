package tickets

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"
	"weak"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// minFamilies is the least number of families that a Client knows at once.
const minFamilies = 4096

// A family is what all tickets have in common that descend from one full handshake: in it the server showed its
// certificate, and each ticket that comes on a connection which resumed says that it was made just now. Without an end
// that they inherit, a server that was authenticated once is trusted for as long as its tickets are renewed
// (RFC 9846 section 4.6.1, RFC 5246 F.1.4).
type family struct {
	end   clock.Stamp
	certs CertList // the certificates as our tickets hold them; they weigh so much
	bytes int
}

// Families knows the families of a Client by what a renewed ticket has of the former one. In TLS 1.2 that is the
// master secret. In TLS 1.3 it is the list of certificates: crypto/tls passes on the very one of the session that
// was resumed, and makes a new one in each full handshake. The tickets themselves may be gone by then, taken,
// evicted or flushed. It is bounded, and safe for concurrent use.
type Families struct {
	cache *fastcache.Cache[familyAt]
}

// A familyAt is a family, and where the list of certificates is by which it is found: another may be there by now.
type familyAt struct {
	*family
	at CertList
}

// A CertList tells a list of certificates from all others, and does not keep it.
type CertList struct {
	first weak.Pointer[*x509.Certificate]
}

func CertListOf(certs []*x509.Certificate) CertList {
	if len(certs) == 0 {
		return CertList{}
	}
	return CertList{weak.Make(&certs[0])}
}

func (l CertList) is(certs []*x509.Certificate) bool {
	return len(certs) > 0 && l.first.Value() == &certs[0]
}

func NewFamilies(tickets int) (*Families, error) {
	// One family of TLS 1.3 has two places, its list as it came and ours.
	cache, err := fastcache.New(fastcache.Config[familyAt]{
		MaxSessions: 2 * max(tickets, minFamilies), TTL: 4 * MaxLife13, NoIndex: true,
		Hash: fastcache.SecretHash, // the peer has a part in what a key is made of
	})
	if err != nil {
		return nil, fmt.Errorf("tlscache: %w", err)
	}
	return &Families{cache: cache}, nil
}

// find returns the family of a session, or nil if it begins one.
func (ls *Families) find(f *tlsstate.Facts, certs []*x509.Certificate) *family {
	key := familyKey(f, certs)
	if key.ID == "" {
		return nil
	}
	l, ok := ls.cache.Lookup(key)
	if !ok || f.Is13() && !l.at.is(certs) {
		return nil
	}
	return l.family
}

// add makes a family known by a session of it.
func (ls *Families) add(f *tlsstate.Facts, certs []*x509.Certificate, l *family) {
	if key := familyKey(f, certs); key.ID != "" {
		_ = ls.cache.Update(key, familyAt{l, CertListOf(certs)}) // fails after Close only
	}
}

func (ls *Families) Close() { ls.cache.Close() }

// familyKey returns where a family is found, or a key without an ID.
func familyKey(f *tlsstate.Facts, certs []*x509.Certificate) fastcache.Key {
	switch {
	case !f.Is13():
		sum := sha256.Sum256(f.Secret)
		return fastcache.Key{ID: string(sum[:])}
	case len(certs) > 0:
		var at [8]byte
		binary.BigEndian.PutUint64(at[:], uint64(uintptr(unsafe.Pointer(&certs[0]))))
		return fastcache.Key{ID: string(at[:])}
	}
	return fastcache.Key{}
}

// join makes a ticket, whose deadline is that of its own life, one of its family, which ends it, and makes it hold
// its certificates in common with all others that have them. The deadline of the family is end if the ticket begins one. It
// returns what the ticket keeps from the collector, in bytes.
func (ls *Families) join(t *Ticket, end clock.Stamp) (bytes int) {
	h := tlsstate.HeldBy(t.State)
	var came []*x509.Certificate // the list as it came; nil where this Go has other fields
	if h != nil {
		came = *h.Peers
	}
	known := ls.find(&t.Facts, came)
	if known != nil {
		end = end.Earlier(known.end)
	}
	t.End, t.Until = end, t.Until.Earlier(end)
	if known != nil && known.certs.is(came) {
		return known.bytes + t.ownBytes(h)
	}
	tlsstate.ShareCertificates(t.State)
	l := &family{end: end}
	var ours []*x509.Certificate
	if h != nil {
		ours = *h.Peers
		l.certs, l.bytes = CertListOf(ours), h.CertificateBytes(tlsstate.Buffers{})
	}
	ls.add(&t.Facts, ours, l)
	if known == nil && t.Facts.Is13() {
		ls.add(&t.Facts, came, l) // more tickets may come on this connection
	}
	return l.bytes + t.ownBytes(h)
}

// Adopt is join for a ticket that was imported: it lets go of the file.
func (ls *Families) Adopt(t *Ticket) (bytes int) {
	t.Label, t.State = slices.Clone(t.Label), tlsstate.Own(t.State)
	if h := tlsstate.HeldBy(t.State); h != nil {
		*h.Secret = t.Facts.Secret // a copy
	}
	return ls.join(t, t.End)
}

// follow makes a ticket that lies in a Store, and is about to be offered, known as one of its family.
func (ls *Families) follow(t *Ticket) {
	var certs []*x509.Certificate
	if h := tlsstate.HeldBy(t.State); h != nil {
		certs = *h.Peers
	}
	if known := ls.find(&t.Facts, certs); known != nil {
		t.End = t.End.Earlier(known.end)
		t.Until = t.Until.Earlier(t.End)
	}
	ls.add(&t.Facts, certs, &family{end: t.End, certs: CertListOf(certs)})
}
