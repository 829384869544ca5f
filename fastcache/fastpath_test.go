package fastcache

import (
	"strings"
	"testing"
)

// Lookup compares ids of 32 bytes in words, others as strings, and takes the length of an
// entry's id from a few bits: no id that is asked for may pass for another.
func TestPromise9IDsAreComparedInFull(t *testing.T) {
	const id = "0123456789abcdefghijklmnopqrstuv" // 32 bytes
	for _, mask := range []uint64{HashGood, HashConstant} {
		c := NewForTest(Config[int]{}, 1, mask)
		stored := []string{"", id[:1], id[:16], id[:31], id, id + "w", id + id, id + id + id}
		for i, id := range stored {
			if err := c.Update(Key{"p", id}, i); err != nil {
				t.Fatal(err)
			}
		}
		for i, id := range stored {
			if v, ok := c.Lookup(Key{"p", id}); v != i || !ok {
				t.Errorf("mask %#x: Lookup of an id of %d bytes = %d, %v; want %d, true", mask, len(id), v, ok, i)
			}
			for at := range len(id) {
				other := id[:at] + "!" + id[at+1:]
				if v, ok := c.Lookup(Key{"p", other}); ok {
					t.Fatalf("mask %#x: Lookup of an id of %d bytes that differs in byte %d = %d; want absent", mask, len(id), at, v)
				}
			}
			// A longer id whose length has the same low bits.
			for _, more := range []int{1 << 8, 1 << 16, 1 << 24} {
				if v, ok := c.Lookup(Key{"p", id + strings.Repeat("x", more)}); ok {
					t.Fatalf("mask %#x: Lookup of an id of %d bytes = %d; want absent", mask, len(id)+more, v)
				}
			}
		}
		c.Close()
	}
}
