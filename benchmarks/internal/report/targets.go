package report

import (
	"fmt"
	"strings"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/scenario"
)

// A target is something to reach. IDs name it in the notes, too.
type target struct {
	id, what, atMost string
	judge            func(*Data) verdict
}

// A verdict is what was measured of a target.
type verdict struct {
	measured string // empty: nothing
	met      bool
}

const (
	ours    = "fastcache"
	noIndex = "fastcache-noindex"
	floor   = "xsync4"
	otter   = "otter"
)

var targets = []target{
	against("hit-zipf-floor", "hit zipf 1 M", "hit-zipf", ours, floor, 0.95),
	againstExact("hit-zipf-exact", "hit zipf 1 M", "hit-zipf", 0.65),
	against("hit-uniform-floor", "hit uniform 1 M", "hit-uniform", ours, floor, 1.00),
	againstExact("hit-uniform-exact", "hit uniform 1 M", "hit-uniform", 0.60),
	against("miss-floor", "miss", "miss", ours, floor, 1.00),
	againstExact("mixed-90", "mixed 90/10", "mixed-90", 0.75),
	againstExact("mixed-75", "mixed 75/25", "mixed-75", 0.95),
	against("churn", "churn", "churn", ours, otter, 1.05),
	against("churn-noindex", "churn, NoIndex", "churn", noIndex, otter, 0.75),
	against("pairs", "pairs", "pairs", ours, otter, 0.80),
	against("pairs-noindex", "pairs, NoIndex", "pairs", noIndex, otter, 0.65),
	{"select", "select of 10 sessions", "0.25 × OTP's `select_session`, 0 allocs", judgeSelect},
	{"heap", "heap per session over 1 M, beyond key and value, 10 sessions a partial key", "0.95 × otter", func(d *Data) verdict {
		return d.judgeRatio(cell{"memory", "", ours}, cell{"memory", "", otter}, bytesEach, 0.95)
	}},
	{"heap-alone", "the same, one session a partial key", "1.15 × otter", func(d *Data) verdict {
		return d.judgeRatio(cell{"memory-alone", "", ours}, cell{"memory-alone", "", otter}, bytesEach, 1.15)
	}},
	{"gc", "forced GC of 1 M sessions, CPU", "0.75 × otter", func(d *Data) verdict {
		return d.judgeRatio(cell{"memory", "", ours}, cell{"memory", "", otter}, gcCPU, 0.75)
	}},
	{"expiry-late", "expiry of 1 M over 10 s: behind the ideal count", "50 ms, in every round", func(d *Data) verdict {
		s, ok := d.get(cell{"expiry", "", ours}, lateTime)
		return verdict{measuredIf(ok, duration(s.most)+" at most"), s.most <= 0.050}
	}},
	{"expiry-cpu", "expiry of 1 M over 10 s: CPU", "1.00 × otter", func(d *Data) verdict {
		return d.judgeRatio(cell{"expiry", "", ours}, cell{"expiry", "", otter}, expiryCPU, 1.00)
	}},
	{"p99.9", "mixed 90/10, p99.9 with collections running", "the best exact peer's", judgeTail},
	{"growth", "worst single Update while growing to 1 M", "5 ms, best of 5 runs", func(d *Data) verdict {
		return d.judgeWorst(cell{"growth", "", ours}, worstTime, 0.005)
	}},
	{"growth-unbounded", "the same to 10 M, count unbounded, processor time", "1 ms, best of 5 runs", func(d *Data) verdict {
		return d.judgeWorst(cell{"growth-unbounded", "", ours}, worstCPU, 0.001)
	}},
	{"hit-ratio-mean", "hit ratio on recorded traces, mean", "no less than the best peer's − 0.5 points", judgeMeanHits},
	{"hit-ratio-worst", "hit ratio on each recorded trace", "no more than 3 points below the best peer's", judgeWorstHits},
	rotation("rotation", "resumed on ticket rotation", "one-time=0/demote=false", "FIFO and LRU", 1.00),
	rotation("rotation-40", "the same with 40 % one-time clients", "one-time=40/demote=false", "FIFO and LRU", 1.00),
	rotation("rotation-demote", "resumed on ticket rotation, with Demote", "one-time=0/demote=true", "FIFO", 1.10),
	rotation("rotation-demote-40", "the same with 40 % one-time clients", "one-time=40/demote=true", "FIFO", 1.10),
	rotation("rotation-probation", "the same with Demote and UpdateOnProbation, as tlscache does", "one-time=40/demote=probation", "FIFO", 1.10),
}

func measuredIf(ok bool, s string) string {
	if !ok {
		return ""
	}
	return s
}

func against(id, what, sc, cache, other string, most float64) target {
	return target{id, what, fmt.Sprintf("%.2f × %s", most, other), func(d *Data) verdict {
		return d.judgeRatio(cell{sc, "", cache}, cell{sc, "", other}, secPerOp, most)
	}}
}

func againstExact(id, what, sc string, most float64) target {
	return target{id, what, fmt.Sprintf("%.2f × the best exact peer", most), func(d *Data) verdict {
		best := d.bestExact(sc)
		v := d.judgeRatio(cell{sc, "", ours}, cell{sc, "", best}, secPerOp, most)
		if v.measured != "" {
			v.measured += " " + best
		}
		return v
	}}
}

// bestExact returns the fastest peer that is bounded, has a TTL per session and reads a true clock.
func (d *Data) bestExact(sc string) string {
	for _, name := range d.caches(sc, "", secPerOp) {
		if p, ok := peers.Find(name); ok && p.Class == peers.Exact {
			return name
		}
	}
	return ""
}

