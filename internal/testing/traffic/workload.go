// Package traffic makes the traffic that eviction is judged by, and says what other caches would
// make of it. It is for tests. All of it is arithmetic with fixed seeds, so that the tests need no
// files and every run sees the same.
package traffic

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// A Workload is a row of keys asked for; one that is missed is stored. These are what traces of
// caches are made of.
type Workload []int

const (
	scanKeys   = 1 << 28 // those of a scan are new
	burstKeys  = 1 << 29
	recentKeys = 1 << 30
)

// A Zipf picks the ranks 0 … n-1, in proportion to 1/(rank+1)^skew.
type Zipf struct{ cumulative []float64 }

// NewZipf returns a Zipf over n ranks.
func NewZipf(n int, skew float64) Zipf {
	z := Zipf{make([]float64, n)}
	sum := 0.0
	for i := range z.cumulative {
		sum += math.Pow(float64(i+1), -skew)
		z.cumulative[i] = sum
	}
	return z
}

// Pick returns a rank.
func (z Zipf) Pick(rng *rand.Rand) int {
	return sort.SearchFloat64s(z.cumulative, rng.Float64()*z.cumulative[len(z.cumulative)-1])
}

// Popular asks for few keys often and for most seldom; each drift requests the ranks move by one.
func Popular(n, keys int, skew float64, drift int) Workload {
	rng, z := rand.New(rand.NewPCG(1, uint64(keys))), NewZipf(keys, skew)
	w := make(Workload, n)
	for i := range w {
		w[i] = z.Pick(rng)
		if drift > 0 {
			w[i] += i / drift
		}
	}
	return w
}

// Loop asks for the same keys in the same order, over and over.
func Loop(n, keys int) Workload {
	w := make(Workload, n)
	for i := range w {
		w[i] = i % keys
	}
	return w
}

// Bursts asks for keys a few times each and then no more; so many are in use at once.
func Bursts(n, inUse, uses int) Workload {
	rng := rand.New(rand.NewPCG(2, uint64(inUse)))
	keys, left := make([]int, inUse), make([]int, inUse)
	next := burstKeys
	w := make(Workload, n)
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

// Recent asks for what was asked for some requests ago, most often about median, or for a new key.
func Recent(n int, median, spread, fresh float64) Workload {
	rng := rand.New(rand.NewPCG(3, uint64(median)))
	w := make(Workload, 0, n)
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

// Scanned puts a scan of new keys after every so many requests.
func (w Workload) Scanned(every, length int) (out Workload) {
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

// Then appends other traffic, with keys of its own.
func (w Workload) Then(more Workload) Workload {
	out := slices.Clone(w)
	beyond := slices.Max(w) + 1
	for _, key := range more {
		out = append(out, beyond+key)
	}
	return out
}

// Hits plays the workload against a cache and returns its hit ratio.
func (w Workload) Hits(lookup func(key int) bool, store func(key int)) float64 {
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
