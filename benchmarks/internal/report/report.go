package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/scenario"
)

const (
	// ReportFile is the name of the report.
	ReportFile = "compare.md"

	// NotesFile holds what a person wrote about targets: a section "## id" each. What it says
	// of a target that was not met goes into the report.
	NotesFile = "compare-notes.md"
)

// Write reads the raw file in a directory and writes the report and its plots beside it.
func Write(dir string) error {
	d, err := Load(filepath.Join(dir, RawFile))
	if err != nil {
		return err
	}
	notes, err := readNotes(filepath.Join(dir, NotesFile))
	if err != nil {
		return err
	}
	plots, err := d.plots(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ReportFile), []byte(d.markdown(notes, plots)), 0o666)
}

// readNotes returns the sections of the notes by their headings.
func readNotes(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	notes := map[string]string{}
	for _, section := range strings.Split("\n"+string(b), "\n## ")[1:] {
		id, text, _ := strings.Cut(section, "\n")
		notes[strings.TrimSpace(id)] = strings.TrimSpace(text)
	}
	return notes, nil
}

func (d *Data) markdown(notes map[string]string, plots map[string]string) string {
	var b strings.Builder
	d.writeHead(&b)
	d.writeTargets(&b, notes)
	d.writeLosses(&b)
	fmt.Fprintf(&b, "## The scenarios\n\n%s\n", explain)
	for _, sc := range scenario.All() {
		if d.variants(sc.Name) == nil {
			continue
		}
		fmt.Fprintf(&b, "### %s\n\n%s%s.\n\n", sc.Name, strings.ToUpper(sc.Doc[:1]), sc.Doc[1:])
		b.WriteString(plots[sc.Name])
		d.writeScenario(&b, sc)
	}
	d.writePeers(&b)
	return b.String()
}

const explain = "Medians over the rounds, with their 95 % confidence interval, or, where fewer than six rounds were " +
	"measured (n), the whole range. `sec/op` is the elapsed time over all operations of both processors, as in Go's " +
	"parallel benchmarks; `cpu-sec/op` the processor time, background work included. The ratio is to fastcache " +
	"in the same rounds: below 1, the other is faster. `empty-call` is the measurement without a cache.\n"

func (d *Data) writeHead(b *strings.Builder) {
	fmt.Fprintf(b, "# fastcache beside other caches\n\n")
	fmt.Fprintf(b, "Commit %s, %s, %s, %s %s/%s, %s.\n", d.setting("commit"), d.setting("date"),
		d.setting("cpu"), d.setting("go"), d.setting("goos"), d.setting("goarch"), d.setting("processors"))
	fmt.Fprintf(b, "Rounds: %d, each run a process of its own: `%s` in `benchmarks/`. Written from [%s](%s), "+
		"which benchstat reads; how it is measured: [benchmarks/README.md](../../benchmarks/README.md).\n\n",
		d.rounds, d.setting("command"), RawFile, RawFile)
	if scale := d.setting("scale"); scale != "1" {
		fmt.Fprintf(b, "**At %s of the reference size: these figures show that the harness works, and little else.**\n\n", scale)
	}
	if n := len(d.failures); n > 0 {
		fmt.Fprintf(b, "**%d runs failed and are missing below:**\n\n", n)
		for _, f := range d.failures {
			fmt.Fprintf(b, "- %s\n", f)
		}
		b.WriteByte('\n')
	}
}

func (d *Data) writeTargets(b *strings.Builder, notes map[string]string) {
	t := newTable("scenario", "at most", "measured", "met")
	met, judged := 0, 0
	var missed []target
	for _, target := range targets {
		v := target.judge(d)
		mark := "**no**"
		switch {
		case v.measured == "":
			v.measured, mark = "not measured", "–"
		case v.met:
			mark = "yes"
			met, judged = met+1, judged+1
		default:
			judged++
			missed = append(missed, target)
		}
		t.row(target.what, target.atMost, v.measured, mark)
	}
	fmt.Fprintf(b, "## To reach\n\n%d of %d met. Ratios are of medians; in brackets, the 95 %% interval of the ratios within a round. "+
		"The index is on unless said. The best exact peer is the fastest bounded cache with a TTL per session that reads a true clock. "+
		"On rotation, %.1f points count as equal.\n\n%s\n", met, judged, rotationTolerance, t)
	for _, m := range missed {
		if note := notes[m.id]; note != "" {
			fmt.Fprintf(b, "**Not met: %s, %s.** %s\n\n", m.what, m.atMost, note)
		}
	}
}

