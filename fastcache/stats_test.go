package fastcache_test

import (
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

func TestStatsTellsRefusedUpdatesByReason(t *testing.T) {
	c, err := fastcache.New(fastcache.Config[int]{MaxWeight: 10, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
	if err != nil {
		t.Fatal(err)
	}
	long := key("p", 1)
	long.ID = strings.Repeat("x", fastcache.MaxKeyPart+1)
	refuse := func(times int, want error, update func() error) {
		t.Helper()
		for range times {
			if err := update(); !errors.Is(err, want) {
				t.Fatalf("got %v; want %v", err, want)
			}
		}
	}
	refuse(1, fastcache.ErrKeyTooLong, func() error { return c.Update(long, 1) })
	refuse(2, fastcache.ErrBadTTL, func() error { return c.UpdateTTL(key("p", 1), 1, 0) })
	refuse(1, fastcache.ErrBadTTL, func() error { return c.UpdateOnProbation(key("p", 1), 1, -1) })
	refuse(1, fastcache.ErrBadTTL, func() error { _, _, err := c.LookupOrUpdate(key("p", 1), 1, 0); return err })
	refuse(3, fastcache.ErrTooHeavy, func() error { return c.Update(key("p", 1), 11) })
	refuse(5, fastcache.ErrBadWeight, func() error { return c.Update(key("p", 1), -1) })
	refuse(6, fastcache.ErrForeignClock, func() (err error) {
		synctest.Test(t, func(*testing.T) { err = c.Update(key("p", 1), 1) })
		return err
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	refuse(7, fastcache.ErrClosed, func() error { return c.Update(key("p", 1), 1) })
	want := fastcache.Refused{Closed: 7, KeyTooLong: 1, BadTTL: 4, TooHeavy: 3, BadWeight: 5, ForeignClock: 6}
	if got := c.Stats(); got.Refused != want || got.Inserted+got.Replaced != 0 {
		t.Errorf("Refused = %+v, %d stored; want %+v, 0", got.Refused, got.Inserted+got.Replaced, want)
	}
}

// A session that is over stays in memory until the tick of 16.8 ms ends. A minute is no whole number of ticks.
func TestStatsTellsMissesOfSessionsThatHaveJustEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, layouts()[0], fastcache.Config[int]{RecordStats: true})
		defer c.Close()
		for i := range 3 {
			if err := c.UpdateTTL(key("p", i), i, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		for i := range 5 { // the last two are absent
			if v, ok := c.Lookup(key("p", i)); ok {
				t.Errorf("Lookup of session %d = %d at its deadline", i, v)
			}
		}
		st := c.Stats()
		if st.Misses != 5 || st.MissesExpired != 3 || st.MissesRemoved != 0 || st.Hits != 0 {
			t.Errorf("%d misses, %d of expired, %d of removed sessions, %d hits; want 5, 3, 0, 0", st.Misses, st.MissesExpired, st.MissesRemoved, st.Hits)
		}
	})
}

// One hit in 64 is sampled, in whichever stripe, so one goroutine on one stack has exactly so many.
func TestStatsTellsAgesAndLivesAtHits(t *testing.T) {
	for name, cfg := range map[string]fastcache.Config[int]{"no more": {}, "ExactClock": {ExactClock: true}, "IdleTTL": {IdleTTL: 9 * time.Hour}} {
		for _, id := range []int{0, 32, 85, 90, 200} { // short keys and long ones, and one whose end the date does not fit behind
			t.Run(fmt.Sprintf("%s/id of %d bytes", name, id), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg.RecordStats = true
					c := open(t, layouts()[0], cfg)
					defer c.Close()
					k := fastcache.Key{Partial: "p", ID: strings.Repeat("x", id)}
					if err := c.UpdateTTL(k, 1, 3*time.Hour); err != nil {
						t.Fatal(err)
					}
					hits := func(n int) {
						for range 64 * n {
							if _, ok := c.Lookup(k); !ok {
								t.Fatal("missed")
							}
						}
					}
					hits(1)
					time.Sleep(30 * time.Minute)
					hits(2)
					time.Sleep(2*time.Hour + 29*time.Minute + 30*time.Second)
					hits(4)
					st := c.Stats()
					wantAge := fastcache.Spread{Second: 1, Hour: 2, SixHours: 4}
					wantLeft := fastcache.Spread{SixHours: 3, Minute: 4}
					if st.Hits != 7*64 || st.HitAge != wantAge || st.HitLeft != wantLeft {
						t.Errorf("%d hits, ages %+v, left %+v; want %d, %+v, %+v", st.Hits, st.HitAge, st.HitLeft, 7*64, wantAge, wantLeft)
					}
					// A new version is young.
					if err := c.UpdateTTL(k, 2, 48*time.Hour); err != nil {
						t.Fatal(err)
					}
					hits(1)
					if st := c.Stats().Sub(st); st.HitAge != (fastcache.Spread{Second: 1}) {
						t.Errorf("ages %+v after an Update; want one of up to a second", st.HitAge)
					}
				})
			})
		}
	}
}

