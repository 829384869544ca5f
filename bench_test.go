package sessioncache_test

// The headline benchmarks of fastcache.Cache. The reference workload: partial keys such as
// "host01234.example.net:443" with ten sessions each, session ids of 32 bytes, values that
// are pointers to 256 bytes. Every benchmark checks the results that it times.
//
// Method: each access has its own copy of its key, and the copies lie in the order of the
// accesses, one cache line each, so that the cache's misses are measured and not the
// harness's. That memory holds no pointers, so the collector does not look at it either.

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

const (
	partialLen = 25
	idLen      = 32
	recordLen  = 64 // of an access in a trace: a key, padded to a cache line

	sessionsPerHost = 10
	maxSessions     = 1_000_000

	// fresh is the first of the numbers that no session of a filled cache has.
	fresh = uint64(1) << 32

	// absent in trace.want marks a key that must not be found.
	absent = ^uint32(0)

	// stride is prime and so steps through all of 10^k sessions, far from one to the next.
	stride = 611_953
)

// A session stands for what a user's cache points at.
type session [256]byte

// sessions are the values of all caches; session n is stored with &sessions()[n]. Nobody
// looks inside, so that a hit costs the lookup alone.
var sessions = sync.OnceValue(func() []session { return make([]session, maxSessions) })

// appendRecord appends the key of a session and the padding.
func appendRecord(dst []byte, host int, number uint64) []byte {
	end := len(dst) + recordLen
	dst = append(dst, "host00000.example.net:443"...)
	for at := len(dst) - partialLen + len("host0000"); host > 0; at-- {
		dst[at] += byte(host % 10)
		host /= 10
	}
	for word := range uint64(idLen / 8) {
		dst = binary.LittleEndian.AppendUint64(dst, mix(number*(idLen/8)+word))
	}
	return dst[:end]
}

