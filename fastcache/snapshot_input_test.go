package fastcache_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sessioncache/sessioncache/fastcache"
)

// Where things are in a snapshot: see docs/snapshots.md.
const (
	headSize  = 32
	frameSize = 17
	checkSize = 8
)

// smallSnapshot is a snapshot of a few sessions in several blocks.
func smallSnapshot(t testing.TB) ([]byte, *fastcache.Cache[int]) {
	t.Helper()
	c, err := fastcache.New(fastcache.Config[int]{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	for id := range 300 {
		put(t, c, key([]string{"a", "b", "gateway:443"}[min(id, 2)], id), id)
	}
	return snapshotOf(t, c), c
}

// untouched makes a cache and returns a check that nothing has changed in it since.
func untouched(t testing.TB) (c *fastcache.Cache[int], check func(what any)) {
	t.Helper()
	c, err := fastcache.New(fastcache.Config[int]{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	put(t, c, key("mine", 1), 1)
	put(t, c, key("gateway:443", 7), -7)
	before := c.Stats()
	return c, func(what any) {
		t.Helper()
		if after := c.Stats(); after != before {
			t.Fatalf("%v: Stats = %+v; want %+v, as before", what, after, before)
		}
		for k, want := range map[fastcache.Key]int{key("mine", 1): 1, key("gateway:443", 7): -7} {
			if e, ok := c.Peek(k); !ok || e.Value != want {
				t.Fatalf("%v: %v is %d, %v; want %d", what, k, e.Value, ok, want)
			}
		}
	}
}

// A snapshot that ends anywhere before its end is an error and changes nothing.
func TestATruncatedSnapshotChangesNothing(t *testing.T) {
	snapshot, _ := smallSnapshot(t)
	c, check := untouched(t)
	for size := 0; size < len(snapshot); size += 10 / rounds(10) {
		_, err := c.ReadSnapshot(bytes.NewReader(snapshot[:size]), decodeInt)
		if !errors.Is(err, fastcache.ErrBadSnapshot) {
			t.Fatalf("%d of %d bytes: ReadSnapshot = %v; want ErrBadSnapshot", size, len(snapshot), err)
		}
		check(size)
	}
}

// Of 10 000 changed snapshots each is an error that changes nothing, or it is a snapshot of the same sessions.
func TestAChangedSnapshotChangesNothing(t *testing.T) {
	snapshot, _ := smallSnapshot(t)
	random := rand.New(rand.NewPCG(1, 2))
	c, check := untouched(t)
	for i := range rounds(10_000) {
		changed := change(random, snapshot)
		if bytes.Equal(changed, snapshot) {
			continue
		}
		if _, err := c.ReadSnapshot(bytes.NewReader(changed), decodeInt); err == nil {
			t.Fatalf("change %d was not noticed", i)
		}
		check(i)
	}
}

// change damages a snapshot: a bit, a byte, a row of bytes, a piece left out, doubled or moved.
func change(random *rand.Rand, snapshot []byte) []byte {
	out := slices.Clone(snapshot)
	at, size := random.IntN(len(out)), 1+random.IntN(64)
	if random.IntN(4) == 0 {
		at = random.IntN(2 * headSize) // the head and the first frame
	}
	end := min(at+size, len(out))
	switch random.IntN(7) {
	case 0:
		out[at] ^= 1 << random.IntN(8)
	case 1:
		out[at] = byte(random.Uint32())
	case 2:
		for i := at; i < end; i++ {
			out[i] = byte(random.Uint32())
		}
	case 3:
		out = slices.Delete(out, at, end)
	case 4:
		out = slices.Insert(out, at, snapshot[at:end]...)
	case 5:
		piece := slices.Clone(out[at:end])
		out = slices.Delete(out, at, end)
		out = slices.Insert(out, random.IntN(len(out)+1), piece...)
	case 6:
		out = append(out, snapshot[at:end]...)
	}
	return out
}

// What is no snapshot, or one of a newer format, says so.
func TestForeignAndFutureSnapshotsAreToldApart(t *testing.T) {
	snapshot, _ := smallSnapshot(t)
	future := slices.Clone(snapshot)
	future[8]++
	c, check := untouched(t)
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, fastcache.ErrBadSnapshot},
		{"text", []byte(strings.Repeat("not a snapshot\n", 100)), fastcache.ErrBadSnapshot},
		{"zeros", make([]byte, 4096), fastcache.ErrBadSnapshot},
		{"a newer format", future, fastcache.ErrSnapshotVersion},
		{"two snapshots", slices.Concat(snapshot, snapshot), fastcache.ErrBadSnapshot},
	} {
		got, err := c.ReadSnapshot(bytes.NewReader(tt.data), decodeInt)
		if !errors.Is(err, tt.want) || got != (fastcache.Restored{}) {
			t.Errorf("%s: ReadSnapshot = %+v, %v; want %v", tt.name, got, err, tt.want)
		}
		check(tt.name)
	}
}

// snapshotWith makes a snapshot by hand, of one block with a body, whose checksums are right.
func snapshotWith(sessions uint32, body []byte) []byte {
	out := append([]byte("\x89SCSNAP\n"), 1, 0, 0, 0, 0, 0, 0, 0)
	out = binary.LittleEndian.AppendUint64(out, 42)
	out = binary.LittleEndian.AppendUint64(out, xxhash.Sum64(out))
	for _, block := range []struct {
		kind     byte
		sessions uint32
		body     []byte
	}{{1, sessions, body}, {2, 0, binary.LittleEndian.AppendUint64(nil, uint64(sessions))}} {
		out = append(out, block.kind)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(block.body)))
		out = binary.LittleEndian.AppendUint32(out, block.sessions)
		out = binary.LittleEndian.AppendUint64(out, uint64(time.Now().UnixNano()))
		out = append(out, block.body...)
		out = binary.LittleEndian.AppendUint64(out, xxhash.Sum64(out))
	}
	return out
}

