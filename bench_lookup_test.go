package sessioncache_test

import (
	"flag"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A reading is a benchmark of lookups that leave the cache as it is, by what it needs.
type reading struct {
	name    string // without that of the function
	setup   setup
	pattern pattern
}

// prepared are caches that were filled before any benchmark began.
var prepared = map[setup]*fastcache.Cache[*session]{}

// TestMain fills the caches of the chosen readings before a processor profile begins: it would show more of filling and
// collecting than of lookups. Without a profile, each benchmark fills its own, outside the clock. Package testing collects
// garbage before each benchmark, in a tenth of a second for a million sessions, so a profiled benchmark
// runs for 3 seconds unless -benchtime is set.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.cpuprofile").Value.String() != "" {
		prepare(flag.Lookup("test.bench").Value.String())
		benchtime := flag.Lookup("test.benchtime").Value
		if benchtime.String() == flag.Lookup("test.benchtime").DefValue {
			if err := benchtime.Set("3s"); err != nil {
				log.Fatal(err)
			}
		}
	}
	os.Exit(m.Run())
}

// prepare fills the caches of the readings that a value of -bench chooses.
func prepare(bench string) {
	if bench == "" {
		return
	}
	for function, readings := range map[string][]reading{
		"BenchmarkLookup": lookupReadings(), "BenchmarkLookupParallel": parallelReadings(),
		"BenchmarkLookupOption": optionReadings(), "BenchmarkLookupKey": keyReadings(),
	} {
		for _, r := range readings {
			if prepared[r.setup] == nil && isChosen(function+"/"+r.name, strings.Split(bench, "/")) {
				prepared[r.setup] = r.setup.fill(log.Default())
			}
		}
	}
}

