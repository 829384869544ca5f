package replay

import "math/rand/v2"

// Made returns generated traces, for what recorded ones show little of: loops, scans, popularity
// that moves, recency alone, and all of them in turn. Their cache sizes go with SizesOf.
func Made(requests int) []*Trace {
	return []*Trace{
		made("loop", requests, loops),
		made("scans", requests, scans),
		made("shifting", requests, shifting),
		made("recency", requests, recency),
		made("phases", requests, phases),
	}
}

// universe is the number of popular keys of a generated trace.
const universe = 20_000

// A source returns one key after the other.
type source func() uint64

func made(name string, requests int, open func(*rand.Rand, int) source) *Trace {
	n := newNumbering(name, requests)
	n.t.Made = true
	next := open(rand.New(rand.NewPCG(5, 2026)), requests)
	for n.add(next()) {
	}
	return n.trace()
}

// loops goes round 3,000 keys while every fifth request follows Zipf's law.
func loops(rng *rand.Rand, _ int) source {
	const length = 3_000
	zipf, at := rand.NewZipf(rng, 1.05, 1, universe-1), uint64(0)
	return func() uint64 {
		if rng.IntN(5) == 0 {
			return zipf.Uint64()
		}
		at = (at + 1) % length
		return universe + at
	}
}

// scans interrupts Zipf's law with long runs of keys that never return.
func scans(rng *rand.Rand, _ int) source {
	zipf, left, fresh := rand.NewZipf(rng, 1.01, 1, universe-1), 0, uint64(universe)
	return func() uint64 {
		if left == 0 && rng.IntN(20_000) == 0 {
			left = 10_000
		}
		if left > 0 {
			left--
			fresh++
			return fresh
		}
		return zipf.Uint64()
	}
}

// shifting follows Zipf's law, and the popular keys are others every tenth of the trace.
func shifting(rng *rand.Rand, requests int) source {
	zipf, count, base := rand.NewZipf(rng, 1.01, 1, universe-1), 0, uint64(0)
	return func() uint64 {
		if count++; count%(requests/10) == 0 {
			base += universe / 2
		}
		return base + zipf.Uint64()
	}
}

// recency asks again for what was asked for lately, the nearer the likelier, and nothing is
// popular by itself: an LRU is hard to beat.
func recency(rng *rand.Rand, _ int) source {
	var asked []uint64
	zipf, fresh := rand.NewZipf(rng, 1.2, 20, universe-1), uint64(0)
	return func() uint64 {
		key := fresh
		if back := int(zipf.Uint64()); rng.IntN(4) > 0 && back < len(asked) {
			key = asked[len(asked)-1-back]
		} else {
			fresh++
		}
		asked = append(asked, key)
		return key
	}
}

// phases is a tenth of the trace each of recency, loop and scans, and again.
func phases(rng *rand.Rand, requests int) source {
	sources := []source{recency(rng, requests), loops(rng, requests), scans(rng, requests)}
	count := 0
	return func() uint64 {
		phase := count / (requests / 10) % len(sources)
		count++
		return uint64(phase)<<32 | sources[phase]()
	}
}
