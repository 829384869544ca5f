// Package maphash stands in for hash/maphash: a run that is repeated must hash alike.
package maphash

import (
	"fmt"
	"hash/fnv"
)

// Seed is maphash.Seed.
type Seed struct{}

// MakeSeed returns the only Seed.
func MakeSeed() Seed { return Seed{} }

// Comparable hashes a value by what it is printed as.
func Comparable[T comparable](_ Seed, v T) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%#v", v)
	const mix = 0x9e3779b97f4a7c15 // or similar values differ in their low bits only
	sum := h.Sum64() * mix
	return sum ^ sum>>29
}
