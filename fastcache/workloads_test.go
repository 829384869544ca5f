package fastcache_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// A workload is a row of keys asked for; one that is missed is stored. These are what traces of
// caches are made of, made by arithmetic so that the tests need no files.
type workload []int

const (
	scanKeys   = 1 << 28 // those of a scan are new
	burstKeys  = 1 << 29
	recentKeys = 1 << 30
)

// A zipf picks the ranks 0 … n-1, in proportion to 1/(rank+1)^skew.
type zipf struct{ cumulative []float64 }

func newZipf(n int, skew float64) zipf {
	z := zipf{make([]float64, n)}
	sum := 0.0
	for i := range z.cumulative {
		sum += math.Pow(float64(i+1), -skew)
		z.cumulative[i] = sum
	}
	return z
}

func (z zipf) pick(rng *rand.Rand) int {
	return sort.SearchFloat64s(z.cumulative, rng.Float64()*z.cumulative[len(z.cumulative)-1])
}

// popular asks for few keys often and for most seldom; each drift requests the ranks move by one.
func popular(n, keys int, skew float64, drift int) workload {
	rng, z := rand.New(rand.NewPCG(1, uint64(keys))), newZipf(keys, skew)
	w := make(workload, n)
	for i := range w {
		w[i] = z.pick(rng)
		if drift > 0 {
			w[i] += i / drift
		}
	}
	return w
}

// loop asks for the same keys in the same order, over and over.
func loop(n, keys int) workload {
	w := make(workload, n)
	for i := range w {
		w[i] = i % keys
	}
	return w
}

// bursts asks for keys a few times each and then no more; so many are in use at once.
func bursts(n, inUse, uses int) workload {
	rng := rand.New(rand.NewPCG(2, uint64(inUse)))
	keys, left := make([]int, inUse), make([]int, inUse)
	next := burstKeys
	w := make(workload, n)
	for i := range w {
		j := rng.IntN(inUse)
		if left[j] == 0 {
			keys[j], left[j] = next, 1+rng.IntN(2*uses)
			next++
		}
		left[j]--
		w[i] = keys[j]
	}
	return w
}

// recent asks for what was asked for some requests ago, most often about median, or for a new key.
func recent(n int, median, spread, fresh float64) workload {
	rng := rand.New(rand.NewPCG(3, uint64(median)))
	w := make(workload, 0, n)
	for next := recentKeys; len(w) < n; {
		ago := int(median * math.Exp(spread*rng.NormFloat64()))
		if ago < 1 || ago > len(w) || rng.Float64() < fresh {
			w = append(w, next)
			next++
			continue
		}
		w = append(w, w[len(w)-ago])
	}
	return w
}

// scanned puts a scan of new keys after every so many requests.
func (w workload) scanned(every, length int) (out workload) {
	next := scanKeys
	for chunk := range slices.Chunk(w, every) {
		out = append(out, chunk...)
		for range length {
			out = append(out, next)
			next++
		}
	}
	return out
}

// then appends other traffic, with keys of its own.
func (w workload) then(more workload) workload {
	out := slices.Clone(w)
	beyond := slices.Max(w) + 1
	for _, key := range more {
		out = append(out, beyond+key)
	}
	return out
}

// hits plays the workload against a cache and returns its hit ratio.
func (w workload) hits(lookup func(key int) bool, store func(key int)) float64 {
	hits := 0
	for _, key := range w {
		if lookup(key) {
			hits++
		} else {
			store(key)
		}
	}
	return float64(hits) / float64(len(w))
}

// lru and fifo are the exact ratios of the two, by the instants at which keys were used or stored.
func (w workload) lru(places int) float64 { return w.byAge(places, true) }

func (w workload) fifo(places int) float64 { return w.byAge(places, false) }

func (w workload) byAge(places int, used bool) float64 {
	at := map[int]int{} // by key
	type entry struct{ key, at int }
	var queue []entry // oldest first; one whose time is not its key's has moved up
	now := 0
	touch := func(key int) {
		now++
		at[key] = now
		queue = append(queue, entry{key, now})
	}
	return w.hits(func(key int) bool {
		_, ok := at[key]
		if ok && used {
			touch(key)
		}
		return ok
	}, func(key int) {
		for len(at) == places {
			if oldest := queue[0]; at[oldest.key] == oldest.at {
				delete(at, oldest.key)
			}
			queue = queue[1:]
		}
		touch(key)
	})
}

// best is Bélády's ratio: no cache hits more, for it knows what will be asked for.
func (w workload) best(places int) float64 {
	next, seen := make([]int, len(w)), map[int]int{}
	for i := len(w) - 1; i >= 0; i-- {
		next[i] = math.MaxInt
		if j, ok := seen[w[i]]; ok {
			next[i] = j
		}
		seen[w[i]] = i
	}
	// Of an interval between two requests for a key the cache keeps it or not. It can keep those
	// that end soonest: at each request the one that ends last goes if there are too many.
	kept, ends := map[int]bool{}, &byEnd{} // intervals by their ends
	i := -1
	return w.hits(func(int) bool {
		i++
		hit := kept[i]
		delete(kept, i)
		if next[i] != math.MaxInt {
			kept[next[i]] = true
			ends.push(next[i])
		}
		if len(kept) > places {
			delete(kept, ends.pop(kept))
		}
		return hit
	}, func(int) {})
}

// byEnd is a heap of intervals, that which ends last first.
type byEnd []int

func (h *byEnd) push(end int) {
	*h = append(*h, end)
	for i := len(*h) - 1; i > 0 && (*h)[i] > (*h)[(i-1)/2]; i = (i - 1) / 2 {
		(*h)[i], (*h)[(i-1)/2] = (*h)[(i-1)/2], (*h)[i]
	}
}

// pop takes out the interval that ends last of those that are kept.
func (h *byEnd) pop(kept map[int]bool) int {
	for {
		old := *h
		top, n := old[0], len(old)-1
		old[0], *h = old[n], old[:n]
		for i := 0; ; {
			child := 2*i + 1
			if child+1 < n && old[child+1] > old[child] {
				child++
			}
			if child >= n || old[child] <= old[i] {
				break
			}
			old[i], old[child] = old[child], old[i]
			i = child
		}
		if kept[top] {
			return top
		}
	}
}
