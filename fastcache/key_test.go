package fastcache_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/sessioncache/sessioncache/fastcache"
)

// oddKeys are pairwise different keys that careless code mixes up, and long ones.
func oddKeys() []fastcache.Key {
	keys := []fastcache.Key{
		{}, {Partial: "a"}, {ID: "a"}, {Partial: "\x00"}, {ID: "\x00"}, {Partial: "\x00", ID: "\x00"},
		{Partial: "a", ID: "bc"}, {Partial: "ab", ID: "c"}, {Partial: "abc"}, {ID: "abc"},
		{Partial: "a\x00", ID: "bc"}, {Partial: "a", ID: "\x00bc"}, {Partial: "a\x00b", ID: "c"},
		{Partial: "\xff\xfe", ID: "\x80"}, {Partial: "ä", ID: "日本"},
	}
	for _, n := range []int{19, 20, 31, 32, 33, 37, 38, 39, 51, 52, 64, 101, 102, 103, 127, 128, 254, 255, 256, 257, 4096, fastcache.MaxKeyPart - 1, fastcache.MaxKeyPart} {
		long := strings.Repeat("k", n)
		keys = append(keys,
			fastcache.Key{Partial: long}, fastcache.Key{ID: long}, fastcache.Key{Partial: long, ID: long},
			fastcache.Key{Partial: long, ID: "i"}, fastcache.Key{Partial: "p", ID: long},
			fastcache.Key{Partial: long[:n-1] + "x", ID: long}, fastcache.Key{Partial: long, ID: long[:n-1] + "x"})
	}
	return keys
}

func TestPromise9AnyKeyBytes(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		for _, noIndex := range []bool{false, true} {
			c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
			keys := oddKeys()
			for i, k := range keys {
				wantMiss(t, c, k)
				put(t, c, k, i)
			}
			for i, k := range keys {
				wantValue(t, c, k, i)
				if e, ok := c.Peek(k); !ok || e.Key != k {
					t.Errorf("Peek(%.40q) = %.40q, %v", k, e.Key, ok)
				}
				shown := 0
				for got, v := range c.SelectSession(k.Partial) {
					if got.Partial != k.Partial {
						t.Errorf("SelectSession(%.40q) shows %.40q", k.Partial, got)
					}
					if v == i {
						shown++
					}
				}
				if shown != 1 {
					t.Errorf("SelectSession(%.40q) shows the session %d times", k.Partial, shown)
				}
			}
			check(t, c)
			for k, v := range c.All() {
				if keys[v] != k {
					t.Errorf("All() shows session %d under the key %.40q", v, k)
				}
			}
			for i, k := range keys {
				if v, ok := c.Take(k); !ok || v != i {
					t.Errorf("Take(%.40q) = %v, %v; want %d", k, v, ok, i)
				}
				wantMiss(t, c, k)
			}
			if c.Size() != 0 {
				t.Errorf("Size() = %d; want 0", c.Size())
			}
		}
	})
}

func TestPromise9TooLongKeys(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{})
	long := strings.Repeat("k", fastcache.MaxKeyPart+1)
	for _, k := range []fastcache.Key{{Partial: long}, {ID: long}, {Partial: long, ID: long}} {
		if err := c.Update(k, 1); !errors.Is(err, fastcache.ErrKeyTooLong) {
			t.Errorf("Update of a key of 64 KiB + 1 = %v; want ErrKeyTooLong", err)
		}
		wantMiss(t, c, k)
		if c.Delete(k) || c.Demote(k) {
			t.Error("Delete or Demote finds a key of 64 KiB + 1")
		}
		if n := c.DeletePartial(k.Partial); n != 0 {
			t.Errorf("DeletePartial = %d; want 0", n)
		}
	}
}

