package scenario

import (
	"bytes"
	"math"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/perf/benchfmt"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

// small is a run of 1000 sessions.
var small = Env{Scale: 0.001, Traces: []string{"../../traces"}, MaxRequests: 2000}

// slow scenarios take seconds at any scale; what they are made of has tests of its own.
var slow = []string{"expiry"}

func TestEveryScenarioRunsWithEveryCache(t *testing.T) {
	_, erlang := exec.LookPath("escript")
	for _, sc := range All() {
		if slices.Contains(slow, sc.Name) {
			continue
		}
		for _, p := range sc.Peers() {
			if p.Name == OTP && erlang != nil {
				t.Log("escript is not installed: OTP is not measured")
				continue
			}
			t.Run(sc.Name+"/"+p.Name, func(t *testing.T) {
				results, err := sc.Run(small, p)
				if err != nil {
					t.Fatal(err)
				}
				if len(results) == 0 {
					t.Fatal("no results")
				}
				for _, r := range results {
					if r.N <= 0 || len(r.Metrics) == 0 {
						t.Errorf("%q: %d operations, %d metrics", r.Sub, r.N, len(r.Metrics))
					}
					for _, m := range r.Metrics {
						if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
							t.Errorf("%q: %v %s", r.Sub, m.Value, m.Unit)
						}
					}
				}
				readBack(t, sc.Name, p.Name, results)
			})
		}
	}
}

// readBack writes results and reads them as benchstat does.
func readBack(t *testing.T, scenario, cache string, results []Result) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, scenario, cache, results); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	r := benchfmt.NewReader(&b, "results")
	n := 0
	for r.Scan() {
		if res, ok := r.Result().(*benchfmt.Result); ok && len(res.Values) == len(results[n].Metrics) {
			n++
		}
	}
	if r.Err() != nil || n != len(results) {
		t.Errorf("of %d results %d were read back, %v:\n%s", len(results), n, r.Err(), text)
	}
}

// A broken cache must not be timed: once it has been filled and looked through, it forgets
// every tenth key, or returns another's session.
type broken struct {
	peers.Cache
	wrong  bool
	gets   *atomic.Int64
	others []workload.Session
}

func (c broken) Get(key string) (*workload.Session, bool) {
	if c.gets.Add(1) <= 1000 || key[len(key)-1]%10 != 0 {
		return c.Cache.Get(key)
	}
	return &c.others[0], c.wrong
}

func (c broken) Take(key string) (*workload.Session, bool) {
	if s, ok := c.Get(key); !ok || s == &c.others[0] {
		return s, ok
	}
	return c.Cache.Take(key)
}

func TestBrokenCachesAreNotTimed(t *testing.T) {
	base, _ := peers.Find("map+RWMutex")
	for _, wrong := range []bool{false, true} {
		p := base
		p.Open = func(cfg peers.Config) peers.Cache {
			return broken{base.Open(cfg), wrong, new(atomic.Int64), workload.NewSessions(1)}
		}
		for _, name := range []string{"hit-zipf", "hit-uniform", "miss", "mixed-90", "mixed-75", "pairs", "latency", "scaling"} {
			if name == "miss" && !wrong {
				continue // what it forgets, it misses
			}
			sc, _ := Find(name)
			if _, err := sc.Run(small, p); err == nil || strings.Contains(err.Error(), "does not hold") {
				t.Errorf("%s timed a broken cache (wrong sessions: %v) and said %v", name, wrong, err)
			}
		}
	}
}

// A cache above its bound would look good where places count.
func TestCachesAboveTheirBoundAreNotRated(t *testing.T) {
	p, _ := peers.Find(peers.LRU)
	lru := p.Open
	p.Open = func(cfg peers.Config) peers.Cache {
		cfg.Capacity *= 2
		return lru(cfg)
	}
	for _, name := range []string{"rotation", "hit-ratio"} {
		sc, _ := Find(name)
		env := small
		env.MaxRequests = 0
		if _, err := sc.Run(env, p); err == nil {
			t.Errorf("%s rated a cache of twice its bound", name)
		}
	}
}

// A shrinking is a cache whose count falls as its sessions' deadlines pass, late by some time.
type shrinking struct {
	peers.Cache
	n     int
	first time.Time
	gap   time.Duration
	late  time.Duration
}

func (c shrinking) Len() int {
	passed := time.Since(c.first) - c.late
	if passed < 0 {
		return c.n
	}
	return max(0, c.n-1-int(passed/c.gap))
}

func TestLatenessIsHowLongTheOldestLeftIsOver(t *testing.T) {
	for _, late := range []time.Duration{0, 30 * time.Millisecond, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := shrinking{n: 1000, first: time.Now().Add(time.Second), gap: 10 * time.Millisecond, late: late}
			got := lateness(c, c.n, func(i int) time.Time { return c.first.Add(time.Duration(i) * c.gap) })
			if got < late-c.gap || got > late+c.gap {
				t.Errorf("lateness = %v; want %v", got, late)
			}
		})
	}
}

func TestErlangLinesAreUnderstood(t *testing.T) {
	results, err := parseErlang("BenchmarkCompare/scenario=otp/cache=otp-ets/op=delete-1\t500\t12.50 ns/op\t180.00 B/session\n")
	if err != nil || len(results) != 1 {
		t.Fatalf("parseErlang = %v, %v", results, err)
	}
	r := results[0]
	if r.Sub != "op=delete" || r.N != 500 || !slices.Equal(r.Metrics, []Metric{{12.5, "ns/op"}, {180, "B/session"}}) {
		t.Errorf("parseErlang = %+v", r)
	}
	for _, line := range []string{"escript: exception error\n", "B/op=a-1 x 1 ns/op\n", "B/op=a-1 1 x ns/op\n"} {
		if _, err := parseErlang(line); err == nil {
			t.Errorf("parseErlang accepts %q", strings.TrimSpace(line))
		}
	}
}

func TestPartsCoverEverythingOnce(t *testing.T) {
	for _, n := range []int{0, 1, 7, 1000} {
		for _, parts := range []int{1, 2, 3, 128} {
			next := 0
			for w := range parts {
				from, to := part(n, w, parts)
				if from != next || to < from {
					t.Fatalf("part(%d, %d, %d) = %d, %d after %d", n, w, parts, from, to, next)
				}
				next = to
			}
			if next != n {
				t.Errorf("%d parts of %d end at %d", parts, n, next)
			}
		}
	}
}