// rawRecord is a session as it stands in a block, with any numbers.
func rawRecord(flags byte, partial, id, life uint64, value uint32, rest string) []byte {
	out := []byte{flags}
	for _, n := range []uint64{partial, id, life} {
		out = binary.AppendUvarint(out, n)
	}
	return append(binary.LittleEndian.AppendUint32(out, value), rest...)
}

// Checksums are no secret: whoever makes a snapshot can make them right. Every number in it is checked all the same.
func TestAHostileSnapshotChangesNothing(t *testing.T) {
	c, _ := untouched(t)
	good := rawRecord(0, 1, 1, uint64(time.Hour), 1, "pi\x02")
	if got, err := c.ReadSnapshot(bytes.NewReader(snapshotWith(1, good)), decodeInt); err != nil || got.Stored != 1 {
		t.Fatalf("ReadSnapshot of a good one = %+v, %v; the test proves nothing", got, err)
	}
	c, check := untouched(t)
	long := strings.Repeat("x", fastcache.MaxKeyPart+1)
	for _, tt := range []struct {
		name     string
		sessions uint32
		body     []byte
	}{
		{"more sessions than it says", 1, slices.Concat(good, good)},
		{"fewer sessions than it says", 2, good},
		{"no session where there is one", 0, good},
		{"bytes after the last one", 1, slices.Concat(good, []byte{0})},
		{"a partial key beyond the block", 1, rawRecord(0, 5, 0, 1, 0, "p")},
		{"an id beyond the block", 1, rawRecord(0, 1, 5, 1, 0, "p")},
		{"a value beyond the block", 1, rawRecord(0, 1, 1, 1, math.MaxUint32, "pi")},
		{"lengths whose sum wraps", 1, rawRecord(0, math.MaxInt64, math.MaxInt64, 1, 4, "pi")},
		{"a partial key that is too long", 1, rawRecord(0, uint64(len(long)), 0, uint64(time.Hour), 1, long+"\x02")},
		{"an id that is too long", 1, rawRecord(0, 0, uint64(len(long)), uint64(time.Hour), 1, long+"\x02")},
		{"no life", 1, rawRecord(0, 1, 1, 0, 1, "pi\x02")},
		{"a life beyond int64", 1, rawRecord(0, 1, 1, 1<<63, 1, "pi\x02")},
		{"an unknown flag", 1, rawRecord(1<<7, 1, 1, uint64(time.Hour), 1, "pi\x02")},
		{"demoted and returning", 1, rawRecord(1<<2|1<<3, 1, 1, uint64(time.Hour), 1, "pi\x02")},
		{"an idle life that is missing", 1, rawRecord(1<<5, 1, 1, uint64(time.Hour), 1, "pi\x02")[:8]},
		{"a number without an end", 1, bytes.Repeat([]byte{0x80}, 40)},
		{"a value that does not decode", 1, rawRecord(0, 1, 1, uint64(time.Hour), 0, "pi")},
	} {
		if _, err := c.ReadSnapshot(bytes.NewReader(snapshotWith(tt.sessions, tt.body)), decodeInt); err == nil {
			t.Errorf("%s: ReadSnapshot returns no error", tt.name)
		} else if strings.Contains(err.Error(), "pi") {
			t.Errorf("%s: the error shows the key: %v", tt.name, err)
		}
		check(tt.name)
	}
}

