package fuzz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// FuzzSnapshot reads any bytes as a snapshot into a cache that holds sessions. An error must leave the cache as it was. Else
// a snapshot of the result must be read back to the same sessions. A second reading has the checksums put right, so
// that what lies behind them is reached.
func FuzzSnapshot(f *testing.F) {
	for _, seed := range snapshotSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkSnapshot(t, data)
		checkSnapshot(t, withChecksums(data))
	})
}

// bytesCache makes a cache of bytes that holds a session.
func bytesCache(t testing.TB, cfg fastcache.Config[string]) *fastcache.Cache[string] {
	t.Helper()
	c, err := fastcache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Update(fastcache.Key{Partial: "mine", ID: "1"}, "mine"); err != nil {
		t.Fatal(err)
	}
	return c
}

var errNoText = errors.New("no text")

func encodeText(dst []byte, _ fastcache.Key, v string) ([]byte, error) { return append(dst, v...), nil }

func decodeText(_ fastcache.Key, data []byte) (string, error) {
	switch {
	case len(data) > 0 && data[0] == 'E':
		return "", errNoText
	case len(data) > 0 && data[0] == 'S':
		return "", fastcache.ErrSkipSession
	}
	return string(data), nil
}

func checkSnapshot(t *testing.T, data []byte) {
	c := bytesCache(t, fastcache.Config[string]{MaxSessions: 64, MaxPerPartial: 8, IdleTTL: time.Hour})
	defer c.Close()
	before := c.Stats()
	got, err := c.ReadSnapshot(bytes.NewReader(data), decodeText)
	if err != nil {
		if after := c.Stats(); after != before {
			t.Fatalf("ReadSnapshot = %v, and Stats are %+v; want %+v, as before", err, after, before)
		}
		if errors.Is(err, fastcache.ErrSnapshotChanged) {
			t.Fatalf("ReadSnapshot = %v, of what does not change", err)
		}
		return
	}
	if v, ok := c.Lookup(fastcache.Key{Partial: "mine", ID: "1"}); !ok || v != "mine" {
		t.Fatalf("the cache's own session is %q, %v", v, ok)
	}
	var again bytes.Buffer
	if _, err := c.WriteSnapshot(&again, encodeText); err != nil {
		t.Fatal(err)
	}
	to, err := fastcache.New(fastcache.Config[string]{IdleTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := to.ReadSnapshot(bytes.NewReader(again.Bytes()), decodeText); err != nil {
		t.Fatalf("a snapshot of what was read (%+v) is not read: %v", got, err)
	}
	for e := range to.Entries() {
		if v, ok := c.Peek(e.Key); ok && v.Value != e.Value {
			t.Fatalf("session %.40q is %.40q once restored, and was %.40q", e.Key, e.Value, v.Value)
		}
	}
}

// withChecksums puts the checksums of a snapshot right, as far as its blocks go.
func withChecksums(data []byte) []byte {
	const head, frame, check = 32, 17, 8
	out := bytes.Clone(data)
	if len(out) < head {
		return out
	}
	binary.LittleEndian.PutUint64(out[head-check:], xxh64(out[:head-check]))
	for at := head; len(out)-at >= frame; {
		at += frame + int(binary.LittleEndian.Uint32(out[at+1:])%(1<<20))
		if at+check > len(out) {
			break
		}
		binary.LittleEndian.PutUint64(out[at:], xxh64(out[:at]))
		at += check
	}
	return out
}

// The checksums that a target puts right must be those of the format, or it finds nothing behind them.
func TestChecksumsArePutRight(t *testing.T) {
	c := bytesCache(t, fastcache.Config[string]{})
	defer c.Close()
	var b bytes.Buffer
	if _, err := c.WriteSnapshot(&b, encodeText); err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Clone(b.Bytes())
	for _, at := range []int{24, len(wrong) - 1} {
		wrong[at] ^= 1
	}
	if !bytes.Equal(withChecksums(wrong), b.Bytes()) {
		t.Error("a snapshot with its checksums put right is another one")
	}
}

// snapshotSeeds are snapshots of caches of several kinds.
func snapshotSeeds(f *testing.F) (seeds [][]byte) {
	seeds = append(seeds, nil, []byte("\x89SCSNAP\n"))
	for _, cfg := range []fastcache.Config[string]{{}, {NoIndex: true}, {IdleTTL: time.Minute}} {
		c := bytesCache(f, cfg)
		for i := range 12 {
			key := fastcache.Key{Partial: "p"[:i%2], ID: string(rune('a' + i))}
			if err := c.UpdateOnProbation(key, "value"[:i%6], time.Duration(i+1)*time.Hour); err != nil {
				f.Fatal(err)
			}
			c.Lookup(key)
			if i%3 == 0 {
				c.Demote(key)
			}
		}
		var b bytes.Buffer
		if _, err := c.WriteSnapshot(&b, encodeText); err != nil {
			f.Fatal(err)
		}
		c.Close()
		seeds = append(seeds, b.Bytes(), b.Bytes()[:b.Len()/2])
	}
	return seeds
}
