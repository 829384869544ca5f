package fuzz

import (
	"encoding/binary"
	"math/bits"
)

// xxh64 is XXH64 with the seed 0, written down from its specification: this package uses no library.
func xxh64(data []byte) uint64 {
	const p1, p2, p3, p4, p5 uint64 = 0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63, 0x27d4eb2f165667c5
	round := func(acc, lane uint64) uint64 { return bits.RotateLeft64(acc+lane*p2, 31) * p1 }
	sum, size := p5, uint64(len(data))
	if len(data) >= 32 {
		acc := [4]uint64{p1, p2, 0, 0}
		acc[0] += p2 // wraps, as constants must not
		acc[3] -= p1
		for ; len(data) >= 32; data = data[32:] {
			for i := range acc {
				acc[i] = round(acc[i], binary.LittleEndian.Uint64(data[8*i:]))
			}
		}
		sum = bits.RotateLeft64(acc[0], 1) + bits.RotateLeft64(acc[1], 7) + bits.RotateLeft64(acc[2], 12) + bits.RotateLeft64(acc[3], 18)
		for _, a := range acc {
			sum = (sum^round(0, a))*p1 + p4
		}
	}
	sum += size
	for ; len(data) >= 8; data = data[8:] {
		sum = bits.RotateLeft64(sum^round(0, binary.LittleEndian.Uint64(data)), 27)*p1 + p4
	}
	if len(data) >= 4 {
		sum = bits.RotateLeft64(sum^uint64(binary.LittleEndian.Uint32(data))*p1, 23)*p2 + p3
		data = data[4:]
	}
	for _, b := range data {
		sum = bits.RotateLeft64(sum^uint64(b)*p5, 11) * p1
	}
	sum = (sum ^ sum>>33) * p2
	sum = (sum ^ sum>>29) * p3
	return sum ^ sum>>32
}