// The largest numbers saturate: a life of 292 years is one, by a wall clock of any time.
func TestTheLargestLivesAndClocksSaturate(t *testing.T) {
	body := rawRecord(0, 1, 1, math.MaxInt64, 1, "pi\x02")
	for _, wall := range []int64{math.MinInt64, -1, 0, math.MaxInt64} {
		snapshot := snapshotWith(1, body)
		binary.LittleEndian.PutUint64(snapshot[headSize+9:], uint64(wall))
		frameEnd := headSize + frameSize + len(body)
		binary.LittleEndian.PutUint64(snapshot[frameEnd:], xxhash.Sum64(snapshot[:frameEnd]))
		end := len(snapshot) - checkSize
		binary.LittleEndian.PutUint64(snapshot[end:], xxhash.Sum64(snapshot[:end]))
		c := fastcache.NewForTest(fastcache.Config[int]{IdleTTL: math.MaxInt64}, 1, fastcache.HashGood)
		got, err := c.ReadSnapshot(bytes.NewReader(snapshot), decodeInt)
		if err != nil || got.Stored+got.Expired != 1 {
			t.Errorf("wall clock %d: ReadSnapshot = %+v, %v; want one session", wall, got, err)
		}
		if e, ok := c.Peek(fastcache.Key{Partial: "p", ID: "i"}); ok && !e.Expires.After(time.Now()) {
			t.Errorf("wall clock %d: the session expires at %v", wall, e.Expires)
		}
		check(t, c)
		c.Close()
	}
}

// A length in a block's frame is not believed: no more memory is taken than there are bytes.
func TestNoMemoryIsTakenForBytesThatAreNotThere(t *testing.T) {
	snapshot, _ := smallSnapshot(t)
	short := slices.Clone(snapshot[:headSize+frameSize+100])
	binary.LittleEndian.PutUint32(short[headSize+1:], 16<<20)
	c, check := untouched(t)
	if _, err := c.ReadSnapshot(bytes.NewReader(short), decodeInt); !errors.Is(err, fastcache.ErrBadSnapshot) {
		t.Fatalf("ReadSnapshot = %v; want ErrBadSnapshot", err)
	}
	check("before")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const rounds = 8
	for range rounds {
		c.ReadSnapshot(bytes.NewReader(short), decodeInt)
	}
	runtime.ReadMemStats(&after)
	if perRound := (after.TotalAlloc - before.TotalAlloc) / rounds; perRound > 2<<20 {
		t.Errorf("a block that says it has 16 MiB, and has not, takes %d bytes; want less than 2 MiB", perRound)
	}
}

