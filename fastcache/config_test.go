package fastcache_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := fastcache.New(fastcache.Config[int]{MaxSessions: -1, MaxPerPartial: -2, MaxWeight: -3, TTL: -4, IdleTTL: -5, Overflow: 7})
	if err == nil {
		t.Fatal("New accepts negative bounds")
	}
	if !strings.HasPrefix(err.Error(), "fastcache: ") {
		t.Errorf("the error %q does not name its package", err)
	}
	for _, want := range []string{"MaxSessions is -1", "MaxPerPartial is -2", "MaxWeight is -3", "TTL is -4ns", "IdleTTL is -5ns", "Overflow is 7"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %q; want it to say %q", err, want)
		}
	}
}

func TestConfigOfOneFaultNamesThatOne(t *testing.T) {
	weigh := func(fastcache.Key, int) int64 { return 1 }
	for _, tc := range []struct {
		name string
		cfg  fastcache.Config[int]
		want string // part of the error; empty: none
	}{
		{name: "zero", cfg: fastcache.Config[int]{}},
		{name: "all set", cfg: fastcache.Config[int]{MaxSessions: 1, MaxPerPartial: 1, MaxWeight: 1, Weigh: weigh, TTL: 1, IdleTTL: 1,
			Overflow: fastcache.InvalidateAll, ExactClock: true, RecordStats: true}},
		{name: "weighed without a bound", cfg: fastcache.Config[int]{Weigh: weigh}},
		{name: "largest", cfg: fastcache.Config[int]{MaxSessions: math.MaxInt, MaxWeight: math.MaxInt64, Weigh: weigh, TTL: math.MaxInt64, IdleTTL: math.MaxInt64}},
		{name: "bound without Weigh", cfg: fastcache.Config[int]{MaxWeight: 1}, want: "MaxWeight is 1 and Weigh is nil"},
		{name: "quota without index", cfg: fastcache.Config[int]{MaxPerPartial: 3, NoIndex: true}, want: "MaxPerPartial is 3 with NoIndex"},
		{name: "unknown overflow", cfg: fastcache.Config[int]{Overflow: 2}, want: "Overflow is 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := fastcache.New(tc.cfg)
			if tc.want == "" {
				if err != nil {
					t.Fatalf("New = %v", err)
				}
				put(t, c, key("p", 1), 1)
				c.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), ";") && strings.Count(err.Error(), " is ") > 2 {
				t.Errorf("New = %v; want an error that says %q alone", err, tc.want)
			}
		})
	}
}

