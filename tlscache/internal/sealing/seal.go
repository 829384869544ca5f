package sealing

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Version is the first byte of what Keys.Seal returns. A process that does not know a version
// treats it as a miss, so that fleets can be upgraded and rolled back one by one.
const Version = 1

// sealHeader is the version and the id of the key.
const sealHeader = 1 + 4

// sealOverhead is how much longer the sealed form is: header, nonce and tag.
const sealOverhead = sealHeader + 12 + 16

// Why a sealed thing or a handle does not open. All of them are a miss.
var (
	ErrVersion    = errors.New("tlscache: unknown version")
	ErrUnknownKey = errors.New("tlscache: unknown key id")
	ErrForged     = errors.New("tlscache: authentication failed")
	ErrMalformed  = errors.New("tlscache: malformed")
)

// The kinds of what is sealed. Each has keys of its own, so that none can be taken for another.
const (
	KindRecord    = "record"    // a server's session in a Store or in a client's ticket
	KindWatermark = "watermark" // a revocation in a Store
	KindWitness   = "witness"   // that a Store has lost nothing
	KindTicket    = "ticket"    // a client's session in a Store
)

// Seal encrypts plaintext, which is of some kind, under a key made for salt alone, so that an attacker who has a Store's
// content and the keyring still lacks the salt where that is a handle's secret id. Bound
// is authenticated and not contained: Open needs the same bytes.
//
//	version(1) key id(4) nonce(12) ciphertext tag(16)
func (k *Keys) Seal(kind string, salt, bound, plaintext []byte) ([]byte, error) {
	aead, err := sealedAEAD(k.seal, kind, salt)
	if err != nil {
		return nil, err
	}
	out := make([]byte, sealHeader, sealOverhead+len(plaintext))
	out[0] = Version
	binary.BigEndian.PutUint32(out[1:], k.ID)
	return aead.Seal(out, nil, plaintext, boundTo(out[:sealHeader], kind, bound)), nil
}

// Open is the reverse of Keys.Seal. Its errors are the four above.
func (s *Set) Open(kind string, salt, bound, sealed []byte) ([]byte, error) {
	keys, err := s.SealedUnder(sealed)
	if err != nil {
		return nil, err
	}
	aead, err := sealedAEAD(keys.seal, kind, salt)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, sealed[sealHeader:], boundTo(sealed[:sealHeader], kind, bound))
	if err != nil {
		return nil, ErrForged
	}
	return plaintext, nil
}

// SealedUnder returns the keys that a sealed thing names.
func (s *Set) SealedUnder(sealed []byte) (*Keys, error) {
	if len(sealed) < sealOverhead {
		return nil, ErrMalformed
	}
	if sealed[0] != Version {
		return nil, ErrVersion
	}
	keys := s.Find(binary.BigEndian.Uint32(sealed[1:]))
	if keys == nil {
		return nil, ErrUnknownKey
	}
	return keys, nil
}

// sealedAEAD derives the key of one sealed thing. Each seals a few times at most, so the bound on
// random nonces under one key never comes near.
func sealedAEAD(prk []byte, kind string, salt []byte) (cipher.AEAD, error) {
	info := AppendField(AppendField(make([]byte, 0, 64), []byte(kind)), salt)
	key, err := hkdf.Expand(sha256.New, prk, string(info), sha256.Size)
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

func boundTo(header []byte, kind string, bound []byte) []byte {
	b := make([]byte, 0, len(header)+len(kind)+len(bound)+8)
	return append(AppendField(append(b, header...), []byte(kind)), bound...)
}

// AppendField appends a field so that no two lists of fields look the same.
func AppendField(b, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// CutField is the reverse of AppendField.
func CutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n : 4+n], b[4+n:], true
}
