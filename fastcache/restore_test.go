package fastcache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/internal/eviction"
)

func encodeNumber(dst []byte, _ Key, v int) ([]byte, error) {
	return binary.AppendVarint(dst, int64(v)), nil
}

func decodeNumber(_ Key, data []byte) (int, error) {
	v, _ := binary.Varint(data)
	return int(v), nil
}

// restoredFrom reads a snapshot of one cache into another.
func restoredFrom(t *testing.T, c *Cache[int], cfg Config[int]) *Cache[int] {
	t.Helper()
	var b bytes.Buffer
	if _, err := c.WriteSnapshot(&b, encodeNumber); err != nil {
		t.Fatal(err)
	}
	to := NewForTest(cfg, 1, HashGood)
	t.Cleanup(func() { to.Close() })
	if got, err := to.ReadSnapshot(bytes.NewReader(b.Bytes()), decodeNumber); err != nil || got.Stored != c.Size() {
		t.Fatalf("ReadSnapshot = %+v, %v; want %d sessions", got, err, c.Size())
	}
	if err := to.CheckInvariantsForTest(); err != nil {
		t.Fatal(err)
	}
	return to
}

// standings shows, by id, what the eviction policy knows of each session.
func standings(c *Cache[int]) map[string]string {
	all := map[string]string{}
	c.scan(func(n *node[int]) bool {
		s := c.shardOf(c.digest(keyOf(n)))
		s.mu.Lock()
		defer s.mu.Unlock()
		slot := n.Item.slot
		all[idOf(n)] = fmt.Sprint(n.Item.meta.Load()&useMask, s.mu.policy.Standing(slot), s.mu.probation.Has(slot))
		return true
	})
	return all
}

// A snapshot keeps the uses of a session, whether it was demoted, is on probation, or has shown that it comes back.
func TestASnapshotKeepsWhatTheEvictionPolicyKnows(t *testing.T) {
	c := NewForTest(Config[int]{MaxSessions: 100}, 1, HashGood)
	defer c.Close()
	for id := range 20 {
		k := Key{"p", fmt.Sprint(id)}
		if id < 16 {
			c.Update(k, id)
		} else {
			c.UpdateOnProbation(k, id, c.cfg.TTL)
		}
		for range id % 5 {
			c.Lookup(k)
		}
		if id%4 == 3 {
			c.Demote(k)
		}
	}
	s := c.shards[0].Load()
	s.mu.Lock()
	for slot := range uint32(2) { // as the hand does
		s.mu.policy.Remove(slot)
		s.mu.policy.Restore(slot, eviction.Returning)
	}
	s.mu.Unlock()
	want := standings(c)
	got := standings(restoredFrom(t, c, Config[int]{MaxSessions: 100}))
	for id, is := range want {
		if got[id] != is {
			t.Errorf("session %s: uses, standing and probation are %s; want %s", id, got[id], is)
		}
	}
}

// Victims are those whom the cache before would have taken: demoted ones, then the oldest of the partial key; what was
// stored since goes last.
func TestARestoredCacheEvictsTheOldestFirst(t *testing.T) {
	c := NewForTest(Config[int]{MaxSessions: 8}, 1, HashGood)
	defer c.Close()
	for id := range 8 {
		c.Update(Key{"p", fmt.Sprint(id)}, id)
	}
	c.Demote(Key{"p", "5"})
	var victims []int
	to := restoredFrom(t, c, Config[int]{MaxSessions: 8})
	for range 4 {
		had := map[int]bool{}
		for _, v := range to.All() {
			had[v] = true
		}
		to.Update(Key{"new", fmt.Sprint(len(victims))}, -1)
		for _, v := range to.All() {
			delete(had, v)
		}
		for v := range had {
			victims = append(victims, v)
		}
	}
	if want := []int{5, 0, 1, 2}; !slices.Equal(victims, want) {
		t.Errorf("victims: %v; want %v", victims, want)
	}
}

// The worth of a session grows with its life, and each life has a worth of its own rank.
func TestWorthGrowsWithLife(t *testing.T) {
	last := -1
	for _, life := range []int64{1, 2, 3, 63, 64, 65, 1 << 20, 1<<20 + 1<<14, 1 << 40, 1<<40 + 1<<34, 1 << 62, never} {
		worth := worthOf(0, life)
		if worth <= last || worth >= worths {
			t.Errorf("a life of %d is worth %d; want more than %d, and less than %d", life, worth, last, worths)
		}
		last = worth
	}
	if least := worthOf(flagReturning, 1); least <= last || worthOf(flagReturning, never) >= worths {
		t.Errorf("a session that comes back is worth %d; want more than %d", least, last)
	}
	if most := worthOf(flagDemoted|flagReturning, never); most >= worthOf(0, 1) || worthOf(flagProbation, never) != most || worthOf(flagProbation, 1) < 0 {
		t.Errorf("a demoted one is worth %d; want less than %d", most, worthOf(0, 1))
	}
}

// What was removed is noted, and as few others with it as the docs say, also where digests differ in few bits.
func TestRemovedKeysAreNoted(t *testing.T) {
	SkipUnderRace(t)
	for _, tt := range []struct{ removed, tries, most int }{
		{10_000, 1_000_000, 3},
		{100_000, 100_000, 150}, // 1 in 1000
	} {
		for shift := 0; shift < 44; shift += 11 {
			r := new(removedKeys)
			for i := range uint64(tt.removed) {
				r.note(i << shift)
			}
			for i := range uint64(tt.removed) {
				if !r.has(i << shift) {
					t.Fatalf("%#x was noted, and is not there", i<<shift)
				}
			}
			mistaken := 0
			for i := range uint64(tt.tries) {
				if r.has((uint64(tt.removed) + i) << shift) {
					mistaken++
				}
			}
			if mistaken > tt.most {
				t.Errorf("%d removals, shift %d: %d of %d others are taken for removed; want at most %d", tt.removed, shift, mistaken, tt.tries, tt.most)
			}
		}
	}
}
