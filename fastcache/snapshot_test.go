package fastcache_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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
	fastcache.SkipUnderRace(t)
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

// inBubbleAt runs a test in a bubble whose wall clock has moved on by d from where all bubbles begin.
func inBubbleAt(t *testing.T, d time.Duration, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(d)
		f(t)
	})
}

// A session lives for what was left of its life, less the time since by the wall clock. One that was set back prolongs no life,
// and one that was set forward does no harm but to end lives.
func TestLivesGoOnByTheWallClock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		passed time.Duration // between writing and reading, by the wall clock
		hour   time.Duration // what is left of an hour then, and of a minute; 0: nothing
		minute time.Duration
	}{
		{"at once", 0, time.Hour, time.Minute},
		{"after a while", 20 * time.Second, time.Hour - 20*time.Second, 40 * time.Second},
		{"at a deadline", time.Minute, time.Hour - time.Minute, 0},
		{"a nanosecond before it", time.Minute - 1, time.Hour - time.Minute + 1, 1},
		{"after all deadlines", 40 * 365 * 24 * time.Hour, 0, 0},
		{"the clock was set back by a second", -time.Second, time.Hour, time.Minute},
		{"the clock was set back by years", -9 * 365 * 24 * time.Hour, time.Hour, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var snapshot []byte
			const written = 10 * 365 * 24 * time.Hour
			inBubbleAt(t, written, func(t *testing.T) {
				c := open(t, layouts()[0], fastcache.Config[int]{})
				putTTL(t, c, key("p", 1), 1, 2*time.Hour)
				time.Sleep(time.Hour)
				putTTL(t, c, key("p", 2), 2, time.Minute)
				snapshot = snapshotOf(t, c)
			})
			inBubbleAt(t, written+time.Hour+tt.passed, func(t *testing.T) {
				c := open(t, layouts()[0], fastcache.Config[int]{})
				got, err := c.ReadSnapshot(bytes.NewReader(snapshot), decodeInt)
				if err != nil || got.Stored+got.Expired != 2 {
					t.Fatalf("ReadSnapshot = %+v, %v; want two sessions, stored or expired", got, err)
				}
				for id, left := range map[int]time.Duration{1: tt.hour, 2: tt.minute} {
					e, ok := c.Peek(key("p", id))
					if ok != (left > 0) || ok && time.Until(e.Expires) != left {
						t.Errorf("session %d: there: %v, with %v left; want %v", id, ok, time.Until(e.Expires), left)
					}
				}
			})
		})
	}
}

// Idle deadlines are kept: a session that was idle before goes on being so.
func TestIdleDeadlinesAreKept(t *testing.T) {
	idling := func(idle time.Duration) fastcache.Config[int] {
		return fastcache.Config[int]{TTL: time.Hour, IdleTTL: idle}
	}
	const minute = time.Minute
	for _, tt := range []struct {
		name     string
		from, to fastcache.Config[int]
		passed   time.Duration
		want     time.Duration // what the session has left then, if nobody uses it; 0: it is gone
		used     time.Duration // and once it was used, at the deadline before
	}{
		{"kept", idling(10 * minute), idling(10 * minute), 0, 6 * minute, 10 * minute},
		{"they go on", idling(10 * minute), idling(10 * minute), 2 * minute, 4 * minute, 10 * minute},
		{"idled out meanwhile", idling(10 * minute), idling(10 * minute), 6 * minute, 0, 0},
		{"a shorter IdleTTL", idling(10 * minute), idling(3 * minute), 0, 3 * minute, 3 * minute},
		{"a longer one", idling(10 * minute), idling(20 * minute), 0, 6 * minute, 20 * minute},
		{"the reader has none", idling(10 * minute), idling(0), 6 * minute, 50 * minute, 50 * minute},
		{"the writer had none", idling(0), idling(10 * minute), 0, 10 * minute, 10 * minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, layouts()[0], tt.from)
				put(t, c, key("p", 1), 1)
				time.Sleep(4 * minute)
				snapshot := snapshotOf(t, c)
				time.Sleep(tt.passed)
				to := open(t, layouts()[0], tt.to)
				if _, err := to.ReadSnapshot(bytes.NewReader(snapshot), decodeInt); err != nil {
					t.Fatal(err)
				}
				left := func() time.Duration {
					e, _ := to.Peek(key("p", 1))
					return max(time.Until(e.Expires), 0)
				}
				if got := left(); got != tt.want {
					t.Fatalf("it has %v left; want %v", got, tt.want)
				}
				if to.Lookup(key("p", 1)); left() != tt.used {
					t.Errorf("once used it has %v left; want %v", left(), tt.used)
				}
			})
		})
	}
}

// What the cache has is newer: it keeps its session, and those of the snapshot come after it.
func TestWhatTheCacheHasIsNewerThanASnapshot(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		old := open(t, l, fastcache.Config[int]{})
		for id := range 4 {
			put(t, old, key("p", id), id)
		}
		snapshot := snapshotOf(t, old)
		c := open(t, l, fastcache.Config[int]{})
		put(t, c, key("p", 2), 200)
		put(t, c, key("p", 9), 900)
		read(t, c, snapshot, fastcache.Restored{Stored: 3, Present: 1})
		var got []int
		for _, v := range c.SelectSession("p") {
			got = append(got, v)
		}
		if want := []int{900, 200, 3, 1, 0}; !slices.Equal(got, want) {
			t.Errorf("SelectSession yields %v; want %v", got, want)
		}
		if _, v, _ := c.TakeNewest("p"); v != 900 {
			t.Errorf("TakeNewest takes %d; want 900", v)
		}
	})
}

