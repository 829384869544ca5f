package scenario

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

var memoryScenarios = []Scenario{
	{Name: "memory", Doc: "1 M sessions: heap beyond key (57 B) and value, and the processor time of a forced collection", Takes: onHeap, Run: memory(workload.LoadOf), Rounds: 5},
	{Name: "memory-alone", Doc: "1 M sessions, each of a partial key of its own: heap beyond key (57 B) and value, and the processor time of a forced collection", Takes: onHeap, Run: memory(alone), Rounds: 5},
	{Name: "latency", Doc: "each operation of mixed-90 timed by itself while collections are forced five times a second (the clock's own cost is in: see empty-call)", Takes: notYardstick, Run: latency, Rounds: 5},
}

// onHeap leaves out the one that hides its memory from the heap statistics.
func onHeap(p peers.Peer) bool { return real(p) && p.Name != "vm-fastcache" }

// heap returns the bytes of all live objects.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first may have been under way already; the second sweeps
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// alone is a population in which every session has a partial key of its own.
func alone(sessions int) workload.Load { return workload.Load{Sessions: sessions, Hosts: sessions} }

// memory measures a population of a million sessions.
func memory(load func(sessions int) workload.Load) func(Env, peers.Peer) ([]Result, error) {
	return func(env Env, p peers.Peer) ([]Result, error) { return memoryOf(load(env.million()), p) }
}

// memoryOf gives each session memory of its own, and each key of a peer, as in a real program.
func memoryOf(l workload.Load, p peers.Peer) ([]Result, error) {
	n := float64(l.Sessions)
	own := make([]*workload.Session, l.Sessions)
	for i := range own {
		own[i] = &workload.Session{Number: uint64(i)}
	}
	c := open(p, l, nil, true)
	t := l.All()
	before := heap()
	for i := range t.Len() {
		c.Set(strings.Clone(t.Key(i)), own[t.Number(i)])
		keepUp(c, i)
	}
	c.Flush()
	used := heap() - before
	beyond := float64(workload.KeyLen)
	if p.Class == peers.Bytes {
		beyond += workload.SessionLen // it holds a copy
	} else if got := float64(c.Len()); got < 0.98*n || got > n {
		return nil, fmt.Errorf("%s holds %v sessions; want %v", p.Name, got, n)
	}
	const collections = 5
	cpu, began := cpuTime(), time.Now()
	for range collections {
		runtime.GC()
	}
	cpu, wall := cpuTime()-cpu, time.Since(began)
	runtime.KeepAlive(own)
	runtime.KeepAlive(t)
	c.Close()
	return []Result{{N: l.Sessions, Metrics: []Metric{
		{used/n - beyond, "B/session"},
		{float64(cpu.Nanoseconds()) / collections, "gc-cpu-ns"},
		{float64(wall.Nanoseconds()) / collections, "gc-ns"},
	}}}, nil
}

// latency times each operation. A quantile is a measured value, nothing is interpolated.
func latency(env Env, p peers.Peer) ([]Result, error) {
	c, err := fill(p, workload.LoadOf(env.million()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	t := c.load.Zipf(env.scaled(1 << 21))
	times := make([]int32, t.Len()) // in ns; two seconds at most
	var over atomic.Bool
	collector := make(chan int)
	go func() {
		n := 0
		for ; !over.Load(); n++ {
			runtime.GC()
			time.Sleep(200 * time.Millisecond)
		}
		collector <- n
	}()
	workers, sum := processors(), &tally{}
	took := timeWorkers(workers, t.Len(), func(w int) {
		from, to := part(t.Len(), w, workers)
		c.timeEach(t, from, to, times, sum)
	})
	over.Store(true)
	collections := <-collector
	if err := sum.check(p, true); err != nil {
		return nil, err
	}
	slices.Sort(times)
	at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))]) }
	return []Result{{N: took.n, Metrics: []Metric{
		{at(0.50), "p50-ns"}, {at(0.99), "p99-ns"}, {at(0.999), "p99.9-ns"}, {at(1), "worst-ns"},
		{float64(collections), "collections"},
	}}}, nil
}

// timeEach is mix with a clock around every operation.
func (c filled) timeEach(t *workload.Trace, from, to int, times []int32, sum *tally) {
	gets, hits, wrong := 0, 0, 0
	for i := from; i < to; i++ {
		s := &c.sessions[t.Number(i)]
		if i%10 == 9 {
			began := time.Now()
			c.Set(t.Key(i), s)
			times[i] = nanos(time.Since(began))
			continue
		}
		gets++
		began := time.Now()
		found, ok := c.Get(t.Key(i))
		times[i] = nanos(time.Since(began))
		if ok {
			hits++
			if found != s {
				wrong++
			}
		}
	}
	sum.add(gets, hits, wrong)
}

func nanos(d time.Duration) int32 { return int32(min(d, 2*time.Second)) }