// mix is the output function of SplitMix64: a bijection, so different numbers have
// different ids.
func mix(x uint64) uint64 {
	x = (x + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A trace is a sequence of accesses, repeated as often as needed.
type trace struct {
	records string   // of recordLen bytes
	want    []uint32 // by access: the number of its session, or absent
}

// newTrace makes a trace of n accesses; draw returns the host and the number of each.
func newTrace(n int, draw func(i int) (host int, number uint64)) *trace {
	t := &trace{want: make([]uint32, n)}
	var records strings.Builder
	records.Grow(n * recordLen)
	var record [recordLen]byte
	for i := range n {
		host, number := draw(i)
		records.Write(appendRecord(record[:0], host, number))
		t.want[i] = absent
		if number < fresh {
			t.want[i] = uint32(number)
		}
	}
	t.records = records.String()
	return t
}

func (t *trace) key(i int) fastcache.Key {
	record := t.records[i*recordLen:][:partialLen+idLen]
	return fastcache.Key{Partial: record[:partialLen], ID: record[partialLen:]}
}

// next returns the access after i.
func (t *trace) next(i int) int {
	if i++; i < len(t.want) {
		return i
	}
	return 0
}

// hits returns how many of the first n accesses find a session.
func (t *trace) hits(n int) int {
	inAll, inRest := 0, 0
	for i, want := range t.want {
		if want != absent {
			inAll++
			if i < n%len(t.want) {
				inRest++
			}
		}
	}
	return n/len(t.want)*inAll + inRest
}

// A load is a population: session n belongs to host n mod hosts.
type load struct{ sessions, hosts int }

func loadOf(sessions int) load { return load{sessions, sessions / sessionsPerHost} }

func (l load) draw(number uint64) (int, uint64) { return int(number % uint64(l.hosts)), number }

// scattered returns the i-th session of an order in which no two neighbours are related.
func (l load) scattered(i uint64) uint64 { return i * stride % uint64(l.sessions) }

// all is a trace of every session, once.
func (l load) all() *trace {
	return newTrace(l.sessions, func(i int) (int, uint64) { return l.draw(l.scattered(uint64(i))) })
}

// A pattern says which sessions a trace accesses.
type pattern struct {
	load
	dist string // uniform, zipf (s = 1.01) or one, the same again and again
	hit  int    // percent of the accesses that find a session
}

var lastTrace memo[pattern, *trace]

func (p pattern) trace() *trace {
	return lastTrace.get(p, func() *trace {
		rng := rand.New(rand.NewPCG(uint64(p.sessions), uint64(p.hit)))
		zipf := rand.NewZipf(rng, 1.01, 1, uint64(p.sessions-1))
		accesses := 1 << 20
		if p.dist == "one" {
			accesses = 1
		}
		return newTrace(accesses, func(i int) (int, uint64) {
			number := rng.Uint64N(uint64(p.sessions))
			if p.dist == "zipf" {
				number = p.scattered(zipf.Uint64())
			}
			host, number := p.draw(number)
			if rng.IntN(100) >= p.hit {
				number += fresh // a known host, an unknown id
			}
			return host, number
		})
	})
}

// A setup is a cache that holds a load, and nothing more fits in. Benchmarks with the same
// setup share the cache; role keeps those apart that leave it in another state.
type setup struct {
	load
	role    string
	noIndex bool
	option  string // of lookupOptions, or empty
}

// A small cache does not displace the large one, which takes a second to fill.
var lastSmall, lastLarge memo[setup, *fastcache.Cache[*session]]

func (s setup) cache(f failer) *fastcache.Cache[*session] {
	if c := prepared[s]; c != nil {
		return c
	}
	last := &lastSmall
	if s.sessions == maxSessions {
		last = &lastLarge
	}
	return last.get(s, func() *fastcache.Cache[*session] { return s.fill(f) })
}

// fill makes the cache of a setup.
func (s setup) fill(f failer) *fastcache.Cache[*session] {
	option := optionNamed(s.option)
	cfg := option.cfg
	cfg.NoIndex = s.noIndex
	c, t := newEmpty(f, s.sessions, cfg), s.all()
	fill(f, c, t)
	if option.burst {
		for i, want := range t.want {
			if err := c.Update(t.key(i), &sessions()[want]); err != nil {
				f.Fatal(err)
			}
		}
	}
	if got := c.Size(); got != s.sessions {
		f.Fatalf("Size() = %d after %d sessions were stored", got, s.sessions)
	}
	runtime.GC() // or the garbage of growth is collected while the clock runs
	return c
}

// A failer ends what cannot go on: a benchmark, or before any has begun the process.
type failer interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

func newEmpty(f failer, bound int, cfg fastcache.Config[*session]) *fastcache.Cache[*session] {
	cfg.MaxSessions = bound
	c, err := fastcache.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	return c
}

// fill stores the sessions of a trace that holds each once. They expire throughout a day,
// as in a cache that has run for a while: Lookup reads the clock for those that expire
// within a second of the first, and in a burst under one TTL that would be all.
func fill(f failer, c *fastcache.Cache[*session], t *trace) {
	values := sessions()
	for i, want := range t.want {
		if err := c.UpdateTTL(t.key(i), &values[want], lifeOf(i)); err != nil {
			f.Fatal(err)
		}
	}
}

func lifeOf(i int) time.Duration { return time.Hour + time.Duration(i%(24*3600))*time.Second }

// A memo keeps what was made last: repetitions of a benchmark and its neighbours share it,
// and no old cache with its million pointers burdens the collector of the others.
type memo[K comparable, V any] struct {
	key   K
	value V
	made  bool
}

func (m *memo[K, V]) get(key K, create func() V) V {
	if !m.made || m.key != key {
		*m = memo[K, V]{}
		m.value = create()
		m.key, m.made = key, true
	}
	return m.value
}

// forget drops all that is shared, for benchmarks that look at the heap as a whole, and
// before small ones: the collector runs before each, whose time goes by what is alive.
func forget() {
	lastTrace, lastChurn = memo[pattern, *trace]{}, memo[setup, *churn]{}
	lastSmall, lastLarge = memo[setup, *fastcache.Cache[*session]]{}, memo[setup, *fastcache.Cache[*session]]{}
	if len(prepared) == 0 {
		runtime.GC()
	}
}

// size is "size=1e6" for a million.
func size(n int) string { return "size=1e" + strconv.Itoa(len(strconv.Itoa(n))-1) }

// indexes begins with off: what follows most often needs the index, and shares the cache.
var indexes = []struct {
	name string
	off  bool
}{{"index=off", true}, {"index=on", false}}
