package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/scenario"
)

// writeScenario writes the tables of a scenario.
func (d *Data) writeScenario(b *strings.Builder, sc scenario.Scenario) {
	switch sc.Name {
	case "hit-ratio":
		d.writeHits(b, "recorded", "Recorded traces, hits in percent:")
		d.writeHits(b, "made", "Generated traces, hits in percent:")
	case "rotation":
		d.writeMatrix(b, sc.Name, resumedUnit)
	case "scaling", "otp":
		d.writeMatrix(b, sc.Name, secPerOp)
	default:
		d.writeRows(b, sc.Name)
	}
}

// units returns the units that a scenario has, in the order that its reader wants.
func (d *Data) units(sc string) (units []string) {
	order := []string{secPerOp, cpuPerOp, "p50-sec", "p99-sec", "p99.9-sec", worstTime, worstCPU, "over-1ms", allocsUnit, keptUnit,
		overUnit, hitPercent, bytesEach, gcCPU, "gc-sec", lateTime, expiryCPU, "left", "collections"}
	for _, unit := range order {
		for _, c := range d.order {
			if c.scenario == sc && len(d.values[c][unit]) > 0 {
				units = append(units, unit)
				break
			}
		}
	}
	return units
}

// writeRows writes a table with a row per cache and a column per unit, sorted by the first.
func (d *Data) writeRows(b *strings.Builder, sc string) {
	units := d.units(sc)
	t := newTable(slices.Concat([]string{"cache"}, units, []string{"ratio", "n"})...)
	for _, name := range d.caches(sc, "", units[0]) {
		c := cell{sc, "", name}
		row := []string{bold(name)}
		n := 0
		for _, unit := range units {
			s, ok := d.get(c, unit)
			n = max(n, s.n)
			switch {
			case !ok:
				row = append(row, "")
			case strings.HasSuffix(unit, "%") || unit == "over-1ms" || unit == "left" || unit == "collections" || unit == allocsUnit:
				row = append(row, value(s.center, unit))
			default:
				row = append(row, value(s.center, unit)+s.spread())
			}
		}
		ratio := ""
		if r, ok := d.ratio(c, cell{sc, "", ours}, units[0]); ok {
			ratio = fmt.Sprintf("%.2f", r.center)
		}
		t.row(append(row, ratio, fmt.Sprint(n))...)
	}
	fmt.Fprintf(b, "%s\n", t)
}

// writeMatrix writes a table with a row per cache and a column per variant.
func (d *Data) writeMatrix(b *strings.Builder, sc, unit string) {
	variants := d.variants(sc)
	head := []string{"cache"}
	var names []string
	for _, v := range variants {
		head = append(head, pretty(v))
		for _, name := range d.caches(sc, v, unit) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	t := newTable(head...)
	for _, name := range names {
		row := []string{bold(name)}
		for _, v := range variants {
			s, ok := d.get(cell{sc, v, name}, unit)
			row = append(row, measuredIf(ok, value(s.center, unit)))
		}
		t.row(row...)
	}
	fmt.Fprintf(b, "%s\n", t)
	if sc == "otp" {
		if s, ok := d.get(cell{sc, "op=delete", scenario.OTP}, bytesEach); ok {
			fmt.Fprintf(b, "OTP's table takes %.0f bytes per session beyond key and value.\n\n", s.center)
		}
	}
}

// writeHits writes hit ratios: a row per trace and size, a column per cache, and their means.
func (d *Data) writeHits(b *strings.Builder, kind, title string) {
	var names []string
	for _, p := range peers.All() {
		if _, n := d.meanHits(kind, p.Name); n > 0 {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return
	}
	names = append(names, scenario.Belady)
	t := newTable(slices.Concat([]string{"trace @ places"}, names, []string{"to the best peer"})...)
	for _, pair := range d.hitPairs(kind) {
		row := []string{traceAt(pair.variant)}
		for _, name := range names {
			s, ok := d.get(cell{"hit-ratio", pair.variant, name}, hitPercent)
			row = append(row, measuredIf(ok, fmt.Sprintf("%.2f", s.center)))
		}
		t.row(append(row, fmt.Sprintf("%+.2f", pair.ours-pair.best))...)
	}
	row := []string{"**mean**"}
	for _, name := range names {
		mean, n := d.meanHits(kind, name)
		row = append(row, measuredIf(n > 0, fmt.Sprintf("**%.2f**", mean)))
	}
	t.row(append(row, "")...)
	fmt.Fprintf(b, "%s\n\n%s\n", title, t)
}

func bold(name string) string {
	if p, ok := peers.Find(name); ok && p.Class == peers.Ours {
		return "**" + name + "**"
	}
	return name
}
