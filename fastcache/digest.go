package fastcache

import "hash/maphash"

// digest returns the digest that keys the map. Peers choose session ids, and XXH64 collides
// on demand for every seed, so the hash is maphash under the cache's secret seed. One call
// hashes both parts: putting XXH64 on top took a third of a Lookup that hits the processor's
// own caches (docs/adr/0006).
func (c *Cache[V]) digest(key Key) uint64 { return maphash.Comparable(c.seed, key) & c.hashMask }

// partialDigest returns the digest that keys the index.
func (c *Cache[V]) partialDigest(partial string) uint64 {
	return maphash.Comparable(c.seed, partial) & c.hashMask
}
