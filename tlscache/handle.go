package tlscache

import (
	"encoding/binary"
)

// A ticket of ours begins with a byte that says what it is. A process that does not know it takes
// the ticket for a miss.
const (
	formatHandle = 1 // names a session in the Store
	formatRecord = 2 // contains the session, sealed: the fallback
)

// tagSize is the length of what a handle says about scope and server name: enough that two do not
// meet by chance. To forge one takes the keyring.
const tagSize = 8

// A tag is the beginning of the name of a scope or a server name.
type tag [tagSize]byte

func (n name) tag() tag { return tag(n[:tagSize]) }

// The flags of a handle.
const (
	flagDead   = 1 << iota // leads nowhere; id[0] is the MissReason
	flagTLS13              // the session's version
	flagSingle             // taken when it is used
	flagGroup              // has a principal, so group is set
	flagAge                // expires because of MaxAuthAge, not of TTL
)

// A handle is what a client holds as its ticket: it names one session in the Store, and tells
// enough to refuse it without asking the Store.
type handle struct {
	flags   byte
	expires uint32 // Unix seconds, rounded up; the record knows better
	scope   tag
	server  tag
	id      [nameSize]byte // random, or of the TLS 1.2 session's secret; secret itself
	group   name           // of the principal, if flagGroup
}

// The lengths of a handle before and after sealing.
const (
	handleBody    = 1 + 4 + tagSize + tagSize + nameSize
	handleBodyMax = handleBody + nameSize
	handleHeader  = 1 + 4
	handleSealed  = handleHeader + 12 + handleBody + 16
	handleMax     = handleSealed + nameSize
)

// seal returns the ticket of a handle. Two of one handle have nothing in common, so no listener on
// the wire can tell that two TLS 1.2 connections belong to one client.
//
//	format(1) key id(4) nonce(12) sealed{flags(1) expires(4) scope(8) server(8) id(16) [group(16)]} tag(16)
func (h handle) seal(k *keys) []byte {
	body := make([]byte, 0, handleBodyMax)
	body = append(body, h.flags)
	body = binary.BigEndian.AppendUint32(body, h.expires)
	body = append(body, h.scope[:]...)
	body = append(body, h.server[:]...)
	body = append(body, h.id[:]...)
	if h.flags&flagGroup != 0 {
		body = append(body, h.group[:]...)
	}
	out := make([]byte, handleHeader, handleMax)
	out[0] = formatHandle
	binary.BigEndian.PutUint32(out[1:], k.id)
	return k.handle.Seal(out, nil, body, out[:handleHeader])
}

// openHandle is the reverse of seal. Whatever else the errors are, they are a miss.
func (k *Keyring) openHandle(ticket []byte) (handle, *keys, error) {
	var h handle
	if len(ticket) != handleSealed && len(ticket) != handleMax {
		return h, nil, errMalformed
	}
	if ticket[0] != formatHandle {
		return h, nil, errVersion
	}
	keys := k.find(binary.BigEndian.Uint32(ticket[1:]))
	if keys == nil {
		return h, nil, errUnknownKey
	}
	body, err := keys.handle.Open(make([]byte, 0, handleBodyMax), nil, ticket[handleHeader:], ticket[:handleHeader])
	if err != nil {
		return h, nil, errForged
	}
	h.flags = body[0]
	h.expires = binary.BigEndian.Uint32(body[1:])
	rest := body[5:]
	rest = rest[copy(h.scope[:], rest):]
	rest = rest[copy(h.server[:], rest):]
	rest = rest[copy(h.id[:], rest):]
	if (h.flags&flagGroup != 0) != (len(rest) == nameSize) {
		return h, nil, errMalformed
	}
	copy(h.group[:], rest)
	return h, keys, nil
}
