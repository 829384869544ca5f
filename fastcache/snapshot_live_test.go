package fastcache_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// What is removed while a snapshot is read does not come back, whether it was there already, is so only in the cache, or has yet
// to be read.
func TestWhatIsRemovedWhileASnapshotIsReadStaysAway(t *testing.T) {
	type cache = *fastcache.Cache[int]
	for _, tt := range []struct {
		name   string
		remove func(c cache)
		gone   func(k fastcache.Key) bool
	}{
		{"Delete", func(c cache) { c.Delete(key("a", 250)) }, func(k fastcache.Key) bool { return k == key("a", 250) }},
		{"Take", func(c cache) { c.Take(key("a", 250)) }, func(k fastcache.Key) bool { return k == key("a", 250) }},
		{"DeletePartial", func(c cache) { c.DeletePartial("a") }, func(k fastcache.Key) bool { return k.Partial == "a" }},
		{"Clear", func(c cache) { c.Clear() }, func(fastcache.Key) bool { return true }},
		{"Delete of what has come since", func(c cache) {
			put(t, c, key("a", 250), -1)
			c.Delete(key("a", 250))
		}, func(k fastcache.Key) bool { return k == key("a", 250) }},
		{"TakeNewest of what has come since", func(c cache) {
			put(t, c, key("a", 250), -1)
			c.TakeNewest("a")
		}, func(k fastcache.Key) bool { return k == key("a", 250) }},
		{"expiry of what has come since", func(c cache) {
			putTTL(t, c, key("a", 250), -1, time.Second)
			time.Sleep(2 * time.Second)
		}, func(k fastcache.Key) bool { return k == key("a", 250) }},
	} {
		for _, noIndex := range []bool{false, true} {
			if noIndex && tt.name == "TakeNewest of what has come since" {
				continue
			}
			t.Run(fmt.Sprintf("%s/noIndex=%v", tt.name, noIndex), func(t *testing.T) {
				for _, when := range []int{1, 200, 301, 400, 600} { // calls of decode: the second pass begins with the 301st
					synctest.Test(t, func(t *testing.T) {
						c := open(t, layout{"", 8, fastcache.HashGood}, fastcache.Config[int]{})
						for id := range 300 {
							put(t, c, key([]string{"a", "b"}[id%2], id), id)
						}
						snapshot := snapshotOf(t, c)
						to := open(t, layout{"", 8, fastcache.HashGood}, fastcache.Config[int]{NoIndex: noIndex})
						calls := 0
						_, err := to.ReadSnapshot(bytes.NewReader(snapshot), func(k fastcache.Key, data []byte) (int, error) {
							if calls++; calls == when {
								tt.remove(to)
							}
							return decodeInt(k, data)
						})
						if err != nil {
							t.Fatal(err)
						}
						left := 0
						for k := range to.All() {
							if left++; tt.gone(k) && !(tt.name == "Clear" && when == 600) {
								t.Fatalf("at the %dth call of decode: %v is there after its removal", when, k)
							}
						}
						if left < 140 && tt.name != "Clear" {
							t.Errorf("at the %dth call: %d sessions are left; want the others", when, left)
						}
						put(t, to, key("a", 250), 1) // the next Update is none of the snapshot's
						if _, ok := to.Lookup(key("a", 250)); !ok {
							t.Error("an Update after the removal is not there")
						}
					})
				}
			})
		}
	}
}

// What was removed before ReadSnapshot began is in the snapshot and comes back; so does what an earlier call was told of.
func TestRemovalsCountForTheCallThatIsUnderWay(t *testing.T) {
	snapshot, source := smallSnapshot(t)
	c := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	defer c.Close()
	n := source.Size()
	read(t, c, snapshot, fastcache.Restored{Stored: n})
	c.Clear()
	c.Delete(key("a", 0))
	read(t, c, snapshot, fastcache.Restored{Stored: n})
	check(t, c)
}