// isChosen reports whether the parts of -bench match those of a name, as package testing has it.
func isChosen(name string, parts []string) bool {
	names := strings.Split(name, "/")
	for i, part := range parts[:min(len(parts), len(names))] {
		if ok, err := regexp.MatchString(part, names[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func TestPrepareFillsTheCachesOfTheChosenReadings(t *testing.T) {
	defer clear(prepared)
	for _, tt := range []struct {
		bench string
		want  []setup
	}{
		{bench: ""},
		{bench: "Update"},
		{bench: "Lookup/size=1e3/index=on", want: []setup{{load: loadOf(1e3), role: "read"}}},
		{bench: "^BenchmarkLookupOption$/size/option=Exact", want: []setup{{load: loadOf(1e5), role: "read", option: "ExactClock"}}},
	} {
		clear(prepared)
		prepare(tt.bench)
		for _, s := range tt.want {
			if c := prepared[s]; c == nil || c.Size() != s.sessions || s.cache(t) != c {
				t.Errorf("-bench %q: the cache of %+v was not filled, or is not used", tt.bench, s)
			}
		}
		if len(prepared) != len(tt.want) {
			t.Errorf("-bench %q: filled %d caches; want %d", tt.bench, len(prepared), len(tt.want))
		}
	}
}

func lookupReadings() (all []reading) {
	for _, n := range []int{1e3, 1e5, 1e6} {
		for _, index := range indexes {
			for _, hit := range []int{100, 90, 0} {
				for _, dist := range []string{"uniform", "zipf"} {
					if dist == "zipf" && (n != 1e6 || hit != 100) {
						continue
					}
					all = append(all, reading{
						name:    fmt.Sprintf("%s/%s/dist=%s/hit=%d", size(n), index.name, dist, hit),
						setup:   setup{load: loadOf(n), role: "read", noIndex: index.off},
						pattern: pattern{loadOf(n), dist, hit},
					})
				}
			}
		}
	}
	return all
}

func BenchmarkLookup(b *testing.B) {
	forget()
	for _, r := range lookupReadings() {
		b.Run(r.name, func(b *testing.B) { lookups(b, r.setup.cache(b), r.pattern.trace()) })
	}
}

// lookups times Lookup along a trace.
func lookups(b *testing.B, c *fastcache.Cache[*session], t *trace) {
	values := sessions()
	hits, wrong := 0, 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i = t.next(i) {
		if v, ok := c.Lookup(t.key(i)); ok {
			hits++
			if w := t.want[i]; w == absent || v != &values[w] {
				wrong++
			}
		}
	}
	if want := t.hits(b.N); hits != want || wrong != 0 {
		b.Fatalf("%d of %d lookups hit, %d of them wrongly; want %d, 0", hits, b.N, wrong, want)
	}
}

// parallels are numbers of goroutines per processor.
var parallels = []int{1, 8}

func parallelReadings() (all []reading) {
	l := loadOf(1e6)
	for _, dist := range []string{"uniform", "zipf", "one"} {
		for _, parallel := range parallels {
			all = append(all, reading{
				name:    fmt.Sprintf("%s/index=on/dist=%s/parallel=%d", size(l.sessions), dist, parallel),
				setup:   setup{load: l, role: "read"},
				pattern: pattern{l, dist, 100},
			})
		}
	}
	return all
}

// parallel is the number of goroutines per processor; -cpu varies the processors.
func BenchmarkLookupParallel(b *testing.B) {
	for i, r := range parallelReadings() {
		b.Run(r.name, func(b *testing.B) {
			c, t := r.setup.cache(b), r.pattern.trace()
			b.SetParallelism(parallels[i%len(parallels)])
			inParallel(b, c, t, 0)
		})
	}
}

// inParallel has goroutines look up and, every so many steps, replace the sessions of a
// trace without misses, beginning at different places. Every lookup must hit.
func inParallel(b *testing.B, c *fastcache.Cache[*session], t *trace, writeEvery int) {
	values := sessions()
	var mu sync.Mutex
	start := 0
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		i := start % len(t.want)
		start += 104_729 // a prime: no goroutine follows on another's heels
		mu.Unlock()
		reads, hits, failed, untilWrite := 0, 0, 0, writeEvery
		for ; pb.Next(); i = t.next(i) {
			value := &values[t.want[i]]
			if untilWrite--; untilWrite == 0 {
				untilWrite = writeEvery
				if c.Update(t.key(i), value) != nil {
					failed++
				}
				continue
			}
			reads++
			if v, ok := c.Lookup(t.key(i)); ok && v == value {
				hits++
			}
		}
		if hits != reads || failed != 0 {
			b.Errorf("%d of %d lookups hit, %d updates failed; want all, none", hits, reads, failed)
		}
	})
}

// Writes replace the session of a present key, so a Lookup beside them never misses.
func BenchmarkMixedParallel(b *testing.B) {
	l := loadOf(1e6)
	for _, dist := range []string{"uniform", "zipf"} {
		for _, mix := range []struct{ reads, writeEvery int }{{90, 10}, {75, 4}, {0, 1}} {
			b.Run(fmt.Sprintf("%s/index=on/dist=%s/reads=%d", size(l.sessions), dist, mix.reads), func(b *testing.B) {
				c, t := setup{load: l, role: "write"}.cache(b), pattern{l, dist, 100}.trace()
				inParallel(b, c, t, mix.writeEvery)
				if got := c.Size(); got != l.sessions {
					b.Fatalf("Size() = %d after replacing only; want %d", got, l.sessions)
				}
			})
		}
	}
}

// A lookupOption is an option that touches Lookup, or a burst: all sessions were stored within
// a second, so that each Lookup reads the clock.
type lookupOption struct {
	name  string
	cfg   fastcache.Config[*session]
	burst bool
}

var lookupOptions = []lookupOption{
	{name: "none"},
	{name: "RecordStats", cfg: fastcache.Config[*session]{RecordStats: true}},
	{name: "ExactClock", cfg: fastcache.Config[*session]{ExactClock: true}},
	{name: "IdleTTL", cfg: fastcache.Config[*session]{IdleTTL: 30 * time.Minute}},
	{name: "SecretHash", cfg: fastcache.Config[*session]{Hash: fastcache.SecretHash}},
	{name: "none+burst", burst: true},
}

func optionNamed(name string) (none lookupOption) {
	for _, option := range lookupOptions {
		if option.name == name {
			return option
		}
	}
	return none
}

func optionReadings() (all []reading) {
	l := loadOf(1e5)
	for _, option := range lookupOptions {
		all = append(all, reading{
			name:    size(l.sessions) + "/option=" + option.name,
			setup:   setup{load: l, role: "read", option: option.name},
			pattern: pattern{l, "uniform", 100},
		})
	}
	return all
}

// What the options that touch Lookup cost it.
func BenchmarkLookupOption(b *testing.B) {
	forget()
	for _, r := range optionReadings() {
		b.Run(r.name, func(b *testing.B) {
			c, t := r.setup.cache(b), r.pattern.trace()
			before := c.Stats()
			lookups(b, c, t)
			if hits := c.Stats().Hits - before.Hits; optionNamed(r.setup.option).cfg.RecordStats && hits != uint64(b.N) {
				b.Fatalf("Stats counts %d hits of %d", hits, b.N)
			}
		})
	}
}

// keyForms are ways to a Key for a program that has both parts as bytes.
var keyForms = []struct {
	name string
	key  func(partial, id []byte) fastcache.Key
}{
	{"KeyOf", func(partial, id []byte) fastcache.Key { return fastcache.KeyOf(partial, id) }},
	{"converted", func(partial, id []byte) fastcache.Key {
		return fastcache.Key{Partial: string(partial), ID: string(id)}
	}},
}

func keyReadings() (all []reading) {
	l := loadOf(1e5)
	for _, form := range keyForms {
		all = append(all, reading{
			name:    size(l.sessions) + "/bytes=" + form.name,
			setup:   setup{load: l, role: "read"},
			pattern: pattern{l, "uniform", 100},
		})
	}
	return all
}

// BenchmarkLookupKey looks sessions up by keys that come as bytes, as from a handshake.
func BenchmarkLookupKey(b *testing.B) {
	for i, r := range keyReadings() {
		b.Run(r.name, func(b *testing.B) {
			c, t, keyOf := r.setup.cache(b), r.pattern.trace(), keyForms[i].key
			values, records := sessions(), []byte(t.records)
			right := 0
			b.ReportAllocs()
			for at := 0; b.Loop(); at = t.next(at) {
				record := records[at*recordLen:][:partialLen+idLen]
				if v, ok := c.Lookup(keyOf(record[:partialLen], record[partialLen:])); ok && v == &values[t.want[at]] {
					right++
				}
			}
			if right != b.N {
				b.Fatalf("%d of %d lookups were right", right, b.N)
			}
		})
	}
}
