package fastcache_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// Of many concurrent callers one stores, and all get its value.
func TestPromise2OneOfManyIsFirst(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{RecordStats: true})
		const callers, keys = 8, 200
		for k := range keys {
			var actual [callers]int
			var found [callers]bool
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					var err error
					if actual[i], found[i], err = c.LookupOrUpdate(key("p", k), i+1, time.Hour); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			stored := 0
			for i := range callers {
				if !found[i] {
					stored++
				}
				if actual[i] != actual[0] || !found[i] && actual[i] != i+1 {
					t.Fatalf("key %d: callers got %v, found: %v; want one value, of the one that stored it", k, actual, found)
				}
			}
			if stored != 1 {
				t.Fatalf("key %d: %d callers stored; want 1", k, stored)
			}
		}
		if st := c.Stats(); st.Hits != keys*(callers-1) || st.Misses != keys || st.Inserted != keys {
			t.Errorf("%d hits, %d misses, %d inserted; want %d, %d, %d", st.Hits, st.Misses, st.Inserted, keys*(callers-1), keys, keys)
		}
	})
}

func TestLookupOrUpdateRefusesWhatUpdateRefuses(t *testing.T) {
	c, err := fastcache.New(fastcache.Config[int]{MaxWeight: 10, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
	if err != nil {
		t.Fatal(err)
	}
	long := string(make([]byte, fastcache.MaxKeyPart+1))
	for _, tt := range []struct {
		key   fastcache.Key
		value int
		ttl   time.Duration
		want  error
	}{
		{key("p", 1), 1, 0, fastcache.ErrBadTTL},
		{key("p", 1), 11, time.Hour, fastcache.ErrTooHeavy},
		{key("p", 1), -1, time.Hour, fastcache.ErrBadWeight},
		{fastcache.Key{Partial: long}, 1, time.Hour, fastcache.ErrKeyTooLong},
	} {
		if actual, found, err := c.LookupOrUpdate(tt.key, tt.value, tt.ttl); !errors.Is(err, tt.want) || found || actual != 0 || c.Size() != 0 {
			t.Errorf("LookupOrUpdate = %v, %v, %v and %d sessions; want 0, false, %v and none", actual, found, err, c.Size(), tt.want)
		}
	}
	put(t, c, key("p", 1), 1)
	if actual, found, err := c.LookupOrUpdate(key("p", 1), 11, time.Hour); actual != 1 || !found || err != nil {
		t.Errorf("LookupOrUpdate of a session that is there = %v, %v, %v; want 1, true, and no look at the value", actual, found, err)
	}
	c.Close()
	if _, _, err := c.LookupOrUpdate(key("p", 1), 1, time.Hour); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("LookupOrUpdate after Close = %v; want ErrClosed", err)
	}
	if _, _, err := new(fastcache.Cache[int]).LookupOrUpdate(key("p", 1), 1, time.Hour); !errors.Is(err, fastcache.ErrNotMade) {
		t.Errorf("LookupOrUpdate of the zero Cache = %v; want ErrNotMade", err)
	}
}

// A Touch moves the deadline both ways, and nothing else.
func TestTouchMovesTheDeadlineAlone(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var r recorder[int]
		c := open(t, l, fastcache.Config[int]{OnRemove: r.record, TTL: time.Hour})
		for i := range 3 {
			put(t, c, key("p", i), i)
		}
		if !c.Touch(key("p", 0), 10*time.Hour) || !c.Touch(key("p", 2), time.Minute) {
			t.Error("Touch of a session that is there = false")
		}
		if c.Touch(key("p", 9), time.Hour) || c.Touch(key("p", 1), 0) || c.Touch(key("p", 1), -1) {
			t.Error("Touch of none, or with a TTL that is not positive, = true")
		}
		if got := fmt.Sprint(selected(c, "p")); got != "[2 1 0]" || len(r.all()) != 0 {
			t.Errorf("a Touch has changed the order to %s, or reported %v", got, r.all())
		}
		for _, step := range []struct {
			sleep time.Duration
			left  string
		}{
			{time.Minute - 1, "[2 1 0]"}, {1, "[1 0]"}, {59*time.Minute - 1, "[1 0]"}, {1, "[0]"}, {9*time.Hour - 1, "[0]"}, {1, "[]"},
		} {
			time.Sleep(step.sleep)
			if got := fmt.Sprint(selected(c, "p")); got != step.left {
				t.Errorf("%v later %s are left; want %s", step.sleep, got, step.left)
			}
		}
		time.Sleep(tick)
		synctest.Wait()
		if c.Size() != 0 || len(r.all()) != 3 {
			t.Errorf("%d sessions are in memory, %d reported; want 0, 3", c.Size(), len(r.all()))
		}
		if c.Touch(key("p", 0), time.Hour) {
			t.Error("Touch of an expired session = true")
		}
	})
}

