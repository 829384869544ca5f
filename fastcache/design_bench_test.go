package fastcache

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/puzpuzpuz/xsync/v3"
)

// The benchmarks behind the decisions in docs/adr. They compare what was built with what
// was not; the headline benchmarks of the public API are at the root of the module.

// designKeys returns n keys of the reference workload, a hundred thousand partial keys.
func designKeys(n int) []Key {
	keys := make([]Key, n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range keys {
		keys[i] = Key{
			Partial: fmt.Sprintf("host%05d.example.net:443", i%100000),
			ID:      fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64()),
		}
	}
	return keys
}

// BenchmarkDigest compares ways to hash both parts of a key (ADR 6).
func BenchmarkDigest(b *testing.B) {
	keys := designKeys(1 << 10)
	c, _ := New(Config[int]{})
	pair := func(partial, id uint64) uint64 {
		var halves [16]byte
		binary.LittleEndian.PutUint64(halves[:8], partial)
		binary.LittleEndian.PutUint64(halves[8:], id)
		return xxhash.Sum64(halves[:])
	}
	var sink uint64
	for _, bench := range []struct {
		name string
		hash func(Key) uint64
	}{
		{"maphash", c.digest},
		{"maphash+xxhash", func(k Key) uint64 { return pair(maphash.String(c.seed, k.Partial), maphash.String(c.seed, k.ID)) }},
		{"xxhash", func(k Key) uint64 { return pair(xxhash.Sum64String(k.Partial), xxhash.Sum64String(k.ID)) }},
	} {
		b.Run("hash="+bench.name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				sink += bench.hash(keys[i&(len(keys)-1)])
			}
		})
	}
	_ = sink
}

// BenchmarkTable compares the table with xsync v3's MapOf, both with the same keys, digests
// and entries, for hits in random order over a million sessions (ADR 1).
func BenchmarkTable(b *testing.B) {
	const n = 1 << 20
	keys := designKeys(n)
	c, _ := New(Config[*int]{MaxSessions: n})
	m := xsync.NewMapOfWithHasher[Key, *node[*int]](func(k Key, seed uint64) uint64 {
		return c.digest(k) ^ seed
	})
	value := new(int)
	for _, k := range keys {
		if err := c.Update(k, value); err != nil {
			b.Fatal(err)
		}
	}
	for s := range c.eachShard {
		for slot := range s.mu.place {
			if n := s.nodeLocked(uint32(slot)); n != nil {
				m.Store(keyOf(n), n)
			}
		}
	}
	order := make([]Key, n) // access order: each access with key bytes of its own
	for i, j := range rand.New(rand.NewPCG(3, 4)).Perm(n) {
		order[i] = Key{Partial: strings.Clone(keys[j].Partial), ID: strings.Clone(keys[j].ID)}
	}
	find := map[string]func(Key) bool{
		"ours": func(k Key) bool {
			d := c.digest(k)
			n := find(c.shardOf(d).table.Load(), uint32(d), k)
			return n != nil && n.Item.until.Load() > 0
		},
		"xsync": func(k Key) bool {
			n, ok := m.Load(k)
			return ok && n.Item.until.Load() > 0
		},
	}
	for _, name := range []string{"ours", "xsync"} {
		b.Run("table="+name, func(b *testing.B) {
			b.ReportAllocs()
			hits, calls := 0, 0
			for b.Loop() {
				if find[name](order[calls&(n-1)]) {
					hits++
				}
				calls++
			}
			if hits != calls {
				b.Fatalf("%d hits in %d lookups; want all", hits, calls)
			}
		})
	}
}
