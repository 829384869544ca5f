package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
)

// shown are the caches that plots show: more would hide each other.
var shown = []string{ours, noIndex, floor, "xsync3", "otter-coarse", otter, "theine", "ristretto"}

// plots draws all plots into a directory and returns the Markdown that shows them, by the
// scenario that it stands at.
func (d *Data) plots(dir string) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range []struct {
		scenario, alt string
		w, h          vg.Length
		draw          func(theme) ([]*plot.Plot, error)
	}{
		{"hit-zipf", "Bars: time of an operation, by scenario and cache", 880, 360, d.plotSpeed},
		{"scaling", "Lines: time of an operation against goroutines per processor", 880, 340, d.plotScaling},
		{"memory", "Bars: bytes per session, and processor time of a collection", 880, 300, d.plotMemory},
		{"latency", "Lines: percentiles of the latency", 880, 360, d.plotLatency},
		{"hit-ratio", "Lines: hit ratio in points above LRU, by trace and size", 880, 420, d.plotHits},
	} {
		text, err := picture(dir, p.scenario, p.alt, p.w, p.h, p.draw)
		if err != nil {
			return nil, fmt.Errorf("plot of %s: %w", p.scenario, err)
		}
		out[p.scenario] = text
	}
	return out, nil
}

// plotSpeed groups bars by scenario.
func (d *Data) plotSpeed(t theme) ([]*plot.Plot, error) {
	scenarios := []string{"hit-zipf", "hit-uniform", "miss", "mixed-90", "mixed-75", "churn", "pairs"}
	p := t.new("Time of an operation, in ns (elapsed, two processors)", "", "")
	t.grid(p, false)
	width := vg.Points(11)
	drawn := 0
	for i, cache := range shown {
		values := make(plotter.Values, len(scenarios))
		any := false
		for j, sc := range scenarios {
			if s, ok := d.get(cell{sc, "", cache}, secPerOp); ok {
				values[j], any = s.center*1e9, true
			}
		}
		if !any {
			continue
		}
		drawn++
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, err
		}
		bars.Color, bars.LineStyle.Width = t.color(cache), 0
		bars.Offset = (vg.Length(i) - vg.Length(len(shown)-1)/2) * width
		p.Add(bars)
		p.Legend.Add(cache, bars)
	}
	if drawn == 0 {
		return nil, nil
	}
	p.Legend.Left = true
	p.NominalX(scenarios...)
	p.X.Tick.Length = 0
	p.Y.Min = 0
	return []*plot.Plot{p}, nil
}

// plotScaling draws a line per cache, one plot per load.
func (d *Data) plotScaling(t theme) (plots []*plot.Plot, err error) {
	for _, load := range []string{"hit-zipf", "mixed-90"} {
		p := t.new(load, "goroutines per processor", "ns per operation")
		t.grid(p, true)
		p.X.Scale, p.Y.Min = plot.LogScale{}, 0
		lines := 0
		var marks plot.ConstantTicks
		for _, cache := range shown {
			var xys plotter.XYs
			for _, perCore := range []int{1, 4, 16, 64} {
				c := cell{"scaling", fmt.Sprintf("load=%s/per-core=%d", load, perCore), cache}
				if s, ok := d.get(c, secPerOp); ok {
					xys = append(xys, plotter.XY{X: float64(perCore), Y: s.center * 1e9})
				}
				if len(marks) < 4 {
					marks = append(marks, plot.Tick{Value: float64(perCore), Label: fmt.Sprint(perCore)})
				}
			}
			if len(xys) == 0 {
				continue
			}
			lines++
			if err := t.line(p, cache, xys); err != nil {
				return nil, err
			}
		}
		if lines == 0 {
			return nil, nil
		}
		p.X.Tick.Marker, p.X.Min, p.X.Max = marks, 1, 64
		p.Y.Max *= 1.55 // room for the legend
		plots = append(plots, p)
	}
	return plots, nil
}