// An error of decode, of whatever session, changes nothing, and is the one that ReadSnapshot returns.
func TestAValueThatDoesNotDecodeChangesNothing(t *testing.T) {
	snapshot, _ := smallSnapshot(t)
	c, check := untouched(t)
	wrong := errors.New("no such cipher")
	for bad := 0; bad < 300; bad += 37 {
		seen := 0
		_, err := c.ReadSnapshot(bytes.NewReader(snapshot), func(k fastcache.Key, data []byte) (int, error) {
			if seen++; seen > bad {
				return 0, wrong
			}
			return decodeInt(k, data)
		})
		if !errors.Is(err, wrong) {
			t.Fatalf("ReadSnapshot = %v; want what decode returned", err)
		}
		check(bad)
	}
}

// A seeker shows other bytes from its second pass on.
type seeker struct {
	passes [2]io.ReadSeeker
	seeks  int
	seek   error
}

func (s *seeker) Read(p []byte) (int, error) { return s.passes[min(s.seeks/2, 1)].Read(p) }
func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	s.seeks++
	if s.seeks == 2 && s.seek != nil {
		return 0, s.seek
	}
	return s.passes[min(s.seeks/2, 1)].Seek(offset, whence)
}

// A snapshot that changes between the two passes is noticed: nothing of a block that was changed is stored, and nothing at all of
// another snapshot.
func TestASnapshotThatChangesWhileItIsReadIsNoticed(t *testing.T) {
	snapshot, source := smallSnapshot(t)
	other := snapshotOf(t, source)
	changed := slices.Clone(snapshot)
	changed[len(changed)-headSize-frameSize-checkSize-1] ^= 1 // in the last block of sessions
	for _, tt := range []struct {
		name   string
		second []byte
		most   int // sessions that may be stored
	}{
		{"another snapshot", other, 0},
		{"what is none", []byte("nothing"), 0},
		{"a newer format", append(slices.Clone(snapshot[:8]), 9, 9), 0},
		{"a block that was changed", changed, 299},
		{"cut short", snapshot[:len(snapshot)-1], 300},
		{"cut in the first block", snapshot[:headSize+frameSize+50], 0},
	} {
		c := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
		r := &seeker{passes: [2]io.ReadSeeker{bytes.NewReader(snapshot), bytes.NewReader(tt.second)}}
		got, err := c.ReadSnapshot(r, decodeInt)
		if !errors.Is(err, fastcache.ErrSnapshotChanged) || errors.Is(err, fastcache.ErrBadSnapshot) {
			t.Errorf("%s: ReadSnapshot = %v; want ErrSnapshotChanged", tt.name, err)
		}
		if got.Stored > tt.most || got.Stored != c.Size() {
			t.Errorf("%s: %d sessions are stored, and there are %d; want %d at most", tt.name, got.Stored, c.Size(), tt.most)
		}
		check(t, c)
		c.Close()
	}
}