// Removals race with a snapshot that is read: whatever was removed is away at the end, and stays so.
func TestRemovalsBesideAReaderOfSnapshotsWin(t *testing.T) {
	source := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	defer source.Close()
	const partials, each = 32, 40
	for id := range partials * each {
		put(t, source, key(fmt.Sprint("p", id%partials), id), id)
	}
	snapshot := snapshotOf(t, source)
	for round := range rounds(20) {
		c := fastcache.NewForTest(fastcache.Config[int]{MaxPerPartial: each}, 8, fastcache.HashGood)
		var second sync.Once
		begun := make(chan bool)
		var calls atomic.Int64
		var wg sync.WaitGroup
		for worker := range 2 {
			wg.Go(func() {
				<-begun
				for id := worker; id < partials*each; id += 2 {
					k := key(fmt.Sprint("p", id%partials), id)
					switch partial := id % partials; {
					case partial < 8:
						c.Take(k)
					case partial < 16:
						c.Delete(k)
					case partial < 24 && id < partials:
						c.DeletePartial(k.Partial)
					}
				}
			})
		}
		got, err := c.ReadSnapshot(bytes.NewReader(snapshot), func(k fastcache.Key, data []byte) (int, error) {
			if calls.Add(1) > partials*each {
				second.Do(func() { close(begun) })
			}
			return decodeInt(k, data)
		})
		wg.Wait()
		if err != nil || got.Stored+got.Removed != partials*each {
			t.Fatalf("round %d: ReadSnapshot = %+v, %v; want %d stored or removed", round, got, err, partials*each)
		}
		for k := range c.All() {
			var partial int
			fmt.Sscanf(k.Partial, "p%d", &partial)
			if partial < 24 {
				t.Fatalf("round %d: %v is there after its removal", round, k)
			}
		}
		if c.Size() != 8*each {
			t.Errorf("round %d: %d sessions are left; want those that nobody removed", round, c.Size())
		}
		check(t, c)
		c.Close()
	}
}

// A snapshot that is written beside traffic has every session that nobody touches, no session that was removed before, and is
// whole.
func TestSnapshotsAreWrittenBesideTraffic(t *testing.T) {
	for _, noIndex := range []bool{false, true} {
		c := fastcache.NewForTest(fastcache.Config[int]{NoIndex: noIndex}, 8, fastcache.HashGood)
		const kept = 2000
		for id := range kept {
			put(t, c, key(fmt.Sprint("p", id%13), id), id)
		}
		var stop atomic.Bool
		var wg sync.WaitGroup
		for worker := range 2 {
			wg.Go(func() {
				for i := 0; !stop.Load(); i++ {
					k := key(fmt.Sprint("p", i%17), kept+worker*1000+i%500)
					c.Update(k, i)
					c.Lookup(k)
					if i%3 == 0 {
						c.Delete(k)
					}
					if i%100 == 0 {
						c.DeletePartial("p16")
					}
				}
			})
		}
		for round := range rounds(10) {
			var b bytes.Buffer
			if _, err := c.WriteSnapshot(&b, encodeInt); err != nil {
				t.Fatal(err)
			}
			to := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
			if _, err := to.ReadSnapshot(bytes.NewReader(b.Bytes()), decodeInt); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			for id := range kept {
				if v, ok := to.Lookup(key(fmt.Sprint("p", id%13), id)); !ok || v != id {
					t.Fatalf("round %d: session %d that nobody touched is %d, %v in the snapshot", round, id, v, ok)
				}
			}
			check(t, to)
			to.Close()
		}
		stop.Store(true)
		wg.Wait()
		if work := c.MaxWorkForTest(); work > 256 {
			t.Errorf("a lock was held for %d sessions of work; want 256 at most", work)
		}
		check(t, c)
		c.Close()
	}
}

