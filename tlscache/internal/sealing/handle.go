package sealing

import (
	"encoding/binary"
)

// A ticket of ours begins with a byte that says what it is. A process that does not know it takes
// the ticket for a miss.
const (
	FormatHandle = 1 // names a session in the Store
	FormatRecord = 2 // contains the session, sealed: the fallback
)

// TagSize is the length of what a handle says about scope and server name: enough that two do not
// meet by chance. To forge one takes the keyring.
const TagSize = 8

// A Tag is the beginning of the name of a scope or a server name.
type Tag [TagSize]byte

// Tag returns the tag of a scope or a server name.
func (n Name) Tag() Tag { return Tag(n[:TagSize]) }

// The flags of a handle.
const (
	FlagDead   = 1 << iota // leads nowhere; id[0] is the MissReason
	FlagTLS13              // the session's version
	FlagSingle             // taken when it is used
	FlagGroup              // has a principal, so group is set
	FlagAge                // expires because of MaxAuthAge, not of TTL
)

// A Handle is what a client holds as its ticket: it names one session in the Store, and tells
// enough to refuse it without asking the Store.
type Handle struct {
	Flags   byte
	Expires uint32 // Unix seconds, rounded up; the record knows better
	Scope   Tag
	Server  Tag
	ID      [NameSize]byte // random, or of the TLS 1.2 session's secret; secret itself
	Group   Name           // of the principal, if FlagGroup
}

// The lengths of a handle before and after sealing.
const (
	handleBody    = 1 + 4 + TagSize + TagSize + NameSize
	handleBodyMax = handleBody + NameSize
	HandleHeader  = 1 + 4
	handleSealed  = HandleHeader + 12 + handleBody + 16
	handleMax     = handleSealed + NameSize
)

// Seal returns the ticket of a handle. Two of one handle have nothing in common, so no listener on
// the wire can tell that two TLS 1.2 connections belong to one client.
//
//	format(1) key id(4) nonce(12) sealed{flags(1) expires(4) scope(8) server(8) id(16) [group(16)]} tag(16)
func (h Handle) Seal(k *Keys) []byte {
	body := make([]byte, 0, handleBodyMax)
	body = append(body, h.Flags)
	body = binary.BigEndian.AppendUint32(body, h.Expires)
	body = append(body, h.Scope[:]...)
	body = append(body, h.Server[:]...)
	body = append(body, h.ID[:]...)
	if h.Flags&FlagGroup != 0 {
		body = append(body, h.Group[:]...)
	}
	out := make([]byte, HandleHeader, handleMax)
	out[0] = FormatHandle
	binary.BigEndian.PutUint32(out[1:], k.ID)
	return k.Handle.Seal(out, nil, body, out[:HandleHeader])
}

// OpenHandle is the reverse of Handle.Seal. Whatever else the errors are, they are a miss.
func (s *Set) OpenHandle(ticket []byte) (Handle, *Keys, error) {
	var h Handle
	if len(ticket) != handleSealed && len(ticket) != handleMax {
		return h, nil, ErrMalformed
	}
	if ticket[0] != FormatHandle {
		return h, nil, ErrVersion
	}
	keys := s.Find(binary.BigEndian.Uint32(ticket[1:]))
	if keys == nil {
		return h, nil, ErrUnknownKey
	}
	body, err := keys.Handle.Open(make([]byte, 0, handleBodyMax), nil, ticket[HandleHeader:], ticket[:HandleHeader])
	if err != nil {
		return h, nil, ErrForged
	}
	h.Flags = body[0]
	h.Expires = binary.BigEndian.Uint32(body[1:])
	rest := body[5:]
	rest = rest[copy(h.Scope[:], rest):]
	rest = rest[copy(h.Server[:], rest):]
	rest = rest[copy(h.ID[:], rest):]
	if (h.Flags&FlagGroup != 0) != (len(rest) == NameSize) {
		return h, nil, ErrMalformed
	}
	copy(h.Group[:], rest)
	return h, keys, nil
}
