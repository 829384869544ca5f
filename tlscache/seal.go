package tlscache

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// sealVersion is the first byte of whatever seal returns. A process that does not know a version
// treats it as a miss, so that fleets can be upgraded and rolled back one by one.
const sealVersion = 1

// sealHeader is the version and the id of the key.
const sealHeader = 1 + 4

// sealOverhead is how much longer the sealed form is: header, nonce and tag.
const sealOverhead = sealHeader + 12 + 16

// Why a sealed thing or a handle does not open. All of them are a miss.
var (
	errVersion    = errors.New("tlscache: unknown version")
	errUnknownKey = errors.New("tlscache: unknown key id")
	errForged     = errors.New("tlscache: authentication failed")
	errMalformed  = errors.New("tlscache: malformed")
)

// What is sealed. Each has keys of its own, so that none can be taken for another.
const (
	sealRecord    = "record"    // a server's session in a Store or in a client's ticket
	sealWatermark = "watermark" // a revocation in a Store
	sealWitness   = "witness"   // that a Store has lost nothing
	sealTicket    = "ticket"    // a client's session in a Store
)

// seal encrypts plaintext as what under a key made for salt alone, so that an attacker who has a Store's
// content and the keyring still lacks the salt where that is a handle's secret id. bound
// is authenticated and not contained: open needs the same bytes.
//
//	version(1) key id(4) nonce(12) ciphertext tag(16)
func (k *keys) sealAs(what string, salt, bound, plaintext []byte) ([]byte, error) {
	aead, err := recordAEAD(k.seal, what, salt)
	if err != nil {
		return nil, err
	}
	out := make([]byte, sealHeader, sealOverhead+len(plaintext))
	out[0] = sealVersion
	binary.BigEndian.PutUint32(out[1:], k.id)
	return aead.Seal(out, nil, plaintext, boundTo(out[:sealHeader], what, bound)), nil
}

// open is the reverse of seal. Its errors are the four above.
func (k *Keyring) openAs(what string, salt, bound, sealed []byte) ([]byte, error) {
	keys, err := k.sealedUnder(sealed)
	if err != nil {
		return nil, err
	}
	aead, err := recordAEAD(keys.seal, what, salt)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, sealed[sealHeader:], boundTo(sealed[:sealHeader], what, bound))
	if err != nil {
		return nil, errForged
	}
	return plaintext, nil
}

// sealedUnder returns the keys that a sealed thing names.
func (k *Keyring) sealedUnder(sealed []byte) (*keys, error) {
	if len(sealed) < sealOverhead {
		return nil, errMalformed
	}
	if sealed[0] != sealVersion {
		return nil, errVersion
	}
	keys := k.find(binary.BigEndian.Uint32(sealed[1:]))
	if keys == nil {
		return nil, errUnknownKey
	}
	return keys, nil
}

// recordAEAD derives the key of one record. Each seals a few times at most, so the bound on
// random nonces under one key never comes near.
func recordAEAD(prk []byte, what string, salt []byte) (cipher.AEAD, error) {
	info := appendField(appendField(make([]byte, 0, 64), []byte(what)), salt)
	key, err := hkdf.Expand(sha256.New, prk, string(info), sha256.Size)
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

func boundTo(header []byte, what string, bound []byte) []byte {
	b := make([]byte, 0, len(header)+len(what)+len(bound)+8)
	return append(appendField(append(b, header...), []byte(what)), bound...)
}

// appendField appends a field so that no two lists of fields look the same.
func appendField(b, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}