// Errors of the reader and the writer come back as they are.
func TestErrorsOfReadersAndWritersComeBack(t *testing.T) {
	fastcache.SkipUnderRace(t)
	snapshot, source := smallSnapshot(t)
	c, check := untouched(t)
	broken := errors.New("the disk is broken")
	half := io.MultiReader(bytes.NewReader(snapshot[:len(snapshot)/2]), iotest.ErrReader(broken))
	first := &seeker{passes: [2]io.ReadSeeker{onlyRead{half}, nil}}
	seek := &seeker{passes: [2]io.ReadSeeker{bytes.NewReader(snapshot), nil}, seek: broken}
	for name, r := range map[string]io.ReadSeeker{"read": first, "seek": seek} {
		if _, err := c.ReadSnapshot(r, decodeInt); !errors.Is(err, broken) || errors.Is(err, fastcache.ErrBadSnapshot) {
			t.Errorf("%s: ReadSnapshot = %v; want the reader's error", name, err)
		}
		check(name)
	}
	for limit := range len(snapshot) {
		if _, err := source.WriteSnapshot(&full{limit, broken}, encodeInt); !errors.Is(err, broken) {
			t.Fatalf("WriteSnapshot to a disk with %d bytes left = %v; want the writer's error", limit, err)
		}
	}
	if _, err := source.WriteSnapshot(&full{100, nil}, encodeInt); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("WriteSnapshot that writes less without an error = %v; want ErrShortWrite", err)
	}
	_, err := source.WriteSnapshot(io.Discard, func([]byte, fastcache.Key, int) ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("WriteSnapshot = %v; want what encode returned", err)
	}
	if _, err := source.WriteSnapshot(io.Discard, func([]byte, fastcache.Key, int) ([]byte, error) { return make([]byte, 16<<20+1), nil }); err == nil {
		t.Error("WriteSnapshot of a value beyond 16 MiB returns no error")
	}
}

// onlyRead is a reader that stays where it is.
type onlyRead struct{ io.Reader }

func (onlyRead) Seek(int64, int) (int64, error) { return 0, nil }

// full is a disk with little room left.
type full struct {
	left int
	err  error
}

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	if n < len(p) {
		return n, f.err
	}
	return n, nil
}

// A snapshot is read from where the reader stands.
func TestASnapshotIsReadFromWhereTheReaderStands(t *testing.T) {
	snapshot, source := smallSnapshot(t)
	r := bytes.NewReader(slices.Concat([]byte("a head of one's own"), snapshot))
	if _, err := r.Seek(int64(r.Len()-len(snapshot)), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	c := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	defer c.Close()
	if got, err := c.ReadSnapshot(r, decodeInt); err != nil || got.Stored != source.Size() {
		t.Errorf("ReadSnapshot = %+v, %v; want %d sessions", got, err, source.Size())
	}
}

// Values of any size are written and read, and what encode returns may be the session's own bytes.
func TestValuesOfAnySizeAreKept(t *testing.T) {
	c := fastcache.NewForTest(fastcache.Config[string]{}, 1, fastcache.HashGood)
	defer c.Close()
	want := map[fastcache.Key]string{}
	for id, size := range []int{0, 1, 100, 1 << 10, 64 << 10, 64<<10 + 1, 1 << 20, 1<<20 - 1, 16 << 20, 3} {
		k := key("p", id)
		want[k] = strings.Repeat(string(rune('a'+id)), size)
		put(t, c, k, want[k])
	}
	own := map[string][]byte{}
	for k, v := range want {
		own[k.ID] = append(make([]byte, 0, len(v)+4096), v...) // with room behind, into which an append would go
	}
	var b bytes.Buffer
	_, err := c.WriteSnapshot(&b, func(dst []byte, k fastcache.Key, v string) ([]byte, error) {
		if len(v)%2 == 0 {
			return own[k.ID], nil
		}
		return append(dst, v...), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range want {
		if string(own[k.ID]) != v {
			t.Errorf("WriteSnapshot has written to the bytes of session %v", k)
		}
	}
	to := fastcache.NewForTest(fastcache.Config[string]{}, 1, fastcache.HashGood)
	defer to.Close()
	got, err := to.ReadSnapshot(bytes.NewReader(b.Bytes()), func(_ fastcache.Key, data []byte) (string, error) { return string(data), nil })
	if err != nil || got.Stored != len(want) {
		t.Fatalf("ReadSnapshot = %+v, %v; want %d sessions", got, err, len(want))
	}
	for k, v := range want {
		if got, _ := to.Lookup(k); got != v {
			t.Errorf("session %v has %d bytes; want %d of its own", k, len(got), len(v))
		}
	}
}
