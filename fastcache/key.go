package fastcache

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// A Key names one session: OTP's {partial_key(), session_id()}. Partial is what sessions
// are selected and revoked by: a host and port, a user, a tenant. Any bytes are allowed,
// the empty string included; each part may have up to MaxKeyPart bytes.
//
// Keys that the cache hands out alias its memory: strings.Clone the parts that are kept
// long, or they keep the whole entry alive, its value included. They keep no other, once the session has
// left the cache; but of a cache that was dropped without Close, those of the same partial key.
type Key struct {
	Partial string // the group that the session belongs to
	ID      string // the session within its group
}

// KeyOf returns a key of strings or bytes, without copying them: Lookup with an id that came as bytes allocates nothing. No
// call keeps it: what stores copies it. But the key is the bytes, so do not change them while it is in use.
func KeyOf[P, I string | []byte](partial P, id I) Key {
	return Key{Partial: aliasOf(partial), ID: aliasOf(id)}
}

// aliasOf returns a string of the same bytes. A slice begins with what a string is: a pointer and a length.
func aliasOf[S string | []byte](s S) string { return *(*string)(unsafe.Pointer(&s)) }

// MaxKeyPart is the largest length of each part of a Key, in bytes.
const MaxKeyPart = 64 << 10

// checkLength returns the error of a key with a part that is too long. It does not show the key.
func checkLength(key Key) error {
	switch {
	case len(key.Partial) > MaxKeyPart:
		return fmt.Errorf("%w: Partial has %d bytes; want at most %d", ErrKeyTooLong, len(key.Partial), MaxKeyPart)
	case len(key.ID) > MaxKeyPart:
		return fmt.Errorf("%w: ID has %d bytes; want at most %d", ErrKeyTooLong, len(key.ID), MaxKeyPart)
	}
	return nil
}

// partialTurn is by how many bits the hash of a partial key is rotated before it is combined with that of the id.
// Without a rotation, a key and the one with its parts exchanged had one digest, and all keys whose parts are the same
// had the digest zero. With an odd rotation those lose one bit; with an even one they would lose more.
const partialTurn = 31

// digest returns the digest that keys the map. Each part is hashed by itself, so it matters where the one
// ends and the other begins. Lookup has the same code written out.
func (c *Cache[V]) digest(key Key) uint64 {
	if c.secret {
		return maphash.Comparable(c.seed, key) & c.hashMask
	}
	return xxhashOf(key)
}

// xxhashOf returns the digest under XXHash.
func xxhashOf(key Key) uint64 {
	return xxhash.Sum64String(key.ID) ^ bits.RotateLeft64(xxhash.Sum64String(key.Partial), partialTurn)
}

// partialDigest returns the digest that keys the index. It is secret in every cache: a partial key's group
// cannot make room as a session can, so no peer may know which of them share a bucket.
func (c *Cache[V]) partialDigest(partial string) uint64 {
	return maphash.Comparable(c.seed, partial) & c.hashMask
}
