package fastcache_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// encodeInt and decodeInt are for values that are ints.
func encodeInt(dst []byte, _ fastcache.Key, v int) ([]byte, error) {
	return binary.AppendVarint(dst, int64(v)), nil
}

func decodeInt(_ fastcache.Key, data []byte) (int, error) {
	v, n := binary.Varint(data)
	if n <= 0 || n != len(data) {
		return 0, errors.New("no int")
	}
	return int(v), nil
}

// snapshotOf writes a snapshot and checks how many sessions that says it has.
func snapshotOf(t testing.TB, c *fastcache.Cache[int]) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := c.WriteSnapshot(&b, encodeInt)
	if err != nil {
		t.Fatalf("WriteSnapshot: %v", err)
	}
	alive := 0
	for range c.All() {
		alive++
	}
	if n != alive {
		t.Fatalf("WriteSnapshot wrote %d sessions; want %d", n, alive)
	}
	return b.Bytes()
}

// read reads a snapshot, and fails the test if the counts are not as they should be.
func read(t testing.TB, c *fastcache.Cache[int], snapshot []byte, want fastcache.Restored) {
	t.Helper()
	got, err := c.ReadSnapshot(bytes.NewReader(snapshot), decodeInt)
	if err != nil || got != want {
		t.Fatalf("ReadSnapshot = %+v, %v; want %+v", got, err, want)
	}
}

// content shows all sessions of a cache: those of a partial key newest first.
func content(c *fastcache.Cache[int]) map[string][]fastcache.Entry[int] {
	all := map[string][]fastcache.Entry[int]{}
	for partial := range c.Partials() {
		for e := range c.SelectEntries(partial) {
			all[partial] = append(all[partial], e)
		}
	}
	return all
}

// wantContent compares content: keys, order, values and deadlines.
func wantContent(t testing.TB, c *fastcache.Cache[int], want map[string][]fastcache.Entry[int]) {
	t.Helper()
	got := content(c)
	if len(got) != len(want) {
		t.Errorf("%d partial keys; want %d", len(got), len(want))
	}
	for partial, entries := range want {
		same := slices.EqualFunc(got[partial], entries, func(a, b fastcache.Entry[int]) bool {
			return a.Key == b.Key && a.Value == b.Value && a.Expires.Equal(b.Expires)
		})
		if !same {
			t.Errorf("sessions of %.20q: %.300v; want %.300v", partial, got[partial], entries)
		}
	}
}

// filled fills a cache with sessions of different lives, in partial keys of different sizes, and replaces some.
func filled(t testing.TB, c *fastcache.Cache[int]) {
	t.Helper()
	long := strings.Repeat("p", fastcache.MaxKeyPart)
	value := 0
	for _, group := range []struct {
		partial string
		size    int
	}{{"", 3}, {"lone", 1}, {"a\x00", 40}, {"gateway:443", 700}, {long, 3}} {
		for i := range group.size + group.size/4 {
			value++
			putTTL(t, c, key(group.partial, i%group.size), value, time.Hour+time.Duration(i*7%13)*time.Minute)
		}
	}
	put(t, c, fastcache.Key{Partial: "ends", ID: strings.Repeat("i", fastcache.MaxKeyPart)}, -1)
	putTTL(t, c, fastcache.Key{}, 77, 1<<63-1)
}

// A snapshot holds every session with its deadline, and those of a partial key in their order, whatever layout and hash write
// it and read it.
func TestASnapshotIsReadAsItWasWritten(t *testing.T) {
	for _, from := range layouts() {
		everyBubble(t, func(t *testing.T, to layout) {
			c := open(t, from, fastcache.Config[int]{})
			filled(t, c)
			time.Sleep(time.Minute)
			want := content(c)
			snapshot := snapshotOf(t, c)
			wantContent(t, c, want)
			restored := open(t, to, fastcache.Config[int]{OnRemove: func(r fastcache.Removal[int]) {
				if r.Reason != fastcache.Closed {
					t.Errorf("OnRemove is told %v", r.Reason)
				}
			}})
			read(t, restored, snapshot, fastcache.Restored{Stored: c.Size()})
			wantContent(t, restored, want)
			for k, v := range c.All() {
				if got, ok := restored.Lookup(k); !ok || got != v {
					t.Fatalf("Lookup(%.20q) = %d, %v; want %d", k, got, ok, v)
				}
			}
			read(t, restored, snapshotOf(t, restored), fastcache.Restored{Present: c.Size()})
			wantContent(t, restored, want)
		})
	}
}

var (
	_ = fmt.Sprint
	_ = io.EOF
	_ = synctest.Test
)