// The caller may reuse the memory of the key.
func TestPromise9KeysAreCopied(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		for _, noIndex := range []bool{false, true} {
			c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
			for _, n := range []int{1, 5, 20, 32, 33, 39, 300} {
				partial, id := []byte(strings.Repeat("p", n)), []byte(strings.Repeat("i", n))
				k := fastcache.Key{Partial: unsafe.String(&partial[0], n), ID: unsafe.String(&id[0], n)}
				put(t, c, k, 1)
				put(t, c, k, n) // a replacement, too, brings a key of its own
				clear(partial)
				clear(id)
				want := fastcache.Key{Partial: strings.Repeat("p", n), ID: strings.Repeat("i", n)}
				wantValue(t, c, want, n)
				for got := range c.SelectSession(want.Partial) {
					if got != want {
						t.Errorf("SelectSession shows %q; want %q", got, want)
					}
				}
				if !c.Delete(want) {
					t.Errorf("Delete(%q) finds nothing", want)
				}
			}
		}
	})
}

// All digests are equal: nothing is confused and nothing is lost.
func TestPromise9ConstantHashIsStillCorrect(t *testing.T) {
	for _, shards := range []int{1, 8} {
		c := open(t, layout{shards: shards, mask: fastcache.HashConstant}, fastcache.Config[int]{})
		n := rounds(10_000) / shards
		for i := range n {
			put(t, c, key(fmt.Sprint(i%3), i), i)
		}
		for i := 0; i < n; i += 7 {
			wantValue(t, c, key(fmt.Sprint(i%3), i), i)
			wantMiss(t, c, key(fmt.Sprint((i+1)%3), i))
		}
		check(t, c)
		if got := len(selected(c, "0")); got != (n+2)/3 {
			t.Errorf("SelectSession shows %d sessions; want %d", got, (n+2)/3)
		}
		if got := c.DeletePartial("1"); got != (n+1)/3 {
			t.Errorf("DeletePartial = %d; want %d", got, (n+1)/3)
		}
		for i := 0; i < n; i += 11 {
			if v, ok := c.Take(key(fmt.Sprint(i%3), i)); ok != (i%3 != 1) || ok && v != i {
				t.Errorf("Take of session %d = %d, %v", i, v, ok)
			}
		}
	}
}

// Many partial keys under one digest.
func TestPromise9ManyGroupsUnderOneHash(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		for i := range 500 {
			put(t, c, key(fmt.Sprint(i), 1), i)
			put(t, c, key(fmt.Sprint(i), 2), i)
		}
		if n := c.Stats().PartialKeys; n != 500 {
			t.Errorf("%d partial keys; want 500", n)
		}
		for i := range 500 {
			if got := selected(c, fmt.Sprint(i)); len(got) != 2 || got[0] != i || got[1] != i {
				t.Errorf("SelectSession(%d) shows %v", i, got)
			}
			if i%2 == 0 {
				c.DeletePartial(fmt.Sprint(i))
			}
		}
		if n := c.Stats().PartialKeys; n != 250 || c.Size() != 500 {
			t.Errorf("%d partial keys, %d sessions; want 250, 500", n, c.Size())
		}
	})
}

// What stores a key copies it, of whatever shape: the bytes that it was made of may change afterwards.
func TestPromise2AKeyOfBytesIsCopied(t *testing.T) {
	for _, idle := range []time.Duration{0, time.Hour} {
		c := fastcache.NewForTest(fastcache.Config[int]{IdleTTL: idle}, 1, fastcache.HashGood) // a Close would hang if it fails
		for i, size := range [][2]int{{0, 5}, {5, 0}, {5, 5}, {0, 60}, {60, 0}, {0, 200}, {200, 0}, {200, 200}} {
			partial, id := bytes.Repeat([]byte{'p'}, size[0]), bytes.Repeat([]byte{'i'}, size[1])
			put(t, c, fastcache.KeyOf(partial, id), i)
			want := fastcache.Key{Partial: string(partial), ID: string(id)}
			clear(partial)
			clear(id)
			if v, ok := c.Lookup(want); !ok || v != i {
				t.Errorf("IdleTTL %v, parts of %v bytes: Lookup = %d, %v once the bytes have changed; want %d", idle, size, v, ok, i)
			}
		}
	}
}