func TestStatsSamplesNoHitsUnlessAsked(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{ExactClock: true})
	defer c.Close()
	put(t, c, key("p", 1), 1)
	for range 1000 {
		c.Lookup(key("p", 1))
	}
	if st := c.Stats(); st.Hits != 0 || st.HitAge != (fastcache.Spread{}) || st.HitLeft != (fastcache.Spread{}) {
		t.Errorf("%d hits, ages %+v, left %+v; want none without RecordStats", st.Hits, st.HitAge, st.HitLeft)
	}
}

func TestStatsTellsTheLongestProbe(t *testing.T) {
	c := fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashConstant) // all begin in one bucket of seven places
	defer c.Close()
	for i, want := range []int{0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3} {
		if i > 0 {
			put(t, c, key("p", i), i)
		}
		if got := c.Stats().LongestProbe; got != want {
			t.Errorf("LongestProbe = %d with %d sessions in one bucket; want %d", got, i, want)
		}
	}
}

// Sub is checked against the types: a counter that is added later is subtracted, too, or this fails.
func TestSubSubtractsCountersAndKeepsState(t *testing.T) {
	var later, earlier, want fastcache.Stats
	n := uint64(0)
	var set func(later, earlier, want reflect.Value)
	set = func(later, earlier, want reflect.Value) {
		for i := range later.NumField() {
			l, e, w := later.Field(i), earlier.Field(i), want.Field(i)
			n++
			switch l.Kind() {
			case reflect.Struct:
				set(l, e, w)
			case reflect.Uint64:
				l.SetUint(100 + 3*n)
				e.SetUint(50 + n)
				w.SetUint(50 + 2*n)
			default:
				l.SetInt(int64(n))
				e.SetInt(1000)
				w.SetInt(int64(n))
			}
		}
	}
	set(reflect.ValueOf(&later).Elem(), reflect.ValueOf(&earlier).Elem(), reflect.ValueOf(&want).Elem())
	if got := later.Sub(earlier); got != want {
		t.Errorf("Sub = %+v; want %+v", got, want)
	}
	// LookupOrUpdate may turn a miss into a hit between the two.
	if got := (fastcache.Stats{Misses: 1}).Sub(fastcache.Stats{Misses: 2}).Misses; got != 0 {
		t.Errorf("1 miss after 2 is %d more; want 0", got)
	}
}

func TestStatsMarshalAndComeBack(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{RecordStats: true})
	defer c.Close()
	put(t, c, key("p", 1), 1)
	for range 200 {
		c.Lookup(key("p", 1))
	}
	want := c.Stats()
	text := expvar.Func(func() any { return want }).String()
	var got fastcache.Stats
	if err := json.Unmarshal([]byte(text), &got); err != nil || got != want || got.HitAge.Second == 0 {
		t.Errorf("%s came back as %+v, %v; want %+v", text, got, err, want)
	}
}
