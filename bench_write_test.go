package sessioncache_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A churn is a full cache to which new sessions of known hosts come, each in place of the
// oldest. Its trace is so long that a session is gone when its key comes again.
type churn struct {
	cache *fastcache.Cache[*session]
	trace *trace
	at    int // where the last benchmark stopped
}

var lastChurn memo[setup, *churn]

func (s setup) churn(b *testing.B) *churn {
	return lastChurn.get(s, func() *churn {
		rng := rand.New(rand.NewPCG(1, uint64(s.sessions)))
		return &churn{
			cache: s.cache(b),
			trace: newTrace(max(1<<20, 2*s.sessions), func(i int) (int, uint64) {
				return rng.IntN(s.hosts), fresh + uint64(i)
			}),
		}
	})
}

// BenchmarkUpdateNew stores a new session in a full cache, which evicts another.
func BenchmarkUpdateNew(b *testing.B) {
	forget()
	b.Cleanup(forget)
	for _, n := range []int{1e3, 1e5, 1e6} {
		for _, index := range indexes {
			b.Run(size(n)+"/"+index.name, func(b *testing.B) {
				ch := setup{load: loadOf(n), role: "churn", noIndex: index.off}.churn(b)
				c, t, i := ch.cache, ch.trace, ch.at
				value := &sessions()[0]
				before := c.Stats()
				b.ReportAllocs()
				for ; b.Loop(); i = t.next(i) {
					if err := c.Update(t.key(i), value); err != nil {
						b.Fatal(err)
					}
				}
				ch.at = i
				st := c.Stats()
				inserted, evicted := st.Inserted-before.Inserted, st.Evicted-before.Evicted
				if inserted != uint64(b.N) || evicted != inserted || st.Sessions != n {
					b.Fatalf("%d inserted, %d evicted, %d resident; want %d, the same, %d", inserted, evicted, st.Sessions, b.N, n)
				}
			})
		}
	}
}

// writeOps are writes, or pairs of them, that leave every session in its place. run makes
// b.N of them, each of which adds one to the count of Stats.
var writeOps = []struct {
	name       string
	count      func(fastcache.Stats) uint64
	needsIndex bool
	run        func(b *testing.B, c *fastcache.Cache[*session], t *trace)
}{
	{"Update", replaced, false, func(b *testing.B, c *fastcache.Cache[*session], t *trace) {
		values := sessions()
		for i := 0; b.Loop(); i = t.next(i) {
			if err := c.Update(t.key(i), &values[t.want[i]]); err != nil {
				b.Fatal(err)
			}
		}
	}},
	{"UpdateTTL", replaced, false, func(b *testing.B, c *fastcache.Cache[*session], t *trace) {
		values := sessions()
		for i := 0; b.Loop(); i = t.next(i) {
			if err := c.UpdateTTL(t.key(i), &values[t.want[i]], lifeOf(i)); err != nil {
				b.Fatal(err)
			}
		}
	}},
	{"Delete+Update", deleted, false, func(b *testing.B, c *fastcache.Cache[*session], t *trace) {
		values := sessions()
		for i := 0; b.Loop(); i = t.next(i) {
			if !c.Delete(t.key(i)) {
				b.Fatal("Delete found no session")
			}
			if err := c.Update(t.key(i), &values[t.want[i]]); err != nil {
				b.Fatal(err)
			}
		}
	}},
	{"Take+Update", taken, false, func(b *testing.B, c *fastcache.Cache[*session], t *trace) {
		values := sessions()
		for i := 0; b.Loop(); i = t.next(i) {
			v, ok := c.Take(t.key(i))
			if !ok || v != &values[t.want[i]] {
				b.Fatalf("Take = %p, %v; want session %d", v, ok, t.want[i])
			}
			if err := c.Update(t.key(i), v); err != nil {
				b.Fatal(err)
			}
		}
	}},
	{"TakeNewest+Update", taken, true, func(b *testing.B, c *fastcache.Cache[*session], t *trace) {
		takeNewest(b, c, t, c.TakeNewest)
	}},
	{"TakeNewestKeepLast+Update", taken, true, func(b *testing.B, c *fastcache.Cache[*session], t *trace) {
		takeNewest(b, c, t, c.TakeNewestKeepLast)
	}},
}

func replaced(st fastcache.Stats) uint64 { return st.Replaced }
func deleted(st fastcache.Stats) uint64  { return st.Deleted }
func taken(st fastcache.Stats) uint64    { return st.Taken }

// takeNewest takes a session of a host and stores it again.
func takeNewest(b *testing.B, c *fastcache.Cache[*session], t *trace, take func(string) (fastcache.Key, *session, bool)) {
	for i := 0; b.Loop(); i = t.next(i) {
		partial := t.key(i).Partial
		key, v, ok := take(partial)
		if !ok || v == nil || key.Partial != partial {
			b.Fatalf("took %q, %p, %v; want a session of %s", key, v, ok, partial)
		}
		if err := c.Update(key, v); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite varies the operation last, so that all of them share a cache.
func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{1e3, 1e6} {
		for _, index := range indexes {
			for _, op := range writeOps {
				if op.needsIndex && index.off {
					continue
				}
				b.Run(fmt.Sprintf("%s/%s/op=%s", size(n), index.name, op.name), func(b *testing.B) {
					l := loadOf(n)
					c, t := setup{load: l, role: "write", noIndex: index.off}.cache(b), pattern{l, "uniform", 100}.trace()
					before := op.count(c.Stats())
					b.ReportAllocs()
					op.run(b, c, t)
					st := c.Stats()
					if got := op.count(st) - before; got != uint64(b.N) || st.Sessions != n {
						b.Fatalf("Stats counts %d, and %d resident; want %d, %d as before", got, st.Sessions, b.N, n)
					}
				})
			}
		}
	}
}

// BenchmarkTakeNewestKeepLast asks for the only session of a host, which stays.
func BenchmarkTakeNewestKeepLast(b *testing.B) {
	l := load{sessions: 1e5, hosts: 1e5}
	b.Run(size(l.sessions)+"/group=1", func(b *testing.B) {
		c, t := setup{load: l, role: "read"}.cache(b), pattern{l, "uniform", 100}.trace()
		values := sessions()
		right := 0
		b.ReportAllocs()
		for i := 0; b.Loop(); i = t.next(i) {
			if _, v, ok := c.TakeNewestKeepLast(t.key(i).Partial); ok && v == &values[t.want[i]] {
				right++
			}
		}
		if right != b.N || c.Size() != l.sessions {
			b.Fatalf("%d of %d were right, %d of %d sessions stay", right, b.N, c.Size(), l.sessions)
		}
	})
}

// BenchmarkDemote demotes each session once; Updates outside the clock undo it.
func BenchmarkDemote(b *testing.B) {
	l := loadOf(1e5)
	b.Run(size(l.sessions), func(b *testing.B) {
		c, t := setup{load: l, role: "write"}.cache(b), l.all()
		fill(b, c, t)
		b.ReportAllocs()
		demoted, i := 0, 0
		for b.Loop() {
			if i == len(t.want) {
				b.StopTimer()
				fill(b, c, t)
				i = 0
				b.StartTimer()
			}
			if c.Demote(t.key(i)) {
				demoted++
			}
			i++
		}
		if demoted != b.N {
			b.Fatalf("demoted %d of %d", demoted, b.N)
		}
	})
}