// Every field is tried with what it may be at most and at least, and with what lies beyond: an error names the field,
// the value and the limit, and nothing else. What is accepted works.
func TestEveryFieldOfConfigIsCheckedToItsLimits(t *testing.T) {
	type config = fastcache.Config[int]
	weigh := func(fastcache.Key, int) int64 { return 1 }
	rows := []struct {
		field string
		value any
		cfg   config
		want  string // of the error, after the package; empty: none
	}{
		{"MaxSessions", math.MinInt, config{MaxSessions: math.MinInt}, fmt.Sprintf("MaxSessions is %d; want at least 1, or 0 for 20480", math.MinInt)},
		{"MaxSessions", -1, config{MaxSessions: -1}, "MaxSessions is -1; want at least 1, or 0 for 20480"},
		{"MaxSessions", 0, config{MaxSessions: 0}, ""},
		{"MaxSessions", 1, config{MaxSessions: 1}, ""},
		{"MaxSessions", math.MaxInt, config{MaxSessions: math.MaxInt}, ""},
		{"MaxPerPartial", math.MinInt, config{MaxPerPartial: math.MinInt}, fmt.Sprintf("MaxPerPartial is %d; want at least 1, or 0 for no quota", math.MinInt)},
		{"MaxPerPartial", -1, config{MaxPerPartial: -1}, "MaxPerPartial is -1; want at least 1, or 0 for no quota"},
		{"MaxPerPartial", -1, config{MaxPerPartial: -1, NoIndex: true}, "MaxPerPartial is -1; want at least 1, or 0 for no quota"},
		{"MaxPerPartial", 0, config{MaxPerPartial: 0, NoIndex: true}, ""},
		{"MaxPerPartial", 1, config{MaxPerPartial: 1}, ""},
		{"MaxPerPartial", 1, config{MaxPerPartial: 1, NoIndex: true}, "MaxPerPartial is 1 with NoIndex; want 0, for a quota needs the index"},
		{"MaxPerPartial", math.MaxInt, config{MaxPerPartial: math.MaxInt}, ""},
		{"MaxWeight", int64(math.MinInt64), config{MaxWeight: math.MinInt64, Weigh: weigh}, "MaxWeight is -9223372036854775808; want at least 1, or 0 for no bound"},
		{"MaxWeight", -1, config{MaxWeight: -1}, "MaxWeight is -1; want at least 1, or 0 for no bound"},
		{"MaxWeight", 0, config{MaxWeight: 0, Weigh: weigh}, ""},
		{"MaxWeight", 1, config{MaxWeight: 1, Weigh: weigh}, ""},
		{"MaxWeight", int64(math.MaxInt64), config{MaxWeight: math.MaxInt64, Weigh: weigh}, ""},
		{"Weigh", nil, config{Weigh: nil}, ""},
		{"Weigh", nil, config{MaxWeight: 7}, "MaxWeight is 7 and Weigh is nil; want 0, for a bound on the weight needs Weigh"},
		{"TTL", int64(math.MinInt64), config{TTL: math.MinInt64}, "TTL is -2562047h47m16.854775808s; want at least 1ns, or 0 for 24h0m0s"},
		{"TTL", -1, config{TTL: -1}, "TTL is -1ns; want at least 1ns, or 0 for 24h0m0s"},
		{"TTL", 0, config{TTL: 0}, ""},
		{"TTL", 1, config{TTL: 1}, ""},
		{"TTL", int64(math.MaxInt64), config{TTL: math.MaxInt64}, ""},
		{"IdleTTL", int64(math.MinInt64), config{IdleTTL: math.MinInt64}, "IdleTTL is -2562047h47m16.854775808s; want at least 1ns, or 0 for none"},
		{"IdleTTL", -1, config{IdleTTL: -1}, "IdleTTL is -1ns; want at least 1ns, or 0 for none"},
		{"IdleTTL", 1, config{IdleTTL: 1}, ""},
		{"IdleTTL", int64(math.MaxInt64), config{IdleTTL: math.MaxInt64}, ""},
		{"Overflow", 1, config{Overflow: fastcache.InvalidateAll}, ""},
		{"Overflow", 2, config{Overflow: 2}, "Overflow is 2; want EvictOne (0) or InvalidateAll (1)"},
		{"Overflow", 255, config{Overflow: 255}, "Overflow is 255; want EvictOne (0) or InvalidateAll (1)"},
		{"OnRemove", nil, config{OnRemove: nil}, ""},
		{"OnRemove", "a func", config{OnRemove: func(fastcache.Removal[int]) {}}, ""},
		{"NoIndex", true, config{NoIndex: true}, ""},
		{"Hash", fastcache.SecretHash, config{Hash: fastcache.SecretHash}, ""},
		{"Hash", 2, config{Hash: 2}, "Hash is 2; want XXHash or SecretHash"},
		{"Hash", 255, config{Hash: 255}, "Hash is 255; want XXHash or SecretHash"},
		{"ExactClock", true, config{ExactClock: true}, ""},
		{"RecordStats", true, config{RecordStats: true}, ""},
	}
	tried := map[string]bool{}
	for _, row := range rows {
		tried[row.field] = true
		c, err := fastcache.New(row.cfg)
		if row.want != "" {
			if got := fmt.Sprint(err); got != "fastcache: "+row.want || c != nil {
				t.Errorf("New with %s = %v: %v; want fastcache: %s", row.field, row.value, err, row.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("New with %s = %v: %v", row.field, row.value, err)
			continue
		}
		put(t, c, key("p", 1), 1)
		put(t, c, key("p", 2), 1)
		c.Close()
	}
	for field := range reflect.TypeFor[config]().Fields() {
		if !tried[field.Name] {
			t.Errorf("no row tries the field %s", field.Name)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := fastcache.New(fastcache.Config[int]{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for i := range fastcache.DefaultMaxSessions + 10 {
			put(t, c, key("p", i), i)
		}
		if c.Size() != 20480 {
			t.Errorf("Size() = %d; want the default bound of 20480", c.Size())
		}
		time.Sleep(24*time.Hour - 1)
		if c.Stats().Expired != 0 {
			t.Error("sessions expired before the default TTL of 24 h")
		}
		time.Sleep(tick + 1)
		synctest.Wait()
		if c.Size() != 0 {
			t.Errorf("Size() = %d after the default TTL of 24 h", c.Size())
		}
	})
	w, err := fastcache.New(fastcache.Config[int]{MaxWeight: 1 << 40, Weigh: func(fastcache.Key, int) int64 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range fastcache.DefaultMaxSessions + 10 {
		put(t, w, key("p", i), i)
	}
	if w.Size() != fastcache.DefaultMaxSessions+10 {
		t.Errorf("Size() = %d; want no bound on the count where MaxWeight is set", w.Size())
	}
}

func TestStatsCountHitsAndMisses(t *testing.T) {
	for _, record := range []bool{true, false} {
		c := open(t, layouts()[0], fastcache.Config[int]{RecordStats: record, MaxWeight: 1000,
			Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
		put(t, c, key("p", 1), 7)
		put(t, c, key("p", 2), 8)
		put(t, c, key("q", 1), 9)
		for range 5 {
			c.Lookup(key("p", 1))
		}
		for range 3 {
			c.Lookup(key("p", 99))
		}
		c.Peek(key("p", 1)) // not a use
		c.Peek(key("p", 99))
		st := c.Stats()
		hits, misses := uint64(5), uint64(3)
		if !record {
			hits, misses = 0, 0
		}
		if st.Hits != hits || st.Misses != misses {
			t.Errorf("RecordStats %v: %d hits, %d misses; want %d, %d", record, st.Hits, st.Misses, hits, misses)
		}
		if st.Sessions != 3 || st.PartialKeys != 2 || st.Weight != 24 || st.Inserted != 3 || st.PendingReports != 0 {
			t.Errorf("Stats = %+v; want 3 sessions of 2 partial keys and weight 24", st)
		}
	}
}

// The errors of a bad argument name the value and the limit, wrap what callers compare, and never
// show the key. The zero Cache says what is wrong, or is empty.
func TestErrorsNameTheValueAndTheLimit(t *testing.T) {
	long := func(n int) string { return string(make([]byte, n)) + "secret" }
	weight := int64(1)
	c := fastcache.NewForTest(fastcache.Config[int]{MaxWeight: 10, Weigh: func(fastcache.Key, int) int64 { return weight }}, 1, fastcache.HashGood)
	defer c.Close()
	for _, tc := range []struct {
		name   string
		key    fastcache.Key
		ttl    time.Duration
		weight int64
		want   error
		text   string
	}{
		{"TTL 0", fastcache.Key{"p", "secret"}, 0, 1, fastcache.ErrBadTTL, "fastcache: TTL is not positive: TTL is 0s; want more than 0"},
		{"TTL -1s", fastcache.Key{"p", "secret"}, -time.Second, 1, fastcache.ErrBadTTL, "fastcache: TTL is not positive: TTL is -1s; want more than 0"},
		{"long Partial", fastcache.Key{long(fastcache.MaxKeyPart), ""}, 1, 1, fastcache.ErrKeyTooLong,
			"fastcache: part of the key is longer than 64 KiB: Partial has 65542 bytes; want at most 65536"},
		{"long ID", fastcache.Key{"", long(fastcache.MaxKeyPart)}, 1, 1, fastcache.ErrKeyTooLong,
			"fastcache: part of the key is longer than 64 KiB: ID has 65542 bytes; want at most 65536"},
		{"weight -3", fastcache.Key{"p", "secret"}, 1, -3, fastcache.ErrBadWeight, "fastcache: Weigh returned a negative weight: Weigh returned -3; want 0 to 10"},
		{"weight 11", fastcache.Key{"p", "secret"}, 1, 11, fastcache.ErrTooHeavy, "fastcache: session weighs more than MaxWeight: it weighs 11; want at most 10"},
	} {
		weight = tc.weight
		for method, err := range map[string]error{
			"UpdateTTL":         c.UpdateTTL(tc.key, 1, tc.ttl),
			"UpdateOnProbation": c.UpdateOnProbation(tc.key, 1, tc.ttl),
		} {
			if fmt.Sprint(err) != tc.text || !isError(err, tc.want) {
				t.Errorf("%s with %s = %v; want %s", method, tc.name, err, tc.text)
			}
		}
		if err := c.Update(tc.key, 1); tc.want != fastcache.ErrBadTTL && fmt.Sprint(err) != tc.text {
			t.Errorf("Update with %s = %v; want %s", tc.name, err, tc.text)
		}
	}
}

func isError(err, want error) bool {
	u, ok := err.(interface{ Unwrap() error })
	return ok && u.Unwrap() == want
}

func TestTheZeroCacheIsEmptyAndSaysWhy(t *testing.T) {
	var c fastcache.Cache[int]
	k := fastcache.Key{"p", "a"}
	for method, err := range map[string]error{
		"Update":            c.Update(k, 1),
		"UpdateTTL":         c.UpdateTTL(k, 1, time.Hour),
		"UpdateOnProbation": c.UpdateOnProbation(k, 1, time.Hour),
	} {
		if err != fastcache.ErrNotMade {
			t.Errorf("%s = %v; want ErrNotMade", method, err)
		}
	}
	found := map[string]bool{"Delete": c.Delete(k), "Demote": c.Demote(k)}
	_, found["Take"] = c.Take(k)
	_, found["Peek"] = c.Peek(k)
	_, _, found["TakeNewest"] = c.TakeNewest("p")
	_, _, found["TakeNewestKeepLast"] = c.TakeNewestKeepLast("p")
	for range c.All() {
		found["All"] = true
	}
	for range c.SelectSession("p") {
		found["SelectSession"] = true
	}
	for range c.Entries() {
		found["Entries"] = true
	}
	found["Foldl"] = fastcache.Foldl(&c, func(fastcache.Key, int, int) int { return 1 }, 0) != 0
	found["DeletePartial"] = c.DeletePartial("p") != 0
	found["Clear"] = c.Clear() != 0
	found["Size"] = c.Size() != 0
	found["Stats"] = c.Stats() != fastcache.Stats{}
	for method, ok := range found {
		if ok {
			t.Errorf("%s finds something in the zero Cache", method)
		}
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Lookup of the zero Cache does not panic, as its comment says")
		}
	}()
	c.Lookup(k)
}
