package tlscache

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"slices"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
)

var _ session.Encoder = (*record)(nil)

// A principalID stands for a principal; the zero value for none.
type principalID [sha256.Size]byte

// A record is a session and what decides whether it may be resumed. It is immutable once it was
// stored: connections that resume it get copies of state.
type record struct {
	flags     byte        // flagTLS13, flagSingle, flagBounded, flagVouched
	auth      clock.Stamp // when its client last proved who it is
	expires   clock.Stamp
	principal principalID
	witness   witnessRef // that stood when its client last proved who it is
	state     *tls.SessionState

	// What the session is bound to. Not in the sealed form, but authenticated with it.
	id     [nameSize]byte // of its handle
	scope  [sha256.Size]byte
	server string // normalName

	lineage [sha256.Size]byte // of a TLS 1.2 session; found again in state

	keyring *Keyring // to seal it for who asks a Local Store for its bytes; nil: it came sealed
}

const (
	// flagBounded is set in a record whose chain of resumptions MaxAuthAge bounds.
	flagBounded = 1 << 7

	// flagVouched is set in a record that is a ticket though the Store works. It resumes, like one in
	// the Store, only while that answers for it.
	flagVouched = 1 << 6
)

// recordVersion is the first byte of a record, inside the seal. Records of version 1 name no witness.
const recordVersion = 2

// recordHeader is all before the session's own encoding.
const (
	recordHeader1 = 1 + 1 + 8 + 8 + sha256.Size
	recordHeader  = recordHeader1 + 4 + len(witnessID{})
)

// isOf reports whether a record is the one that a handle names, of the kind that the handle says.
func (r *record) isOf(h handle) bool {
	return r.id == h.id && (r.flags^h.flags)&flagTLS13 == 0 && (r.principal != principalID{}) == (h.flags&flagGroup != 0)
}

// bound returns what a sealed record is bound to.
func (r *record) bound() []byte {
	b := make([]byte, 0, len(r.scope)+4+len(r.server))
	return appendField(append(b, r.scope[:]...), []byte(r.server))
}

// seal returns the record as a Store or a client keeps it.
//
//	sealed{version(1) flags(1) auth(8) expires(8) principal(32) secret(4) witness(8) tls.SessionState}
func (r *record) seal(k *keys, id [nameSize]byte) ([]byte, error) {
	state, err := r.state.Bytes()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, recordHeader+len(state))
	b = append(b, recordVersion, r.flags)
	b = binary.BigEndian.AppendUint64(b, uint64(r.auth.Wall))
	b = binary.BigEndian.AppendUint64(b, uint64(r.expires.Wall))
	b = append(b, r.principal[:]...)
	b = binary.BigEndian.AppendUint32(b, r.witness.secret)
	b = append(b, r.witness.id[:]...)
	return k.sealAs(sealRecord, id[:], r.bound(), append(b, state...))
}

// SessionBytes returns the record as seal does, under the secret that is active now, so that a Local Store can be
// dumped: session.Encoder. It opens under no other key. What was revoked has no bytes: who restores the dump may
// not know the watermark.
func (r *record) SessionBytes(key session.Key) ([]byte, error) {
	switch {
	case r.keyring == nil || key.ID != string(r.id[:]):
		return nil, errMalformed // not where we stored it
	case r.keyring.marks.covers(r):
		return nil, session.ErrNotFound
	}
	return r.seal(r.keyring.active(), r.id)
}

// openRecord is the reverse of seal: of a record under an id, a scope and a server name.
func (k *Keyring) openRecord(sealed []byte, id [nameSize]byte, scope [sha256.Size]byte, server string) (*record, error) {
	r := &record{id: id, scope: scope, server: server}
	b, err := k.openAs(sealRecord, id[:], r.bound(), sealed)
	if err != nil {
		return nil, err
	}
	if err := r.decode(b); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *record) decode(b []byte) (err error) {
	if len(b) == 0 {
		return errMalformed
	}
	header := recordHeader
	switch b[0] {
	case recordVersion:
	case 1:
		header = recordHeader1
	default:
		return errVersion
	}
	if len(b) < header {
		return errMalformed
	}
	r.flags = b[1]
	r.auth.Wall = int64(binary.BigEndian.Uint64(b[2:]))
	r.expires.Wall = int64(binary.BigEndian.Uint64(b[10:]))
	copy(r.principal[:], b[18:])
	if header == recordHeader {
		r.witness = witnessRef{binary.BigEndian.Uint32(b[recordHeader1:]), witnessID(b[recordHeader1+4:])}
	}
	if r.state, err = tls.ParseSessionState(b[header:]); err != nil {
		return errMalformed // another Go version's, perhaps
	}
	if r.flags&flagTLS13 == 0 {
		r.lineage = sha256.Sum256(lineage(r.state))
	}
	return nil
}

// privateState returns a copy of a session whose exported fields can be written: crypto/tls
// invites its callers to write EarlyData and to append to Extra. The rest is only read.
func privateState(s *tls.SessionState) *tls.SessionState {
	own := *s
	own.Extra = slices.Clip(own.Extra)
	return &own
}

// ownState returns a copy of a session that shares nothing that its giver may write.
func ownState(s *tls.SessionState) *tls.SessionState {
	own := *s
	own.Extra = nil
	for _, e := range s.Extra {
		own.Extra = append(own.Extra, slices.Clone(e))
	}
	return &own
}

// lineage returns what a TLS 1.2 session and those that resume it have in common, its version, suite,
// creation time and secret: the head of the encoding, unchanged since Go 1.21. Empty: the
// encoding is not what it was.
func lineage(s *tls.SessionState) []byte {
	b, err := s.Bytes()
	if err != nil || len(b) < 14 || len(b) < 14+int(b[13]) {
		return nil
	}
	return b[:14+int(b[13])]
}
