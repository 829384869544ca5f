package fastcache

import "github.com/sessioncache/sessioncache/internal/buckets"

// A table is the hash map of one shard. Readers take no lock; the shard's lock covers its changes.
// A reader of a table that growth has replaced sees the sessions as they were, and their
// until says which are gone by now.
type table[V any] = buckets.Table[node[V]]

// find returns the node with the key, or nil. It takes no lock and does not allocate.
func find[V any](t *table[V], hash uint32, key Key) *node[V] {
	return t.Find(hash, func(n *node[V]) bool { return hasKey(n, key) })
}
