package sealing

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
)

// A WitnessID is random; the zero value stands for no witness.
type WitnessID [8]byte

// A WitnessRef is what a record names a witness by. The zero value names none.
type WitnessRef struct {
	Secret uint32
	ID     WitnessID
}

// A PrincipalID stands for a principal; the zero value for none.
type PrincipalID [sha256.Size]byte

// A Record is a session and what decides whether it may be resumed. It is immutable once it was
// stored: connections that resume it get copies of state.
type Record struct {
	Flags     byte        // FlagTLS13, FlagSingle, FlagBounded, FlagVouched
	Auth      clock.Stamp // when its client last proved who it is
	Expires   clock.Stamp
	Principal PrincipalID
	Witness   WitnessRef // that stood when its client last proved who it is
	State     *tls.SessionState

	// What the session is bound to. Not in the sealed form, but authenticated with it.
	ID     [NameSize]byte // of its handle
	Scope  [sha256.Size]byte
	Server string // in the form of hostname.Normal

	Lineage [sha256.Size]byte // of a TLS 1.2 session; found again in state
}

const (
	// FlagBounded is set in a record whose chain of resumptions MaxAuthAge bounds.
	FlagBounded = 1 << 7

	// FlagVouched is set in a record that is a ticket though the Store works. It resumes, like one in
	// the Store, only while that answers for it.
	FlagVouched = 1 << 6
)

// RecordVersion is the first byte of a record, inside the seal. Records of version 1 name no witness.
const RecordVersion = 2

// RecordHeader is all before the session's own encoding.
const (
	recordHeader1 = 1 + 1 + 8 + 8 + sha256.Size
	RecordHeader  = recordHeader1 + 4 + len(WitnessID{})
)

// IsOf reports whether a record is the one that a handle names, of the kind that the handle says.
func (r *Record) IsOf(h Handle) bool {
	return r.ID == h.ID && (r.Flags^h.Flags)&FlagTLS13 == 0 && (r.Principal != PrincipalID{}) == (h.Flags&FlagGroup != 0)
}

// Bound returns what a sealed record is bound to.
func (r *Record) Bound() []byte {
	b := make([]byte, 0, len(r.Scope)+4+len(r.Server))
	return AppendField(append(b, r.Scope[:]...), []byte(r.Server))
}

// Seal returns the record as a Store or a client keeps it.
//
//	sealed{version(1) flags(1) auth(8) expires(8) principal(32) secret(4) witness(8) tls.SessionState}
func (r *Record) Seal(k *Keys, id [NameSize]byte) ([]byte, error) {
	state, err := r.State.Bytes()
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, RecordHeader+len(state))
	b = append(b, RecordVersion, r.Flags)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Auth.Wall))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Expires.Wall))
	b = append(b, r.Principal[:]...)
	b = binary.BigEndian.AppendUint32(b, r.Witness.Secret)
	b = append(b, r.Witness.ID[:]...)
	return k.Seal(KindRecord, id[:], r.Bound(), append(b, state...))
}

// OpenRecord is the reverse of Record.Seal: of a record under an id, a scope and a server name.
func (s *Set) OpenRecord(sealed []byte, id [NameSize]byte, scope [sha256.Size]byte, server string) (*Record, error) {
	r := &Record{ID: id, Scope: scope, Server: server}
	b, err := s.Open(KindRecord, id[:], r.Bound(), sealed)
	if err != nil {
		return nil, err
	}
	if err := r.Decode(b); err != nil {
		return nil, err
	}
	return r, nil
}

// Decode reads what a sealed record contains.
func (r *Record) Decode(b []byte) (err error) {
	if len(b) == 0 {
		return ErrMalformed
	}
	header := RecordHeader
	switch b[0] {
	case RecordVersion:
	case 1:
		header = recordHeader1
	default:
		return ErrVersion
	}
	if len(b) < header {
		return ErrMalformed
	}
	r.Flags = b[1]
	r.Auth.Wall = int64(binary.BigEndian.Uint64(b[2:]))
	r.Expires.Wall = int64(binary.BigEndian.Uint64(b[10:]))
	copy(r.Principal[:], b[18:])
	if header == RecordHeader {
		r.Witness = WitnessRef{binary.BigEndian.Uint32(b[recordHeader1:]), WitnessID(b[recordHeader1+4:])}
	}
	if r.State, err = tls.ParseSessionState(b[header:]); err != nil {
		return ErrMalformed // another Go version's, perhaps
	}
	if r.Flags&FlagTLS13 == 0 {
		r.Lineage = sha256.Sum256(Lineage(r.State))
	}
	return nil
}

// Lineage returns what a TLS 1.2 session and those that resume it have in common, its version, suite,
// creation time and secret: the head of the encoding, unchanged since Go 1.21. Empty: the
// encoding is not what it was.
func Lineage(s *tls.SessionState) []byte {
	b, err := s.Bytes()
	if err != nil || len(b) < 14 || len(b) < 14+int(b[13]) {
		return nil
	}
	return b[:14+int(b[13])]
}
