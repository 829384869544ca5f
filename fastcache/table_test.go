package fastcache

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessioncache/sessioncache/internal/buckets"
)

// A reader finds every session while a table is being copied, and in the one that follows. The
// table is so large that readers run in the middle of a copy, also on one processor.
func TestPromise2ReadersMissNothingWhileALargeTableIsCopied(t *testing.T) {
	const sessions, copies = 100_000, 12
	c := NewForTest(Config[int]{MaxSessions: sessions}, 1, HashGood)
	defer c.Close()
	keys := make([]Key, sessions)
	for i := range keys {
		keys[i] = Key{"p", strconv.Itoa(i)}
		if err := c.Update(keys[i], i); err != nil {
			t.Fatal(err)
		}
	}
	var done atomic.Bool
	var during atomic.Int64 // lookups while a table was being copied
	var copying atomic.Bool
	var readers sync.WaitGroup
	for r := range 2 {
		readers.Go(func() {
			for i := r; !done.Load(); i = (i + 7919) % sessions {
				within := copying.Load()
				if v, ok := c.Lookup(keys[i]); !ok || v != i {
					t.Errorf("Lookup(%v) = %d, %v while the table is copied; want %d", keys[i], v, ok, i)
					return
				}
				if within && copying.Load() {
					during.Add(1)
				}
			}
		})
	}
	s := c.shards[0].Load()
	for n := 0; n < copies || during.Load() < sessions/100 && n < 100*copies; n++ {
		s.mu.Lock()
		copying.Store(true)
		s.growTableLocked(buckets.For(len(s.mu.place)))
		copying.Store(false)
		s.mu.Unlock()
	}
	done.Store(true)
	readers.Wait()
	if n := during.Load(); n < sessions/100 {
		t.Errorf("%d lookups were made during a copy; want more, to see one", n)
	}
}

// A bucket's overflow count tells how many nodes lie beyond it, exactly until it is full: a
// larger one would make misses probe on for ever, a smaller one would lose a session.
func TestPromise9OverflowIsCounted(t *testing.T) {
	for _, mask := range []uint64{HashGood, HashConstant, HashTruncated} {
		c := NewForTest(Config[int]{}, 1, mask)
		s := c.shards[0].Load()
		for i := range 2000 { // about 100 at once, so no count is full
			if err := c.Update(Key{"p", fmt.Sprint(i)}, i); err != nil {
				t.Fatal(err)
			}
			c.Delete(Key{"p", fmt.Sprint(i*7919%(i+1) - i%3)}) // from anywhere
			if s.mu.resident > 100 {
				c.TakeNewest("p")
			}
		}
		if err := s.table.Load().Check(func(n *node[int]) uint32 { return s.mu.hash[n.Item.slot] }); err != nil {
			t.Errorf("mask %#x: %v", mask, err)
		}
		c.Close()
	}
}

// Sessions stand where their hash says, or hardly behind it: few buckets overflow.
func TestPromise9ProbesAreShortUnderAGoodHash(t *testing.T) {
	const sessions = 4000
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	for i := range sessions {
		if err := c.Update(Key{"p", strconv.Itoa(i)}, i); err != nil {
			t.Fatal(err)
		}
	}
	if beyond := c.shards[0].Load().table.Load().Beyond(); beyond > sessions/2 {
		t.Errorf("%d sessions lie %d buckets beyond their own; want half as many at most", sessions, beyond)
	}
}

// Tables grow by doubling alone, up to one that is hardly larger than a full shard needs.
func TestTablesDoubleUpToWhatAFullShardNeeds(t *testing.T) {
	for sessions := smallShard; sessions < 20_000; sessions++ {
		first, full := firstTable(sessions), buckets.For(sessions)
		last := first
		for last < full {
			last *= 2
		}
		if last > full+full/wasteOf || first >= 2*wasteOf {
			t.Fatalf("for %d sessions the first table has %d buckets and the last %d; want few, and %d", sessions, first, last, full)
		}
	}
	for slots, n := 32, unboundedTable; slots < 1<<26; slots, n = 2*slots, 2*n {
		if want := buckets.For(slots); n < want || n > want+want/32 {
			t.Errorf("%d slots of a cache without a bound on the count have %d buckets; want %d or hardly more", slots, n, want)
		}
	}
}
