package sealing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"
)

// NameSize is the length of a name that stands for something secret or private: a handle's id,
// a principal, a server name. 128 bits of an HMAC do not collide.
const NameSize = 16

// The kinds of names that several files know.
const (
	OfPrincipal  = "principal"
	OfServerName = "server name"
	OfEverything = "everything"
)

// SecretSize is the length of a secret in bytes.
const SecretSize = 32

// A Secret is what keys are derived from. It prints as its id alone.
type Secret struct {
	ID    uint32
	Bytes [SecretSize]byte
}

// Format prints the id, with every verb: a secret must not end in a log.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "secret %d", s.ID) }

// A Name is an HMAC of something that must not be read from a Store.
type Name [NameSize]byte

// Keys are what is derived from one Secret. Immutable and safe for concurrent use.
type Keys struct {
	ID     uint32
	secret Secret
	Handle cipher.AEAD // seals handles; its tag is their MAC
	seal   []byte      // of which the key of each record is derived
	Export []byte      // the same for exported sessions
	Namer

	Everything Name // of the watermark of RevokeAll
}

// A Namer names things under one secret: all that is kept of a secret which the Keyring no longer
// has. Nothing opens with it.
type Namer struct {
	hashes *sync.Pool // of hash.Hash: HMAC-SHA-256, which costs four compressions to set up
}

// DeriveKeys derives every key of a secret, each for a purpose of its own.
func DeriveKeys(s Secret) (*Keys, error) {
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
	k := &Keys{ID: s.ID, secret: s, seal: derive("sealing"), Export: derive("export")}
	handleKey, namesKey := derive("MAC"), derive("names")
	if err != nil {
		return nil, err
	}
	if k.Handle, err = newAEAD(handleKey); err != nil {
		return nil, err
	}
	k.Namer = Namer{&sync.Pool{New: func() any { return hmac.New(sha256.New, namesKey) }}}
	k.Everything = k.Name(OfEverything, nil)
	return k, nil
}

// Secret returns the secret that the keys are derived from, for a set that follows.
func (k *Keys) Secret() Secret { return k.secret }

// newAEAD returns AES-256-GCM that draws its nonces itself: under fips140=only there is no other.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Name returns the name of a thing of some kind. Names of two kinds are never equal.
func (k Namer) Name(kind string, thing ...[]byte) Name {
	mac := k.hashes.Get().(hash.Hash)
	defer k.hashes.Put(mac)
	mac.Reset()
	buf := make([]byte, 0, 128)
	buf = AppendField(buf, []byte(kind))
	for _, t := range thing {
		buf = AppendField(buf, t)
	}
	mac.Write(buf)
	var sum [sha256.Size]byte
	return Name(mac.Sum(sum[:0])[:NameSize])
}