// plotMemory draws two bar charts that share their order.
func (d *Data) plotMemory(t theme) (plots []*plot.Plot, err error) {
	for _, of := range []struct {
		title, unit string
		scale       float64
	}{
		{"Heap per session beyond key and value, in bytes", bytesEach, 1},
		{"Processor time of a forced collection, in ms", gcCPU, 1e3},
	} {
		p := t.new(of.title, "", "")
		var names []string
		for _, cache := range slices.Backward(d.caches("memory", "", bytesEach)) {
			if found, ok := peers.Find(cache); ok && found.Class != peers.Bytes {
				names = append(names, cache+"  ") // a gap to the bar
			}
		}
		if len(names) == 0 {
			return nil, nil
		}
		g := plotter.NewGrid()
		g.Vertical.Color, g.Vertical.Dashes, g.Horizontal.Color = t.faint, nil, nil
		p.Add(g)
		for i, cache := range names {
			cache = strings.TrimSpace(cache)
			s, _ := d.get(cell{"memory", "", cache}, of.unit)
			bar, err := plotter.NewBarChart(plotter.Values{s.center * of.scale}, vg.Points(13))
			if err != nil {
				return nil, err
			}
			bar.Horizontal, bar.XMin, bar.Color, bar.LineStyle.Width = true, float64(i), t.color(cache), 0
			p.Add(bar)
		}
		p.NominalY(names...)
		p.Y.Tick.Length, p.X.Min = 0, 0
		plots = append(plots, p)
	}
	return plots, nil
}

// plotLatency draws a line per cache over its percentiles.
func (d *Data) plotLatency(t theme) ([]*plot.Plot, error) {
	p := t.new("Latency of an operation of mixed-90 while the collector runs", "", "")
	t.grid(p, true)
	units := []string{"p50-sec", "p99-sec", "p99.9-sec", worstTime}
	p.Y.Scale = plot.LogScale{}
	var marks plot.ConstantTicks
	round := strings.NewReplacer(".00 ", " ", ".0 ", " ")
	for ns := 10.0; ns <= 1e9; ns *= 10 {
		marks = append(marks, plot.Tick{Value: ns, Label: round.Replace(duration(ns * 1e-9))})
	}
	p.Y.Tick.Marker = marks
	drawn := 0
	for _, cache := range append(slices.Clone(shown), peers.EmptyCall) {
		var xys plotter.XYs
		for i, unit := range units {
			if s, ok := d.get(cell{"latency", "", cache}, unit); ok && s.center > 0 {
				xys = append(xys, plotter.XY{X: float64(i), Y: s.center * 1e9})
			}
		}
		if len(xys) == len(units) {
			drawn++
			if err := t.line(p, cache, xys); err != nil {
				return nil, err
			}
		}
	}
	if drawn == 0 {
		return nil, nil
	}
	p.NominalX("p50", "p99", "p99.9", "worst")
	p.X.Tick.Length = 0
	p.X.Min, p.X.Max = -0.2, 3.2
	p.Y.Min, p.Y.Max = 10, 1e9
	p.Legend.Left = true
	return []*plot.Plot{p}, nil
}

// plotHits draws points above LRU for each trace and size.
func (d *Data) plotHits(t theme) ([]*plot.Plot, error) {
	pairs := slices.Concat(d.hitPairs("recorded"), d.hitPairs("made"))
	if len(pairs) == 0 {
		return nil, nil
	}
	p := t.new("Hit ratio, in points above LRU", "", "")
	t.grid(p, true)
	labels := make([]string, len(pairs))
	for _, cache := range []string{peers.FIFO, "sturdyc", "ristretto", "theine", otter, ours} {
		var xys plotter.XYs
		for i, pair := range pairs {
			labels[i] = traceAt(pair.variant)
			if short, ok := strings.CutSuffix(labels[i], "000"); ok {
				labels[i] = short + "k"
			}
			s, ok := d.get(cell{"hit-ratio", pair.variant, cache}, hitPercent)
			lru, ok2 := d.get(cell{"hit-ratio", pair.variant, peers.LRU}, hitPercent)
			if ok && ok2 {
				xys = append(xys, plotter.XY{X: float64(i), Y: s.center - lru.center})
			}
		}
		if len(xys) == 0 {
			continue
		}
		if err := t.dots(p, cache, xys); err != nil {
			return nil, err
		}
	}
	var marks plot.ConstantTicks
	for points := -100.0; points <= 100; points += 10 {
		label := fmt.Sprintf("%+.0f", points)
		if points == 0 {
			label = peers.LRU
		}
		marks = append(marks, plot.Tick{Value: points, Label: label})
	}
	p.Y.Tick.Marker = marks
	p.NominalX(labels...)
	p.X.Tick.Length = 0
	p.X.Tick.Label.Rotation = math.Pi / 4
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = -1, -0.5
	p.X.Min, p.X.Max = -0.5, float64(len(pairs))*1.12 // room for the legend
	return []*plot.Plot{p}, nil
}
