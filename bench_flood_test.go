package sessioncache_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/sessioncache/sessioncache/fastcache"
)

// XXH64's collisions are a matter of arithmetic, and peers choose session ids. A table that
// bounded nothing would put all of these into one chain.

const (
	floodKeys   = 16_384
	floodKeyLen = 64 // two stripes of four lanes, no tail

	prime1 = 11400714785074694791 // of XXH64
	prime2 = 14029467366897019727
)

// step takes a lane into an accumulator of XXH64.
func step(acc, lane uint64) uint64 { return bits.RotateLeft64(acc+lane*prime2, 31) * prime1 }

// collidingKeys returns distinct keys with one and the same XXH64. They differ in the first
// lane of each stripe: the first is free, and the second is solved so that the accumulator
// ends where it would for any other key. The six other lanes are zero.
func collidingKeys() []string {
	// Newton's iteration doubles the right low bits: 3, 6, 12, 24, 48, 96.
	inverse := uint64(prime2)
	for range 5 {
		inverse *= 2 - prime2*inverse
	}
	const end = 0x5e5510ca5e // of acc + lane*prime2 before the last rotation: anything
	p1, p2 := uint64(prime1), uint64(prime2)
	keys := make([]string, floodKeys)
	for i := range keys {
		free := mix(uint64(i))
		var key [floodKeyLen]byte
		binary.LittleEndian.PutUint64(key[:], free)
		binary.LittleEndian.PutUint64(key[32:], (end-step(p1+p2, free))*inverse)
		keys[i] = string(key[:])
	}
	return keys
}

// randomKeys returns distinct keys that look like the colliding ones.
func randomKeys() []string {
	keys := make([]string, floodKeys)
	for i := range keys {
		var key [floodKeyLen]byte
		binary.LittleEndian.PutUint64(key[:], mix(uint64(i)))
		binary.LittleEndian.PutUint64(key[32:], mix(uint64(i+floodKeys)))
		keys[i] = string(key[:])
	}
	return keys
}

// checkSums checks that the keys are distinct and how many sums they have.
func checkSums(tb testing.TB, keys []string, wantSums int) {
	tb.Helper()
	distinct, sums := map[string]bool{}, map[uint64]bool{}
	for _, key := range keys {
		distinct[key] = true
		sums[xxhash.Sum64String(key)] = true
	}
	if len(distinct) != floodKeys || len(sums) != wantSums {
		tb.Fatalf("%d distinct keys with %d sums; want %d, %d", len(distinct), len(sums), floodKeys, wantSums)
	}
}

// floods are what peers may send; sums is the number of different XXH64.
var floods = []struct {
	keys string
	make func() []string
	sums int
}{
	{"random", randomKeys, floodKeys},
	{"colliding", collidingKeys, 1},
}

// floodParts are the parts of the key that peers may choose.
var floodParts = []struct {
	part string
	key  func(chosen string) fastcache.Key
}{
	{"id", func(chosen string) fastcache.Key {
		return fastcache.Key{Partial: "host00000.example.net:443", ID: chosen}
	}},
	{"partial", func(chosen string) fastcache.Key {
		return fastcache.Key{Partial: chosen, ID: "one session id of thirty-two byte"[:idLen]}
	}},
}

// floodHashes are what may key the map.
var floodHashes = []struct {
	name string
	hash fastcache.Hash
}{{"xxhash", fastcache.XXHash}, {"secret", fastcache.SecretHash}}

// laidOut returns the strings with their bytes in one piece and in this order.
func laidOut(keys []string) []string {
	out, all := make([]string, len(keys)), strings.Join(keys, "")
	for i, key := range keys {
		out[i], all = all[:len(key)], all[len(key):]
	}
	return out
}

// BenchmarkFlood must take no more time for colliding keys than for random ones, or peers
// can stop the cache: one chain of all would take thousands of times as long. Under XXHash all
// but a crowd of those that collide have made room for each other.
func BenchmarkFlood(b *testing.B) {
	for _, flood := range floods {
		for _, part := range floodParts {
			keys := sync.OnceValue(func() []string {
				keys := flood.make()
				checkSums(b, keys, flood.sums)
				return laidOut(keys)
			})
			for _, h := range floodHashes {
				cfg := fastcache.Config[*session]{Hash: h.hash}
				name := fmt.Sprintf("hash=%s/keys=%s/part=%s/op=", h.name, flood.keys, part.part)
				b.Run(name+"update", func(b *testing.B) { floodUpdate(b, cfg, keys(), part.key) })
				b.Run(name+"lookup", func(b *testing.B) { floodLookup(b, cfg, keys(), part.key) })
			}
		}
	}
}

