package fastcache

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// The digest of a key under XXHash is the same in every process and on every machine, for ever: what is recorded
// of one run is compared with another.
func TestXXHashDigestsAreTheSameEverywhere(t *testing.T) {
	for range 2 {
		c := NewForTest(Config[int]{}, 1, HashGood)
		for key, want := range map[Key]uint64{
			{"", ""}:                               0x47aaaffba67b8402,
			{"a", ""}:                              0x3b80ec1ab8ff8be1,
			{"", "a"}:                              0x7aa2b03d5e2f03c0,
			{"host:443", "a session's id"}:         0x25b14e71d377ca3e,
			{"host:443", string(make([]byte, 40))}: 0xc8a46949ad26a14f,
		} {
			if got := c.digest(key); got != want {
				t.Errorf("the digest of %q is %#x; want %#x", key, got, want)
			}
		}
	}
}

// What Lookup hashes short parts with is the library's XXH64, whatever their lengths and bytes.
func TestXXH64IsTheLibrarys(t *testing.T) {
	if inlineXXH64 == 0 {
		t.Skip("not used on this architecture")
	}
	text := make([]byte, 2*inlineXXH64)
	rng := rand.NewChaCha8([32]byte{1})
	for range 200 {
		rng.Read(text)
		for n := range inlineXXH64 {
			s := string(text[n/2 : n/2+n])
			if got, want := xxh64(s), xxhash.Sum64String(s); got != want {
				t.Fatalf("the XXH64 of %q is %#x; want %#x", s, got, want)
			}
		}
	}
}

// Lookup hashes what Update stored alike, whatever the lengths of the parts.
func TestLookupHashesAllLengthsAlike(t *testing.T) {
	for _, hash := range []Hash{XXHash, SecretHash} {
		c := NewForTest(Config[int]{Hash: hash}, 8, HashGood)
		defer c.Close()
		long := strings.Repeat("0123456789", 15)
		for partial := range 70 {
			for id := range 140 {
				key := Key{long[:partial], long[partial%3:][:id]}
				mustPut(t, c, key, id)
				if v, ok := c.Lookup(key); !ok || v != id {
					t.Fatalf("Lookup of %q under %d = %d, %v; want %d", key, hash, v, ok, id)
				}
			}
		}
	}
}

// Keys that are made alike have digests that are not: whatever was exchanged, moved from one part to the
// other, or is the same in both.
func TestXXHashDigestsTellPartsApart(t *testing.T) {
	c := NewForTest(Config[int]{}, 1, HashGood)
	seen, keys := map[uint64]Key{}, 0
	add := func(key Key) {
		digest := c.digest(key)
		if other, ok := seen[digest]; ok {
			t.Errorf("%q and %q have the digest %#x", key, other, digest)
		}
		seen[digest] = key
		keys++
	}
	for i := range 10_000 {
		n := fmt.Sprint(i)
		add(Key{n, n})
		add(Key{"p" + n, "q"})
		add(Key{"q", "p" + n})
		add(Key{"p", n + "q"})
		add(Key{"p" + n + "q", ""})
	}
	if len(seen) != keys {
		t.Errorf("%d keys have %d digests", keys, len(seen))
	}
}

// Every bit of the digest is one for half of the keys, and like no other, also where both parts are the same: shard, bucket and tag
// are what bits say.
func TestXXHashDigestsUseAllBits(t *testing.T) {
	const n = 100_000
	c := NewForTest(Config[int]{}, 1, HashGood)
	rng := rand.New(rand.NewPCG(1, 2))
	for name, key := range map[string]func(i int) Key{
		"numbered":   func(i int) Key { return Key{fmt.Sprint(i % 100), fmt.Sprint(i)} },
		"both parts": func(i int) Key { return Key{fmt.Sprint(i), fmt.Sprint(i)} },
		"random":     func(int) Key { return Key{"p", fmt.Sprint(rng.Uint64())} },
	} {
		var ones [64]int
		var apart [64]uint64 // by distance, the bits that were once unlike that one
		for i := range n {
			digest := c.digest(key(i))
			for k := range apart {
				apart[k] |= digest ^ bits.RotateLeft64(digest, k)
			}
			for d := digest; d != 0; d &= d - 1 {
				ones[bits.TrailingZeros64(d)]++
			}
		}
		for k, apart := range apart[1:] {
			if apart != math.MaxUint64 {
				t.Errorf("of the keys %s, bits that are %d apart are the same in all digests: %#x", name, k+1, ^apart)
			}
		}
		for bit, n1 := range ones {
			if n1 < n/2-n/100 || n1 > n/2+n/100 { // six standard deviations
				t.Errorf("of the keys %s, bit %d is one in %d of %d digests", name, bit, n1, n)
			}
		}
	}
}

// Secret digests depend on a seed, so a peer cannot choose ids that collide, and on where a key's parts end.
func TestPromise9DigestsAreSecret(t *testing.T) {
	cfg := Config[int]{Hash: SecretHash}
	a, b := NewForTest(cfg, 1, HashGood), NewForTest(cfg, 1, HashGood)
	seen := map[uint64]bool{}
	for i := range 10_000 {
		id := fmt.Sprint(i)
		inA, partialInA := a.digest(Key{"p" + id, id}), a.partialDigest("p"+id)
		inB, partialInB := b.digest(Key{"p" + id, id}), b.partialDigest("p"+id)
		if inA == inB || partialInA == partialInB {
			t.Errorf("key %d has the same digest in two caches", i)
		}
		moved := a.digest(Key{"p", id + id})
		seen[inA], seen[moved] = true, true
	}
	if len(seen) != 20_000 {
		t.Errorf("20000 keys have %d digests", len(seen))
	}
	x, y := NewForTest(Config[int]{}, 1, HashGood), NewForTest(Config[int]{}, 1, HashGood)
	if x.partialDigest("p") == y.partialDigest("p") {
		t.Error("under XXHash a partial key has the same digest in the indexes of two caches")
	}
	parts, byID, byPartial := map[string]bool{}, map[uint64]bool{}, map[uint64]bool{}
	for id := range 256 {
		if plain := (model.Op{ID: uint8(id)}).Key().ID; len(plain) <= MaxKeyPart {
			part := model.Colliding.OfPart(plain) // all of these have one XXH64
			one := a.digest(Key{"p", part})
			other := a.digest(Key{part, "id"})
			parts[part], byID[one], byPartial[other] = true, true, true
		}
	}
	if len(parts) < 200 || len(byID) != len(parts) || len(byPartial) != len(parts) {
		t.Errorf("%d parts of one XXH64 have %d digests as ids and %d as partial keys; want 200 at least, and as many",
			len(parts), len(byID), len(byPartial))
	}
}
