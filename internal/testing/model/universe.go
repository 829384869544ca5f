package model

import (
	"slices"
	"sync"
)

// A Universe is a way to name the keys that operations are about. A Subject translates, so that the
// reference, the answers and the traces know Plain keys only, and runs in two universes compare.
type Universe uint8

// The universes.
const (
	Plain     Universe = iota // the keys that have broken caches: see Op.Key
	Colliding                 // the same keys, each part of legal length one of 64 bytes, all with one XXH64
)

func (u Universe) String() string {
	if u == Colliding {
		return "model.Colliding"
	}
	return "model.Plain"
}

// Of returns the key that stands for a plain one.
func (u Universe) Of(plain Key) Key { return Key{u.OfPart(plain.Partial), u.OfPart(plain.ID)} }

// OfPart returns the part that stands for a plain one. Parts that are too long stay: they must fail.
func (u Universe) OfPart(plain string) string {
	if u != Colliding {
		return plain
	}
	if renamed, ok := collidingParts().of[plain]; ok {
		return renamed
	}
	return plain
}

// Plain returns the key that u has renamed. What u never made stays, and the reference rejects it.
func (u Universe) Plain(renamed Key) Key {
	if u != Colliding {
		return renamed
	}
	for _, part := range []*string{&renamed.Partial, &renamed.ID} {
		if plain, ok := collidingParts().plain[*part]; ok {
			*part = plain
		}
	}
	return renamed
}

// A renaming maps parts of keys both ways.
type renaming struct{ of, plain map[string]string }

// collidingParts gives every legal part of the plain universe a colliding one.
var collidingParts = sync.OnceValue(func() renaming {
	r := renaming{map[string]string{}, map[string]string{}}
	for _, part := range slices.Concat(partials[:], ids[:]) {
		if _, again := r.of[part]; again || len(part) > MaxKeyPart {
			continue
		}
		to := CollidingPart(uint64(len(r.of)) + 1)
		r.of[part], r.plain[to] = to, part
	}
	return r
})
