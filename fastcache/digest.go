package fastcache

import (
	"hash/maphash"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

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