// A session that is removed while encode has another one in hand is not written.
func TestARemovedSessionIsNotWritten(t *testing.T) {
	c := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	defer c.Close()
	for id := range 100 {
		put(t, c, key("p", id), id)
	}
	first := true
	n, err := c.WriteSnapshot(io.Discard, func(dst []byte, k fastcache.Key, v int) ([]byte, error) {
		if first {
			first = false
			for id := range 100 {
				if key("p", id) != k {
					c.Delete(key("p", id))
				}
			}
		}
		return encodeInt(dst, k, v)
	})
	if n != 1 || err != nil {
		t.Errorf("WriteSnapshot = %d, %v; want 1, the session that was encoded", n, err)
	}
}

// A closed cache writes and reads no snapshot, so that an empty one never replaces a good one.
func TestAClosedCacheWritesNoSnapshot(t *testing.T) {
	snapshot, _ := smallSnapshot(t)
	var zero fastcache.Cache[int]
	closed := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	closed.Close()
	for want, c := range map[error]*fastcache.Cache[int]{fastcache.ErrNotMade: &zero, fastcache.ErrClosed: closed} {
		var b bytes.Buffer
		if n, err := c.WriteSnapshot(&b, encodeInt); n != 0 || !errors.Is(err, want) || b.Len() != 0 {
			t.Errorf("WriteSnapshot = %d, %v, and writes %d bytes; want %v", n, err, b.Len(), want)
		}
		if got, err := c.ReadSnapshot(bytes.NewReader(snapshot), decodeInt); got.Stored != 0 || !errors.Is(err, want) {
			t.Errorf("ReadSnapshot = %+v, %v; want %v", got, err, want)
		}
	}
	closing := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	put(t, closing, key("p", 1), 1)
	if _, err := closing.WriteSnapshot(io.Discard, func(dst []byte, k fastcache.Key, v int) ([]byte, error) {
		closing.Close()
		return encodeInt(dst, k, v)
	}); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("WriteSnapshot beside a Close = %v; want ErrClosed", err)
	}
	closing = fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood)
	calls := 0
	if _, err := closing.ReadSnapshot(bytes.NewReader(snapshot), func(k fastcache.Key, data []byte) (int, error) {
		if calls++; calls == 350 {
			closing.Close()
		}
		return decodeInt(k, data)
	}); !errors.Is(err, fastcache.ErrClosed) || closing.Size() != 0 {
		t.Errorf("ReadSnapshot beside a Close = %v, and %d sessions are there; want ErrClosed and none", err, closing.Size())
	}
}

// Writing allocates nothing per session, and reading nothing but the sessions: the memory of both is that of a block.
func TestSnapshotsTakeTheMemoryOfABlock(t *testing.T) {
	perSession := func(sessions int) (write, read float64) {
		c := fastcache.NewForTest(fastcache.Config[int]{MaxSessions: 1 << 20}, 8, fastcache.HashGood)
		defer c.Close()
		for id := range sessions {
			put(t, c, key(fmt.Sprint("p", id/10), id), id)
		}
		snapshot := snapshotOf(t, c)
		write = testing.AllocsPerRun(3, func() { c.WriteSnapshot(io.Discard, encodeInt) })
		// All are present: what a session takes once it is stored is another matter.
		read = testing.AllocsPerRun(3, func() {
			if got, err := c.ReadSnapshot(bytes.NewReader(snapshot), decodeInt); err != nil || got.Present != sessions {
				t.Fatalf("ReadSnapshot = %+v, %v; want all present", got, err)
			}
		})
		return write, read
	}
	write, read := perSession(1000)
	writeMore, readMore := perSession(9000)
	if more := writeMore - write; more > 400 { // the race detector adds some
		t.Errorf("WriteSnapshot of 8000 sessions more allocates %v times more; want no more", more)
	}
	if more := readMore - read; more > 8000+400 { // each makes the node that it would store
		t.Errorf("ReadSnapshot of 8000 sessions more allocates %v times more; want a node for each", more)
	}
}