// writeLosses lists all peers that are faster, or otherwise better, than ours.
func (d *Data) writeLosses(b *strings.Builder) {
	fmt.Fprintf(b, "## Where fastcache loses\n\nEvery cache, map or store that did better than fastcache with its index, in the main figure of a scenario; "+
		"maps have neither bound nor TTL, and otter-coarse may return sessions that expired.\n\n")
	t := newTable("scenario", "better", "by")
	lines := 0
	for _, sc := range scenario.All() {
		for _, variant := range d.variants(sc.Name) {
			for _, loss := range d.losses(sc.Name, variant) {
				t.row(strings.TrimSpace(sc.Name+" "+pretty(variant)), loss[0], loss[1])
				lines++
			}
		}
	}
	if lines == 0 {
		b.WriteString("Nowhere.\n\n")
		return
	}
	fmt.Fprintf(b, "%s\n", t)
}

// mainUnits are the figures that scenarios are about, and whether more of it is better.
var mainUnits = []struct {
	unit string
	more bool
}{
	{hitPercent, true}, {resumedUnit, true}, {secPerOp, false}, {bytesEach, false}, {gcCPU, false},
	{lateTime, false}, {expiryCPU, false}, {worstTime, false}, {"p99-sec", false}, {"p99.9-sec", false},
}

// losses returns who did better than ours in a variant of a scenario, and by how much.
func (d *Data) losses(sc, variant string) (losses [][2]string) {
	for _, m := range mainUnits {
		if m.unit == hitPercent && sc != "hit-ratio" || m.unit == secPerOp && sc == "growth" {
			continue
		}
		mine, ok := d.get(cell{sc, variant, ours}, m.unit)
		if !ok {
			continue
		}
		for _, name := range d.caches(sc, variant, m.unit) {
			p, _ := peers.Find(name)
			if p.Class == peers.Ours || p.Class == peers.Yardstick || p.Class == peers.Harness || name == scenario.Belady {
				continue
			}
			other, _ := d.get(cell{sc, variant, name}, m.unit)
			if m.more && other.center > mine.center+0.005 {
				losses = append(losses, [2]string{name, fmt.Sprintf("%.2f points of %s", other.center-mine.center, m.unit)})
			}
			if r, ok := d.ratio(cell{sc, variant, name}, cell{sc, variant, ours}, m.unit); ok && !m.more && r.center < 0.995 {
				losses = append(losses, [2]string{name, r.times() + " in " + m.unit})
			}
		}
	}
	return losses
}

// pretty writes a variant for people: "kind=made/trace=loop/places=500" as "loop, places 500".
func pretty(variant string) string {
	var words []string
	for _, part := range strings.Split(variant, "/") {
		key, v, ok := strings.Cut(part, "=")
		switch {
		case !ok || key == "kind":
		case key == "trace" || key == "op" || key == "load":
			words = append(words, v)
		default:
			words = append(words, key+" "+v)
		}
	}
	return strings.Join(words, ", ")
}

// traceAt names a trace and a size: "web07 @ 300".
func traceAt(variant string) string {
	_, rest, _ := strings.Cut(variant, "/trace=")
	return strings.Replace(rest, "/places=", " @ ", 1)
}

func (d *Data) writePeers(b *strings.Builder) {
	fmt.Fprintf(b, "## Who was measured\n\n")
	t := newTable("cache", "version", "class", "note")
	for _, p := range peers.All() {
		if !slices.ContainsFunc(d.order, func(c cell) bool { return c.cache == p.Name }) {
			continue
		}
		version := ""
		for _, c := range d.config {
			if module, v, ok := strings.Cut(c[1], "@"); ok && c[0] == "module" && module == p.Module {
				version = module + " " + v
			}
		}
		if p.Class == peers.Ours {
			version = "this commit"
		}
		t.row(p.Name, version, string(p.Class), p.Note)
	}
	b.WriteString(t.String())
}
