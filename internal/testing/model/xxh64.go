package model

import (
	"encoding/binary"
	"math/bits"
)

// XXH64 with seed 0 by arithmetic, for this package imports no library. Its steps can be undone, so keys with
// whatever hash one likes take no search.

const (
	prime1 = 11400714785074694791
	prime2 = 14029467366897019727
	prime3 = 1609587929392839161
	prime4 = 9650029242287828579
	prime5 = 2870177450012600261
)

// inverse returns the number that undoes a multiplication by an odd one.
func inverse(odd uint64) uint64 {
	inv := odd // Newton's iteration doubles the right low bits: 3, 6, 12, 24, 48, 96
	for range 5 {
		inv *= 2 - odd*inv
	}
	return inv
}

// WithXXH64 returns the string of 8 bytes that has a given XXH64. There is one for each.
func WithXXH64(sum uint64) string {
	const length = 8
	h := sum ^ sum>>32
	h *= inverse(prime3)
	h ^= h>>29 ^ h>>58
	h *= inverse(prime2)
	h ^= h >> 33
	h = bits.RotateLeft64((h-prime4)*inverse(prime1), -27)
	lane := bits.RotateLeft64((h^(prime5+length))*inverse(prime1), -31) * inverse(prime2)
	return string(binary.LittleEndian.AppendUint64(nil, lane))
}

// CollidingPart returns the i-th of many strings of 64 bytes, which is two stripes of four lanes and
// no tail, with one and the same XXH64. They differ in the first lane of each stripe: the
// first is free, and the second is solved so that the accumulator ends where it does for the others.
func CollidingPart(i uint64) string {
	const end = 0x5e5510ca5e // of accumulator + lane*prime2 before the last rotation: anything
	free, start := i*0x9e3779b97f4a7c15, uint64(prime1)
	start += prime2 // which wraps, as a constant may not
	after := bits.RotateLeft64(start+free*prime2, 31) * prime1
	var part [64]byte
	binary.LittleEndian.PutUint64(part[:], free)
	binary.LittleEndian.PutUint64(part[32:], (end-after)*inverse(prime2))
	return string(part[:])
}
