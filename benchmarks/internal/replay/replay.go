package replay

import (
	"container/heap"
	"slices"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

// sizes are what others have published hit ratios for, or what the traces were recorded with.
var sizes = map[string][]int{
	"web07":     {300, 1200, 4000},
	"web12":     {300, 1200, 4000},
	"OLTP":      {1000, 2000, 10_000},
	"P3":        {20_000, 100_000, 300_000},
	"orm-busy":  {1000, 5000, 20_000},
	"orm-night": {1000, 5000, 20_000},
}

// SizesOf returns the cache sizes to replay a trace with: known ones, or a hundredth, a
// twentieth and a fifth of its keys.
func (t *Trace) SizesOf() []int {
	if known := sizes[t.Name]; known != nil {
		return known
	}
	if t.Made {
		return []int{universe / 40, universe / 10}
	}
	return slices.Compact([]int{max(10, t.Unique/100), max(10, t.Unique/20), max(10, t.Unique/5)})
}

// Keys returns a key for each number of a trace.
func (t *Trace) Keys() []string {
	l := workload.LoadOf(t.Unique)
	keys := make([]string, t.Unique)
	for i := range keys {
		keys[i] = l.Key(uint64(i))
	}
	return keys
}

// Hits replays a trace and returns how many requests a cache served. What it misses is stored,
// and the cache does all its work before the next request: so it keeps to its bound.
func (t *Trace) Hits(c peers.Cache, keys []string) (hits int) {
	s := new(workload.Session)
	for _, number := range t.Requests {
		if _, ok := c.Get(keys[number]); ok {
			hits++
			continue
		}
		c.Set(keys[number], s)
		c.Flush()
	}
	return hits
}

// Belady returns the most hits that any policy can have that stores what it misses: it knows the
// future and evicts what is used last, or never.
func (t *Trace) Belady(size int) (hits int) {
	next := t.nextUses()
	resident := make(map[uint32]int, size) // number: its next use
	queue := &farthest{}                   // has stale items, whose use has come
	for i, number := range t.Requests {
		if _, ok := resident[number]; ok {
			hits++
		} else if len(resident) >= size {
			for {
				victim := heap.Pop(queue).(use)
				if at, ok := resident[victim.number]; ok && at == victim.at {
					delete(resident, victim.number)
					break
				}
			}
		}
		resident[number] = next[i]
		heap.Push(queue, use{number, next[i]})
	}
	return hits
}

// nextUses returns, for each request, the place of the next one of its key; for the last one a
// place after the end, which differs from key to key.
func (t *Trace) nextUses() []int {
	next := make([]int, len(t.Requests))
	at := make([]int, t.Unique)
	for number := range at {
		at[number] = len(next) + number
	}
	for i := len(next) - 1; i >= 0; i-- {
		number := t.Requests[i]
		next[i], at[number] = at[number], i
	}
	return next
}

// A use is a request to come.
type use struct {
	number uint32
	at     int
}

// farthest is a heap of uses, the last one on top.
type farthest []use

func (f farthest) Len() int           { return len(f) }
func (f farthest) Less(i, j int) bool { return f[i].at > f[j].at }
func (f farthest) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *farthest) Push(x any)        { *f = append(*f, x.(use)) }
func (f *farthest) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	*f = (*f)[:last]
	return x
}
