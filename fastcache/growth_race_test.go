package fastcache

import (
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
	s := &c.shards[0]
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
