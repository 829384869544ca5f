package cachetest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// valuesOf stores values of one type under keys whose bytes fill an entry to the brim, or lie
// behind it, and expects each back, also after collections and replacements.
func valuesOf[V comparable](t *testing.T, value func(i int) V) {
	var v V
	t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
		for _, noIndex := range []bool{false, true} {
			c, err := fastcache.New(fastcache.Config[V]{NoIndex: noIndex})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			lengths := []int{0, 1, 37, 38, 39, 101, 102, 103, 300}
			keyOf := func(i int) fastcache.Key {
				return fastcache.Key{Partial: strings.Repeat("p", i%2), ID: strings.Repeat("i", lengths[i/2])}
			}
			for range 2 { // the second time as replacements
				for i := range 2 * len(lengths) {
					if err := c.Update(keyOf(i), value(i)); err != nil {
						t.Fatal(err)
					}
				}
				runtime.GC()
				for i := range 2 * len(lengths) {
					if v, ok := c.Lookup(keyOf(i)); !ok || v != value(i) {
						t.Errorf("Lookup(%q) = %.40v, %v; want value %d", keyOf(i), v, ok, i)
					}
					if e, ok := c.Peek(keyOf(i)); !ok || e.Key != keyOf(i) {
						t.Errorf("Peek(%q) = %q, %v", keyOf(i), e.Key, ok)
					}
				}
			}
			for i := range 2 * len(lengths) {
				if got, ok := c.Take(keyOf(i)); !ok || got != value(i) {
					t.Errorf("Take(%q) = %.40v, %v; want value %d", keyOf(i), got, ok, i)
				}
			}
			var zero V
			if got, ok := c.Take(keyOf(0)); ok || got != zero {
				t.Errorf("Take = %.40v, %v of an empty cache; want the zero value", got, ok)
			}
		}
	})
}

// Values of no size, of odd sizes, and larger than any size class do not get in the key's way.
func TestPromise9ValuesOfAnySize(t *testing.T) {
	valuesOf(t, func(int) struct{} { return struct{}{} })
	valuesOf(t, func(int) [0]*int { return [0]*int{} })
	valuesOf(t, func(i int) bool { return i%2 == 0 })
	valuesOf(t, func(i int) [3]byte { return [3]byte{byte(i), 1, byte(i)} })
	valuesOf(t, func(i int) complex128 { return complex(float64(i), 1) })
	valuesOf(t, func(i int) any { return strings.Repeat("v", i) })
	valuesOf(t, func(i int) string { return strings.Repeat("v", 1000*i) })
	valuesOf(t, func(i int) (v [64 << 10]byte) {
		v[0], v[len(v)-1] = byte(i), byte(i+1)
		return v
	})
}
