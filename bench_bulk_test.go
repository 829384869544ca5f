package sessioncache_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// BenchmarkGrow fills an empty cache. One operation is the whole growth; each Update is
// timed, too, which adds one reading of the clock to it. worst-ns is the slowest of all
// Updates, whatever delayed it: growth, the collector, or another process.
func BenchmarkGrow(b *testing.B) {
	l := loadOf(1e6)
	for _, index := range indexes {
		b.Run(size(l.sessions)+"/"+index.name, func(b *testing.B) {
			forget()
			t := l.all()
			took := make([]int64, l.sessions)
			var worst, slow, bytes float64
			for b.Loop() {
				b.StopTimer()
				before := heap()
				c := newEmpty(b, l.sessions, fastcache.Config[*session]{NoIndex: index.off})
				b.StartTimer()
				grow(b, c, t, took)
				b.StopTimer()
				bytes += heap() - before
				slices.Sort(took)
				worst = max(worst, float64(took[len(took)-1]))
				slow = max(slow, float64(took[len(took)-len(took)/10_000]))
				if got := c.Size(); got != l.sessions {
					b.Fatalf("Size() = %d after %d Updates", got, l.sessions)
				}
				b.StartTimer()
			}
			perSession(b, l.sessions)
			b.ReportMetric(worst, "worst-ns")
			b.ReportMetric(slow, "p99.99-ns")
			b.ReportMetric(bytes/float64(b.N)/float64(l.sessions), "B/session")
		})
	}
}

// grow is fill with the time of each Update.
func grow(b *testing.B, c *fastcache.Cache[*session], t *trace, took []int64) {
	values := sessions()
	start := time.Now()
	var last time.Duration
	for i, want := range t.want {
		if err := c.Update(t.key(i), &values[want]); err != nil {
			b.Fatal(err)
		}
		now := time.Since(start)
		took[i] = int64(now - last)
		last = now
	}
}

// heap returns the bytes of all reachable objects, among them the values and traces.
func heap() float64 {
	sessions() // made by now, so that they do not look like growth
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkDeletePartial revokes one group after the other; they come back outside the clock.
func BenchmarkDeletePartial(b *testing.B) {
	for _, group := range []int{10, 1000} {
		l := load{sessions: 1e5, hosts: 1e5 / group}
		b.Run(fmt.Sprintf("%s/index=on/group=%d", size(l.sessions), group), func(b *testing.B) {
			c, t := setup{load: l, role: "revoke"}.cache(b), l.all()
			fill(b, c, t)
			hosts := newTrace(l.hosts, func(i int) (int, uint64) { return i * 7919 % l.hosts, uint64(i) })
			removed, i := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if i == l.hosts {
					b.StopTimer()
					fill(b, c, t)
					i = 0
					b.StartTimer()
				}
				removed += c.DeletePartial(hosts.key(i).Partial)
				i++
			}
			if left := l.sessions - i*group; removed != b.N*group || c.Size() != left {
				b.Fatalf("removed %d sessions, left %d; want %d, %d", removed, c.Size(), b.N*group, left)
			}
			perSession(b, group)
		})
	}
}

// BenchmarkClear empties a cache that is filled outside the clock.
func BenchmarkClear(b *testing.B) {
	for _, n := range []int{1e3, 1e5} {
		l := loadOf(n)
		b.Run(size(n), func(b *testing.B) {
			c, t := newEmpty(b, n, fastcache.Config[*session]{}), l.all()
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				fill(b, c, t)
				b.StartTimer()
				if got := c.Clear(); got != n {
					b.Fatalf("Clear() = %d; want %d", got, n)
				}
			}
			perSession(b, n)
		})
	}
}

// BenchmarkExpire has all sessions of a cache expire in one tick and times the pass from
// the moment when some are gone until all are. ns/session counts what was left at that
// moment; ns/op would mean nothing and is not reported.
func BenchmarkExpire(b *testing.B) {
	l := loadOf(1e5)
	b.Run(size(l.sessions), func(b *testing.B) {
		c, t := newEmpty(b, l.sessions, fastcache.Config[*session]{}), l.all()
		began := time.Now()
		fill(b, c, t)
		life := 3 * time.Since(began)
		c.Clear()
		var elapsed time.Duration
		expired := 0
		for b.Loop() {
			for {
				took, n := expirePass(b, c, t, life)
				if n > 0 {
					elapsed += took
					expired += n
					break
				}
				life *= 2 // the first expired before the last was stored
			}
		}
		if got := c.Stats().Expired; got < uint64(expired) || c.Size() != 0 {
			b.Fatalf("Stats counts %d expired, %d are left; saw %d expire", got, c.Size(), expired)
		}
		b.ReportMetric(float64(elapsed.Nanoseconds())/float64(expired), "ns/session")
		b.ReportMetric(0, "ns/op")
	})
}

// expirePass stores sessions that all expire at the same instant, and returns how long it
// took to expire how many of them; 0 if there was no such moment.
func expirePass(b *testing.B, c *fastcache.Cache[*session], t *trace, life time.Duration) (time.Duration, int) {
	values := sessions()
	end := time.Now().Add(life)
	for i, want := range t.want {
		ttl := max(time.Until(end), 1)
		if err := c.UpdateTTL(t.key(i), &values[want], ttl); err != nil {
			b.Fatal(err)
		}
	}
	late := time.Until(end) <= 0 || c.Size() != len(t.want)
	const poll = 100 * time.Microsecond // without a pause, loads of the counter slow the pass down
	for c.Size() == len(t.want) {
		time.Sleep(poll)
	}
	left, began := c.Size(), time.Now()
	for c.Size() > 0 {
		time.Sleep(poll)
	}
	if late {
		return 0, 0
	}
	return time.Since(began), left
}
