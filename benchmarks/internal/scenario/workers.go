package scenario

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

// A filled is a cache that holds a load.
type filled struct {
	peers.Cache
	peer     peers.Peer
	load     workload.Load
	sessions []workload.Session
}

// open opens an empty cache for a load.
func open(p peers.Peer, l workload.Load, values []workload.Session, roomy bool) filled {
	return filled{p.Open(peers.Config{
		Capacity: l.Sessions, Roomy: roomy, TTL: workload.TTL, Sessions: values,
	}), p, l, values}
}

// fill opens a cache that holds each session of a load, under keys of their own.
func fill(p peers.Peer, l workload.Load) (filled, error) {
	c := open(p, l, workload.NewSessions(l.Sessions), true)
	err := c.fill(l.All())
	runtime.GC() // or the garbage of growth is collected while the clock runs
	return c, err
}

// keepUp lets a cache finish what it does in the background, every so many Sets: one that may drop a
// Set drops those for which it has no time, and would then hold too few.
func keepUp(c peers.Cache, i int) {
	if i%1024 == 0 {
		c.Flush()
	}
}

// fill stores the sessions of a trace and sees to it that all are found: a cache that may drop a
// Set is given it again.
func (c filled) fill(t *workload.Trace) error {
	for i := range t.Len() {
		c.Set(strings.Clone(t.Key(i)), &c.sessions[t.Number(i)])
	}
	if c.peer.Class == peers.Harness {
		return nil
	}
	c.Flush()
	for range 100 {
		missing := 0
		for i := range t.Len() {
			if _, ok := c.Get(t.Key(i)); !ok {
				c.Set(strings.Clone(t.Key(i)), &c.sessions[t.Number(i)])
				missing++
			}
		}
		c.Flush()
		if missing == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s does not hold the %d sessions that it was given room for", c.peer.Name, t.Len())
}

// A timing is what a number of operations took.
type timing struct {
	n    int
	wall time.Duration
	cpu  time.Duration // of the whole process: what a cache does in the background counts
}

// timeWorkers runs a number of workers to their end and times them together.
func timeWorkers(workers, n int, work func(worker int)) timing {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for w := range workers {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			work(w)
		})
	}
	ready.Wait()
	cpu, began := cpuTime(), time.Now()
	close(start)
	done.Wait()
	return timing{n, time.Since(began), cpuTime() - cpu}
}

// cpuTime returns the processor time that this process has used. It grows by the ticks of the scheduler, some milliseconds.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// threadTime returns the processor time that this thread has used, to the nanosecond. What getrusage says of a thread
// grows by whole ticks.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// metrics are ns/op as Go's parallel benchmarks count it, elapsed time over all operations, and
// the processor time of an operation.
func (t timing) metrics() []Metric {
	return []Metric{
		{float64(t.wall.Nanoseconds()) / float64(t.n), "ns/op"},
		{float64(t.cpu.Nanoseconds()) / float64(t.n), "cpu-ns/op"},
	}
}

// processors is the number of workers of most scenarios.
func processors() int { return runtime.GOMAXPROCS(0) }

// part returns the w-th of so many equal parts of n.
func part(n, w, parts int) (from, to int) { return n * w / parts, n * (w + 1) / parts }

// A tally counts what the workers found.
type tally struct {
	mu                sync.Mutex
	gets, hits, wrong int
}

func (t *tally) add(gets, hits, wrong int) {
	t.mu.Lock()
	t.gets, t.hits, t.wrong = t.gets+gets, t.hits+hits, t.wrong+wrong
	t.mu.Unlock()
}

// check returns an error unless all lookups, or none, found the session that they looked for.
func (t *tally) check(p peers.Peer, wantHits bool) error {
	if p.Class == peers.Harness {
		return nil
	}
	want := 0
	switch {
	case p.Class == peers.Bytes && wantHits:
		want = t.hits // an overwritten session takes up room, so that others may have to go
	case wantHits:
		want = t.gets
	}
	if t.hits != want || t.wrong != 0 {
		return fmt.Errorf("%s: %d of %d lookups hit, %d of them wrongly; want %d, none",
			p.Name, t.hits, t.gets, t.wrong, want)
	}
	return nil
}