// SelectEntries shows what SelectSession does, with deadlines.
func TestSelectEntriesShowsDeadlines(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		begin := time.Now()
		for i := range 5 {
			putTTL(t, c, key("p", i), i, time.Duration(i+1)*time.Hour)
			putTTL(t, c, key("q", i), i, time.Hour)
		}
		time.Sleep(90 * time.Minute)
		want := 4
		for e := range c.SelectEntries("p") {
			if e.Key != key("p", want) || e.Value != want || !e.Expires.Equal(begin.Add(time.Duration(want+1)*time.Hour)) {
				t.Errorf("SelectEntries shows %v, expiring %v after the Update; want session %d", e.Value, e.Expires.Sub(begin), want)
			}
			want--
		}
		if want != 0 {
			t.Errorf("SelectEntries ends before session %d; want before 0, which has expired", want)
		}
	})
}

// Bytes find what strings stored, without a copy; what bytes store is a copy.
func TestKeysOfBytesAreKeysOfStrings(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{})
	partial, id := []byte("host.example.net:443"), []byte("0123456789abcdefghijklmnopqrstuv")
	if err := c.Update(fastcache.KeyOf(partial, id), 1); err != nil {
		t.Fatal(err)
	}
	stored := fastcache.Key{Partial: string(partial), ID: string(id)}
	for name, k := range map[string]fastcache.Key{
		"both": fastcache.KeyOf(partial, id), "the id": fastcache.KeyOf(stored.Partial, id), "none": fastcache.KeyOf(stored.Partial, stored.ID),
	} {
		if v, ok := c.Lookup(k); v != 1 || !ok || k != stored {
			t.Errorf("Lookup with bytes for %s = %v, %v; want 1, true", name, v, ok)
		}
	}
	allocs(t, "Lookup with an id of bytes", 0, 1000, func() { c.Lookup(fastcache.KeyOf("host.example.net:443", id)) })
	allocs(t, "Lookup with bytes", 0, 1000, func() { c.Lookup(fastcache.KeyOf(partial, id)) })
	id[0] = '!'
	if v, ok := c.Lookup(stored); v != 1 || !ok {
		t.Errorf("Lookup = %v, %v after the bytes have changed; want 1, true: the key is copied", v, ok)
	}
	if k := fastcache.KeyOf([]byte(nil), ""); k != (fastcache.Key{}) {
		t.Errorf("KeyOf(nil, empty) = %q; want the empty key", k)
	}
}

// Partials lists each partial key once, with the sessions that are alive.
func TestPartialsAreListedWithTheirCounts(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		for _, noIndex := range []bool{false, true} {
			c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
			want := map[string]int{}
			for p := range 20 {
				for i := range p {
					putTTL(t, c, key(fmt.Sprint("p", p), i), i, time.Duration(i+1)*time.Minute)
				}
				if p > 3 {
					want[fmt.Sprint("p", p)] = p - 3
				}
			}
			time.Sleep(3 * time.Minute)
			got := map[string]int{}
			for partial, n := range c.Partials() {
				if got[partial] != 0 {
					t.Errorf("%q is listed twice", partial)
				}
				got[partial] = n
			}
			if !maps.Equal(got, want) {
				t.Errorf("NoIndex: %v: Partials lists %v; want %v", noIndex, got, want)
			}
			for range c.Partials() {
				break
			}
		}
	})
}

// TakeNewestEntry is TakeNewest with the deadline, and leaves the last where it is told to.
func TestTheNewestIsTakenWithItsDeadline(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		for _, cfg := range []fastcache.Config[int]{{}, {IdleTTL: 1000 * time.Hour}} {
			c := open(t, l, cfg)
			begin := time.Now()
			for i := range 3 {
				putTTL(t, c, key("p", i), i, time.Duration(i+1)*time.Hour)
			}
			time.Sleep(time.Minute)
			for _, want := range []int{2, 1, 0, 0} {
				e, ok := c.TakeNewestEntry("p", true)
				if !ok || e.Key != key("p", want) || e.Value != want || !e.Expires.Equal(begin.Add(time.Duration(want+1)*time.Hour)) {
					t.Errorf("TakeNewestEntry = %+v, %v; want session %d", e, ok, want)
				}
			}
			if e, ok := c.TakeNewestEntry("p", false); !ok || e.Value != 0 || c.Size() != 0 {
				t.Errorf("TakeNewestEntry = %+v, %v, and leaves %d; want the last", e, ok, c.Size())
			}
			if e, ok := c.TakeNewestEntry("p", false); ok || e != (fastcache.Entry[int]{}) {
				t.Errorf("TakeNewestEntry of none = %+v, %v", e, ok)
			}
		}
	})
}