func (d *Data) judgeRatio(a, b cell, unit string, most float64) verdict {
	r, ok := d.ratio(a, b, unit)
	if !ok {
		return verdict{}
	}
	x, _ := d.get(a, unit)
	y, _ := d.get(b, unit)
	return verdict{
		fmt.Sprintf("%s; %s against %s", r.times(), value(x.center, unit), value(y.center, unit)),
		r.center <= most,
	}
}

func judgeSelect(d *Data) verdict {
	v := d.judgeRatio(cell{"otp", "op=select", ours}, cell{"otp", "op=select", scenario.OTP}, secPerOp, 0.25)
	allocs, ok := d.get(cell{"select", "", ours}, allocsUnit)
	if v.measured == "" || !ok {
		return verdict{}
	}
	return verdict{fmt.Sprintf("%s; %.0f allocs", v.measured, allocs.most), v.met && allocs.most == 0}
}

// judgeTail compares with the exact peer whose tail is shortest.
func judgeTail(d *Data) verdict {
	best, least := "", 0.0
	for _, p := range peers.All() {
		if s, ok := d.get(cell{"latency", "", p.Name}, tailTime); ok && p.Class == peers.Exact && (best == "" || s.center < least) {
			best, least = p.Name, s.center
		}
	}
	v := d.judgeRatio(cell{"latency", "", ours}, cell{"latency", "", best}, tailTime, 1)
	if v.measured != "" {
		v.measured += " " + best
	}
	return v
}

// judgeWorst takes the best of the first five rounds.
func (d *Data) judgeWorst(of cell, unit string, most float64) verdict {
	best, n := 0.0, 0
	for round := 1; round <= 5; round++ {
		if v, ok := d.values[of][unit][round]; ok {
			if n++; n == 1 || v < best {
				best = v
			}
		}
	}
	return verdict{measuredIf(n > 0, fmt.Sprintf("%s, best of %d", duration(best), n)), best <= most}
}

// A comparison of hit ratios: ours and the best peer's of a trace at a cache size.
type hitPair struct {
	variant, bestPeer string
	ours, best        float64
}

// hitPairs compares hit ratios with the best peer's. Yardsticks are no peers.
func (d *Data) hitPairs(kind string) (pairs []hitPair) {
	for _, variant := range d.variants("hit-ratio") {
		if !strings.HasPrefix(variant, "kind="+kind+"/") {
			continue
		}
		mine, ok := d.get(cell{"hit-ratio", variant, ours}, hitPercent)
		p := hitPair{variant: variant, ours: mine.center}
		for _, name := range d.caches("hit-ratio", variant, hitPercent) {
			if peer, found := peers.Find(name); found && peer.Class != peers.Ours && peer.Class != peers.Yardstick {
				s, _ := d.get(cell{"hit-ratio", variant, name}, hitPercent)
				p.bestPeer, p.best = name, s.center // the last is the best
			}
		}
		if ok && p.bestPeer != "" {
			pairs = append(pairs, p)
		}
	}
	return pairs
}

// meanHits returns the mean hit ratio of a cache over the variants of a kind.
func (d *Data) meanHits(kind, cache string) (mean float64, n int) {
	for _, variant := range d.variants("hit-ratio") {
		if s, ok := d.get(cell{"hit-ratio", variant, cache}, hitPercent); ok && strings.HasPrefix(variant, "kind="+kind+"/") {
			mean, n = mean+s.center, n+1
		}
	}
	return mean / float64(max(n, 1)), n
}

func judgeMeanHits(d *Data) verdict {
	mine, n := d.meanHits("recorded", ours)
	best, name := 0.0, ""
	for _, p := range peers.All() {
		mean, m := d.meanHits("recorded", p.Name)
		if p.Class != peers.Ours && p.Class != peers.Yardstick && m == n && mean > best {
			best, name = mean, p.Name
		}
	}
	if n == 0 || name == "" {
		return verdict{}
	}
	return verdict{fmt.Sprintf("%.2f %% against %.2f %% of %s (%+.2f)", mine, best, name, mine-best), mine >= best-0.5}
}

func judgeWorstHits(d *Data) verdict {
	pairs := d.hitPairs("recorded")
	if len(pairs) == 0 {
		return verdict{}
	}
	worst := pairs[0]
	for _, p := range pairs {
		if p.ours-p.best < worst.ours-worst.best {
			worst = p
		}
	}
	return verdict{fmt.Sprintf("%+.2f points at worst (%s, against %s)", worst.ours-worst.best, traceAt(worst.variant), worst.bestPeer),
		worst.ours >= worst.best-3}
}

// rotationTolerance is what counts as equal to a yardstick, in points: shards that fill unevenly
// cost the cache a few hundredths, with luck either way.
const rotationTolerance = 0.1

func rotation(id, what, variant, yardsticks string, least float64) target {
	atMost := fmt.Sprintf("no less than %s", yardsticks)
	if least > 1 {
		atMost = fmt.Sprintf("no less than %.2f × %s", least, yardsticks)
	}
	plain := variant[:strings.LastIndex(variant, "=")] + "=false"
	return target{id, what, atMost, func(d *Data) verdict {
		mine, ok := d.get(cell{"rotation", variant, ours}, resumedUnit)
		fifo, ok2 := d.get(cell{"rotation", plain, peers.FIFO}, resumedUnit)
		lru, ok3 := d.get(cell{"rotation", plain, peers.LRU}, resumedUnit)
		if !ok || !ok2 || !ok3 {
			return verdict{}
		}
		want := fifo.center * least
		if least == 1 {
			want = max(fifo.center, lru.center) - rotationTolerance
		}
		return verdict{fmt.Sprintf("%.2f %%; FIFO %.2f %% (%.3f ×), LRU %.2f %%", mine.center, fifo.center,
			mine.center/fifo.center, lru.center), mine.center >= want}
	}}
}