// A cache that is too small for a snapshot keeps the newest sessions, and demoted ones and those on probation last. It removes none.
func TestASmallerCacheKeepsTheSessionsThatAreWorthMost(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		for id := range 100 { // by age, across partial keys
			put(t, c, key(fmt.Sprint("p", id%7), id), id)
			time.Sleep(time.Hour / 8)
		}
		for id := 90; id < 95; id++ {
			c.Demote(key(fmt.Sprint("p", id%7), id))
		}
		if err := c.UpdateOnProbation(key("p", 100), 100, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		snapshot := snapshotOf(t, c)
		small := open(t, l, fastcache.Config[int]{MaxSessions: 40, OnRemove: func(r fastcache.Removal[int]) {
			if r.Reason != fastcache.Closed {
				t.Errorf("OnRemove is told %v of %v", r.Reason, r.Key)
			}
		}})
		put(t, small, key("mine", 1), -1)
		read(t, small, snapshot, fastcache.Restored{Stored: 39, NoRoom: 62})
		want := []int{-1}
		for id := 56; id < 90; id++ {
			want = append(want, id)
		}
		want = append(want, 95, 96, 97, 98, 99)
		var got []int
		for _, v := range small.All() {
			got = append(got, v)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("it keeps %v; want %v", got, want)
		}
	})
}

// Weights bound what is restored as they bound what is stored; a session that could never be stored takes no room.
func TestASnapshotStaysWithinMaxWeight(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		for id := range 20 {
			put(t, c, key("p", id), 10)
			time.Sleep(time.Hour)
		}
		put(t, c, key("heavy", 1), 1000)
		snapshot := snapshotOf(t, c)
		weigh := func(_ fastcache.Key, v int) int64 { return int64(v) }
		small := open(t, l, fastcache.Config[int]{MaxWeight: 100, Weigh: weigh})
		put(t, small, key("mine", 1), 15)
		read(t, small, snapshot, fastcache.Restored{Stored: 8, NoRoom: 13})
		for id := 12; id < 20; id++ {
			if _, ok := small.Peek(key("p", id)); !ok {
				t.Errorf("session %d is not there; want the newest eight", id)
			}
		}
		negative := open(t, l, fastcache.Config[int]{Weigh: func(fastcache.Key, int) int64 { return -1 }})
		if got, err := negative.ReadSnapshot(bytes.NewReader(snapshot), decodeInt); !errors.Is(err, fastcache.ErrBadWeight) || got.Stored != 0 {
			t.Errorf("ReadSnapshot with a negative weight = %+v, %v; want ErrBadWeight", got, err)
		}
	})
}

// At its quota a partial key keeps its newest sessions, those that the cache has before those of the snapshot.
func TestASnapshotStaysWithinTheQuota(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		for id := range 10 {
			put(t, c, key("a", id), id)
			put(t, c, key("b", id), id)
		}
		snapshot := snapshotOf(t, c)
		small := open(t, l, fastcache.Config[int]{MaxPerPartial: 4, MaxSessions: 8})
		put(t, small, key("a", 10), 10)
		read(t, small, snapshot, fastcache.Restored{Stored: 7, NoRoom: 13})
		for partial, want := range map[string][]int{"a": {10, 9, 8, 7}, "b": {9, 8, 7, 6}} {
			var got []int
			for _, v := range small.SelectSession(partial) {
				got = append(got, v)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s has %v; want %v", partial, got, want)
			}
		}
	})
}

// A cache without the index writes and reads snapshots, in no order.
func TestSnapshotsWithoutTheIndex(t *testing.T) {
	fastcache.SkipUnderRace(t)
	for _, noIndex := range [][2]bool{{true, true}, {true, false}, {false, true}} {
		everyBubble(t, func(t *testing.T, l layout) {
			c := open(t, l, fastcache.Config[int]{NoIndex: noIndex[0]})
			filled(t, c)
			restored := open(t, l, fastcache.Config[int]{NoIndex: noIndex[1]})
			read(t, restored, snapshotOf(t, c), fastcache.Restored{Stored: c.Size()})
			for e := range c.Entries() {
				if got, ok := restored.Peek(e.Key); !ok || got.Value != e.Value || !got.Expires.Equal(e.Expires) {
					t.Fatalf("%.20q: %v, %v; want %v", e.Key, got.Value, ok, e.Value)
				}
			}
		})
	}
}

// Sessions for which encode or decode says so are left out.
func TestSkippedSessionsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, layouts()[0], fastcache.Config[int]{})
		for id := range 10 {
			put(t, c, key("p", id), id)
		}
		var b bytes.Buffer
		n, err := c.WriteSnapshot(&b, func(dst []byte, k fastcache.Key, v int) ([]byte, error) {
			if v%2 == 0 {
				return dst, fmt.Errorf("single use: %w", fastcache.ErrSkipSession)
			}
			return encodeInt(dst, k, v)
		})
		if n != 5 || err != nil {
			t.Fatalf("WriteSnapshot = %d, %v; want 5", n, err)
		}
		to := open(t, layouts()[0], fastcache.Config[int]{})
		got, err := to.ReadSnapshot(bytes.NewReader(b.Bytes()), func(k fastcache.Key, data []byte) (int, error) {
			if k.ID == "3" {
				return 0, fastcache.ErrSkipSession
			}
			return decodeInt(k, data)
		})
		if want := (fastcache.Restored{Stored: 4, Skipped: 1}); got != want || err != nil {
			t.Errorf("ReadSnapshot = %+v, %v; want %+v", got, err, want)
		}
	})
}
