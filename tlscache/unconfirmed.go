package tlscache

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// DefaultMaxUnconfirmed is ServerConfig.MaxUnconfirmed unless the configuration says otherwise.
const DefaultMaxUnconfirmed = 4096

// maxSuccessors is how many sessions that succeed one and the same count as confirmed: browsers open six
// connections with one ticket. A ClientHello that resumes can be sent again and again by anyone who saw it.
const maxSuccessors = 8

// confirmed reports whether the client has proved to be one: it knew the session that it resumed, or
// the key of a certificate, or, which TLS 1.2 and QUIC ask before the ticket, the handshake's secret.
// The ticket of a first TLS 1.3 handshake goes to any sender of a ClientHello.
func (i *issue) confirmed() bool {
	switch {
	case i.cs.HandshakeComplete, len(i.cs.PeerCertificates) > 0 && !i.cs.DidResume, !i.tls13():
		return true
	case i.cs.DidResume:
		return i.s.used.next(i.resumed().id) <= maxSuccessors
	}
	return false
}

// withoutPlace returns the ticket of a client that takes no place in the Store before it is confirmed: the
// sealed record. Nil: it takes one after all, since a record that is used once must be taken from there.
//
// The Store is asked for its witness meanwhile. If it fails, the ticket is a fallback.
func (i *issue) withoutPlace(k *sealing.Keys, h sealing.Handle, r *sealing.Record) []byte {
	s := i.s
	if r.Flags&sealing.FlagSingle != 0 || s.cfg.NoFallback {
		return nil
	}
	b := guard.Grant(s.cfg.Budget / 2)
	defer b.End()
	now, err := s.attest(b, k, i.at.Wall)
	if err == nil && r.Witness.Secret != k.ID {
		r.Witness, err = s.sameWitness(b, r.Witness, now)
	}
	if err != nil {
		return i.fallback(k, h, r, missOf(err))
	}
	r.Flags |= sealing.FlagVouched
	t, err := sealTicketRecord(r, k, h.Scope, h.Server, h.ID)
	r.Flags &^= sealing.FlagVouched
	if err != nil || len(t) > maxTicket {
		return nil
	}
	s.counts.sealed.Add(1)
	return t
}

// unconfirmed are the keys of the last sessions that took a place in the Store before their clients were
// confirmed. The zero value is ready; it is safe for concurrent use.
type unconfirmed struct {
	mu struct {
		sync.Mutex
		keys   []session.Key // a ring once there are as many as may be
		oldest int
	}
}

// add adds a key and returns the oldest where there are more than limit.
func (u *unconfirmed) add(key session.Key, limit int) (oldest session.Key, full bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.mu.keys) < limit {
		u.mu.keys = append(u.mu.keys, key)
		return session.Key{}, false
	}
	oldest, u.mu.keys[u.mu.oldest] = u.mu.keys[u.mu.oldest], key
	u.mu.oldest = (u.mu.oldest + 1) % limit
	return oldest, true
}

// successions count how many sessions succeeded each of the sessions that were resumed last. Two that share a place
// make each other forgotten, so a count may be too low, and too high never but for one in 2^56. The zero
// value is ready; it is safe for concurrent use.
type successions [1024]atomic.Uint64 // the id's first seven bytes, and the count

// next counts another successor of a session and returns how many there are, at most 255.
func (s *successions) next(id [sealing.NameSize]byte) uint64 {
	place := &s[binary.BigEndian.Uint16(id[8:])%uint16(len(s))]
	who := binary.BigEndian.Uint64(id[:]) &^ 0xff
	for {
		old := place.Load()
		n := uint64(0)
		if old&^0xff == who {
			n = old & 0xff
		}
		n = min(n+1, 0xff)
		if place.CompareAndSwap(old, who|n) {
			return n
		}
	}
}
