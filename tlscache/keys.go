package tlscache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// nameSize is the length of a name that stands for something secret or private: a handle's id,
// a principal, a server name. 128 bits of an HMAC do not collide.
const nameSize = 16

// A name is an HMAC of something that must not be read from a Store.
type name [nameSize]byte

// keys are what is derived from one Secret. Immutable and safe for concurrent use.
type keys struct {
	id     uint32
	secret Secret
	handle cipher.AEAD // seals handles; its tag is their MAC
	seal   []byte      // of which the key of each record is derived
	export []byte      // the same for exported sessions
	namer

	everything name // of the watermark of RevokeAll
}

// A namer names things under one secret: all that is kept of a secret which the Keyring no longer
// has. Nothing opens with it.
type namer struct {
	hashes *sync.Pool // of hash.Hash: HMAC-SHA-256, which costs four compressions to set up
}

// deriveKeys derives every key of a secret, each for a purpose of its own.
func deriveKeys(s Secret) (*keys, error) {
	prk, err := hkdf.Extract(sha256.New, s.Bytes[:], []byte("sessioncache keyring v1"))
	if err != nil {
		return nil, err
	}
	derive := func(purpose string) (key []byte) {
		if err == nil {
			key, err = hkdf.Expand(sha256.New, prk, purpose, sha256.Size)
		}
		return key
	}
	k := &keys{id: s.ID, secret: s, seal: derive("sealing"), export: derive("export")}
	handleKey, namesKey := derive("MAC"), derive("names")
	if err != nil {
		return nil, err
	}
	if k.handle, err = newAEAD(handleKey); err != nil {
		return nil, err
	}
	k.namer = namer{&sync.Pool{New: func() any { return hmac.New(sha256.New, namesKey) }}}
	k.everything = k.name(ofEverything, nil)
	return k, nil
}

// newAEAD returns AES-256-GCM that draws its nonces itself: under fips140=only there is no other.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// name returns the name of a thing of some kind. Names of two kinds are never equal.
func (k namer) name(kind string, thing ...[]byte) name {
	mac := k.hashes.Get().(hash.Hash)
	defer k.hashes.Put(mac)
	mac.Reset()
	buf := make([]byte, 0, 128)
	buf = appendField(buf, []byte(kind))
	for _, t := range thing {
		buf = appendField(buf, t)
	}
	mac.Write(buf)
	var sum [sha256.Size]byte
	return name(mac.Sum(sum[:0])[:nameSize])
}
