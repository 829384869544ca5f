package traffic

import (
	"slices"
	"testing"
)

// The yardsticks themselves: Bélády's ratio of small workloads against all choices there are.
func TestBestIsTheBest(t *testing.T) {
	for seed := range 30 {
		w := Popular(12, 5+seed%4, 0.5, 0)
		for i := range w {
			w[i] = (w[i] + seed*i/7) % 7
		}
		for places := 1; places <= 3; places++ {
			if got, want := w.Best(places), float64(mostHits(w, places, nil))/float64(len(w)); got != want {
				t.Errorf("best of %v with %d places = %.3f; want %.3f", w, places, got, want)
			}
		}
	}
}

// mostHits tries every choice of victims.
func mostHits(w Workload, places int, cached []int) int {
	if len(w) == 0 {
		return 0
	}
	if slices.Contains(cached, w[0]) {
		return 1 + mostHits(w[1:], places, cached)
	}
	if len(cached) < places {
		return mostHits(w[1:], places, append(slices.Clone(cached), w[0]))
	}
	most := mostHits(w[1:], places, cached) // or w[0] itself goes at once
	for i := range cached {
		other := slices.Clone(cached)
		other[i] = w[0]
		most = max(most, mostHits(w[1:], places, other))
	}
	return most
}
