package traffic

import "math"

// LRU is the hit ratio of a cache that evicts the key used least recently.
func (w Workload) LRU(places int) float64 { return w.byAge(places, true) }

// FIFO is the hit ratio of a cache that evicts the key stored first.
func (w Workload) FIFO(places int) float64 { return w.byAge(places, false) }

// byAge is the exact ratio of the two, by the instants at which keys were used or stored.
func (w Workload) byAge(places int, used bool) float64 {
	at := map[int]int{} // by key
	type entry struct{ key, at int }
	var queue []entry // oldest first; one whose time is not its key's has moved up
	now := 0
	touch := func(key int) {
		now++
		at[key] = now
		queue = append(queue, entry{key, now})
	}
	return w.Hits(func(key int) bool {
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

// Best is Bélády's ratio: no cache hits more, for it knows what will be asked for.
func (w Workload) Best(places int) float64 {
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
	return w.Hits(func(int) bool {
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
