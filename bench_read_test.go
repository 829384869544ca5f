package sessioncache_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

func BenchmarkPeek(b *testing.B) {
	for _, n := range []int{1e3, 1e6} {
		b.Run(size(n), func(b *testing.B) {
			c, t := setup{load: loadOf(n), role: "read"}.cache(b), pattern{loadOf(n), "uniform", 100}.trace()
			values, now := sessions(), time.Now()
			right := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i = t.next(i) {
				e, ok := c.Peek(t.key(i))
				if ok && e.Value == &values[t.want[i]] && e.Expires.After(now) {
					right++
				}
			}
			if right != b.N {
				b.Fatalf("%d of %d peeks were right", right, b.N)
			}
		})
	}
}

func BenchmarkSelectSession(b *testing.B) {
	l := loadOf(1e6)
	b.Run(fmt.Sprintf("%s/group=%d", size(l.sessions), sessionsPerHost), func(b *testing.B) {
		c, t := setup{load: l, role: "read"}.cache(b), pattern{l, "uniform", 100}.trace()
		seen := 0
		b.ReportAllocs()
		for i := 0; b.Loop(); i = t.next(i) {
			for _, v := range c.SelectSession(t.key(i).Partial) {
				if v != nil {
					seen++
				}
			}
		}
		if want := b.N * sessionsPerHost; seen != want {
			b.Fatalf("selected %d sessions; want %d", seen, want)
		}
		perSession(b, sessionsPerHost)
	})
}

// perSession reports the time of one of the n sessions that an operation deals with.
func perSession(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/session")
}

func BenchmarkAll(b *testing.B) {
	iterate(b, func(c *fastcache.Cache[*session]) (seen int) {
		for _, v := range c.All() {
			if v != nil {
				seen++
			}
		}
		return seen
	})
}

func BenchmarkEntries(b *testing.B) {
	iterate(b, func(c *fastcache.Cache[*session]) (seen int) {
		for e := range c.Entries() {
			if e.Value != nil {
				seen++
			}
		}
		return seen
	})
}

func BenchmarkFoldl(b *testing.B) {
	iterate(b, func(c *fastcache.Cache[*session]) int {
		return fastcache.Foldl(c, func(_ fastcache.Key, v *session, seen int) int {
			if v != nil {
				seen++
			}
			return seen
		}, 0)
	})
}

// iterate times walks over the whole cache.
func iterate(b *testing.B, walk func(*fastcache.Cache[*session]) (seen int)) {
	for _, n := range []int{1e3, 1e6} {
		b.Run(size(n), func(b *testing.B) {
			c := setup{load: loadOf(n), role: "read"}.cache(b)
			seen := 0
			b.ReportAllocs()
			for b.Loop() {
				seen += walk(c)
			}
			if want := b.N * n; seen != want {
				b.Fatalf("saw %d sessions; want %d", seen, want)
			}
			perSession(b, n)
		})
	}
}

func BenchmarkSize(b *testing.B) {
	l := loadOf(1e6)
	b.Run(size(l.sessions), func(b *testing.B) {
		c := setup{load: l, role: "read"}.cache(b)
		wrong := 0
		for b.Loop() {
			if c.Size() != l.sessions {
				wrong++
			}
		}
		if wrong != 0 {
			b.Fatalf("Size was not %d %d times of %d", l.sessions, wrong, b.N)
		}
	})
}

func BenchmarkStats(b *testing.B) {
	for _, n := range []int{1e3, 1e6} {
		b.Run(size(n), func(b *testing.B) {
			c := setup{load: loadOf(n), role: "read"}.cache(b)
			wrong := 0
			b.ReportAllocs()
			for b.Loop() {
				if st := c.Stats(); st.Sessions != n || st.PartialKeys != n/sessionsPerHost || st.Inserted != uint64(n) {
					wrong++
				}
			}
			if wrong != 0 {
				b.Fatalf("Stats was wrong %d times of %d: now %+v", wrong, b.N, c.Stats())
			}
		})
	}
}