// floodUpdate times Updates of new keys, from an empty cache to a full one, again and again.
func floodUpdate(b *testing.B, cfg fastcache.Config[*session], keys []string, key func(string) fastcache.Key) {
	c, values := newEmpty(b, floodKeys, cfg), make([]session, floodKeys)
	i, crowded := 0, uint64(0)
	stored := func() int { // since it was empty
		before := crowded
		crowded = c.Stats().Crowded
		return c.Size() + int(crowded-before)
	}
	b.ReportAllocs()
	for b.Loop() {
		if i == len(keys) {
			b.StopTimer()
			if got := stored(); got != len(keys) {
				b.Fatalf("%d sessions stored by %d Updates", got, len(keys))
			}
			c.Clear()
			i = 0
			b.StartTimer()
		}
		if err := c.UpdateTTL(key(keys[i]), &values[i], lifeOf(i)); err != nil {
			b.Fatal(err)
		}
		i++
	}
	if got := stored(); got != i {
		b.Fatalf("%d sessions stored by %d Updates", got, i)
	}
}

// floodLookup times Lookups in another order than that of the Updates.
func floodLookup(b *testing.B, cfg fastcache.Config[*session], keys []string, key func(string) fastcache.Key) {
	c, values := newEmpty(b, floodKeys, cfg), make([]session, floodKeys)
	for i, chosen := range keys {
		if err := c.UpdateTTL(key(chosen), &values[i], lifeOf(i)); err != nil {
			b.Fatal(err)
		}
	}
	order := rand.New(rand.NewPCG(2, 3)).Perm(len(keys))
	shuffled := make([]string, len(keys))
	for i, at := range order {
		shuffled[i] = keys[at]
	}
	shuffled = laidOut(shuffled)
	all := c.Size() == len(keys)
	right, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if v, ok := c.Lookup(key(shuffled[i])); ok && v == &values[order[i]] || !ok && !all {
			right++
		}
		if i++; i == len(order) {
			i = 0
		}
	}
	if right != b.N {
		b.Fatalf("%d of %d lookups were right", right, b.N)
	}
}

func TestCollidingKeysCollide(t *testing.T) {
	for _, flood := range floods {
		checkSums(t, flood.make(), flood.sums)
	}
}

func TestCollidingKeysAreKeptApartByASecretHash(t *testing.T) {
	keys, values := collidingKeys(), make([]session, floodKeys)
	for _, part := range floodParts {
		for _, noIndex := range []bool{false, true} {
			t.Run(fmt.Sprintf("part=%s/NoIndex=%t", part.part, noIndex), func(t *testing.T) {
				c, err := fastcache.New(fastcache.Config[*session]{MaxSessions: floodKeys, NoIndex: noIndex, Hash: fastcache.SecretHash})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for i, chosen := range keys {
					if err := c.Update(part.key(chosen), &values[i]); err != nil {
						t.Fatal(err)
					}
				}
				// Every other one goes, the rest stay as they are.
				for i, chosen := range keys {
					if i%2 == 0 && !c.Delete(part.key(chosen)) {
						t.Fatalf("Delete did not find session %d", i)
					}
				}
				for i, chosen := range keys {
					key := part.key(chosen)
					v, ok := c.Lookup(key)
					if gone := i%2 == 0; ok == gone || ok && v != &values[i] {
						t.Fatalf("Lookup of session %d = %p, %t; want found: %t", i, v, ok, !gone)
					}
				}
				checkGroups(t, c, part.key, keys)
			})
		}
	}
}

// checkGroups checks that the keys with odd numbers are there, under their partial keys.
func checkGroups(t *testing.T, c *fastcache.Cache[*session], key func(string) fastcache.Key, keys []string) {
	t.Helper()
	if got, want := c.Size(), len(keys)/2; got != want {
		t.Errorf("Size() = %d; want %d", got, want)
	}
	want := map[fastcache.Key]bool{}
	for i, chosen := range keys {
		if i%2 == 1 {
			want[key(chosen)] = true
		}
	}
	got := map[fastcache.Key]bool{}
	for k := range c.All() {
		got[k] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("All yields %d keys, and not the %d that were left", len(got), len(want))
	}
	for _, i := range []int{1, len(keys) / 2, len(keys) - 1} { // without an index each is a scan
		partial := key(keys[i]).Partial
		inGroup := 0
		for k := range want {
			if k.Partial == partial {
				inGroup++
			}
		}
		selected := 0
		for k := range c.SelectSession(partial) {
			if !want[k] || k.Partial != partial {
				t.Fatalf("SelectSession(%q) yields a session of %q", partial, k.Partial)
			}
			selected++
		}
		if selected != inGroup {
			t.Errorf("SelectSession yields %d of %d sessions", selected, inGroup)
		}
	}
}
