package fastcache

import (
	"math/bits"
	"runtime"
	"unsafe"
)

// This is XXH64 of short strings, written out for Lookup; everything else calls the library, xxhash. A Lookup hashes two
// strings before it knows which bucket to load. The processor begins the next Lookup while this one waits for memory,
// as long as the instructions of both fit into what it holds under way at once. The library takes about 70
// instructions more for parts of 25 and 32 bytes, and in a large cache a hit then takes a third longer
// (docs/adr/0018). For the same reason this function calls nothing, not even what would be inlined, since that leaves
// marks among the instructions. TestXXH64IsTheLibrarys checks that both give the same.

// inlineXXH64 is the length from which strings go to the library. It is 0 where words may not be read at any address,
// or have their highest byte first.
var inlineXXH64 = map[string]int{"amd64": 64, "arm64": 64}[runtime.GOARCH]

const (
	prime1 = 11400714785074694791
	prime2 = 14029467366897019727
	prime3 = 1609587929392839161
	prime4 = 9650029242287828579
	prime5 = 2870177450012600261
)

// primes are those used often. From a variable they are loaded once, and not with each use as constants.
var primes = [...]uint64{prime1, prime2, prime4}

// xxh64 returns the XXH64 of a string of less than inlineXXH64 bytes.
func xxh64(s string) (h uint64) {
	p1, p2, p4 := primes[0], primes[1], primes[2]
	n, p := uint64(len(s)), unsafe.Pointer(unsafe.StringData(s))
	at := uint64(0) // p itself does not move: it must not point beyond the string
	if n < 32 {
		h = prime5 + n
	} else {
		a := bits.RotateLeft64(*(*uint64)(p)*p2+(p1+p2), 31) * p1
		b := bits.RotateLeft64(*(*uint64)(unsafe.Add(p, 8))*p2+p2, 31) * p1
		c := bits.RotateLeft64(*(*uint64)(unsafe.Add(p, 16))*p2, 31) * p1
		d := bits.RotateLeft64(*(*uint64)(unsafe.Add(p, 24))*p2-p1, 31) * p1
		h = bits.RotateLeft64(a, 1) + bits.RotateLeft64(b, 7) + bits.RotateLeft64(c, 12) + bits.RotateLeft64(d, 18)
		h = (h^bits.RotateLeft64(a*p2, 31)*p1)*p1 + p4
		h = (h^bits.RotateLeft64(b*p2, 31)*p1)*p1 + p4
		h = (h^bits.RotateLeft64(c*p2, 31)*p1)*p1 + p4
		h = (h^bits.RotateLeft64(d*p2, 31)*p1)*p1 + p4 + n
		if n == 32 {
			goto avalanche
		}
		at, n = 32, n-32
	}
	if n >= 8 {
		h = bits.RotateLeft64(h^bits.RotateLeft64(*(*uint64)(unsafe.Add(p, at))*p2, 31)*p1, 27)*p1 + p4
		if n >= 16 {
			h = bits.RotateLeft64(h^bits.RotateLeft64(*(*uint64)(unsafe.Add(p, at+8))*p2, 31)*p1, 27)*p1 + p4
			if n >= 24 {
				h = bits.RotateLeft64(h^bits.RotateLeft64(*(*uint64)(unsafe.Add(p, at+16))*p2, 31)*p1, 27)*p1 + p4
			}
		}
		at += n & 24
	}
	if n&4 != 0 {
		h = bits.RotateLeft64(h^uint64(*(*uint32)(unsafe.Add(p, at)))*p1, 23)*p2 + prime3
		at += 4
	}
	for n &= 3; n > 0; n-- {
		h = bits.RotateLeft64(h^uint64(*(*byte)(unsafe.Add(p, at)))*prime5, 11) * p1
		at++
	}
avalanche:
	h = (h ^ h>>33) * p2
	h = (h ^ h>>29) * prime3
	return h ^ h>>32
}
