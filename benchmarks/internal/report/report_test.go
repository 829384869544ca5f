package report

import (
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the expected report")

// The sample is a run of a twentieth of the size, so its figures mean nothing.
func TestReportOfASample(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{RawFile, NotesFile} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", ReportFile)
	if *update {
		if err := os.WriteFile(golden, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the report differs from %s; look at what changed and run with -update", golden)
	}
	checkPlots(t, dir, string(got))
}

// checkPlots looks whether every picture of the report exists, in both themes, and is SVG.
func checkPlots(t *testing.T, dir, report string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(files) < 8 || len(files)%2 != 0 {
		t.Errorf("%d plots, %v; want each in two themes", len(files), err)
	}
	for _, file := range files {
		if !strings.Contains(report, `"`+filepath.Base(file)+`"`) {
			t.Errorf("the report does not show %s", filepath.Base(file))
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for d := xml.NewDecoder(f); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
	}
}

// raw writes a raw file with the same values in each of so many rounds.
func raw(t *testing.T, rounds int, lines ...string) *Data {
	t.Helper()
	var b strings.Builder
	b.WriteString("commit: abc\nscale: 1\n")
	for round := 1; round <= rounds; round++ {
		fmt.Fprintf(&b, "\nround: %d\n", round)
		for _, line := range lines {
			b.WriteString("BenchmarkCompare/scenario=" + line + "\n")
		}
	}
	d, err := parse(strings.NewReader(b.String()), "raw")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func judge(t *testing.T, d *Data, id string) verdict {
	t.Helper()
	for _, target := range targets {
		if target.id == id {
			return target.judge(d)
		}
	}
	t.Fatalf("no target %q", id)
	return verdict{}
}

func TestVerdicts(t *testing.T) {
	hits := func(trace, cache string, percent float64) string {
		return fmt.Sprintf("hit-ratio/cache=%s/kind=recorded/trace=%s/places=10-2 1 %v hit-%%", cache, trace, percent)
	}
	rotation := func(cache, variant string, percent float64) string {
		return fmt.Sprintf("rotation/cache=%s/%s-2 1 %v resumed-%%", cache, variant, percent)
	}
	for _, tt := range []struct {
		name, id string
		lines    []string
		met      bool
		measured string
	}{
		{"just met", "hit-zipf-floor", []string{"hit-zipf/cache=fastcache-2 1 95 ns/op", "hit-zipf/cache=xsync4-2 1 100 ns/op"},
			true, "0.95 × (0.95–0.95); 95.0 ns against 100 ns"},
		{"just missed", "hit-zipf-floor", []string{"hit-zipf/cache=fastcache-2 1 96 ns/op", "hit-zipf/cache=xsync4-2 1 100 ns/op"},
			false, "0.96 × (0.96–0.96); 96.0 ns against 100 ns"},
		{"the best exact peer is neither coarse nor a map nor slow", "mixed-90",
			[]string{"mixed-90/cache=fastcache-2 1 75 ns/op", "mixed-90/cache=otter-coarse-2 1 10 ns/op", "mixed-90/cache=xsync4-2 1 10 ns/op",
				"mixed-90/cache=golang-lru-2 1 10 ns/op", "mixed-90/cache=otter-2 1 200 ns/op", "mixed-90/cache=theine-2 1 100 ns/op"},
			true, "0.75 × (0.75–0.75); 75.0 ns against 100 ns theine"},
		{"allocations", "select", []string{"otp/cache=fastcache/op=select-2 1 1000 ns/op", "otp/cache=otp-ets/op=select-1 1 23000 ns/op", "select/cache=fastcache-2 1 9 ns/op 1 allocs/op"},
			false, "0.04 × (0.04–0.04); 1.00 µs against 23.0 µs; 1 allocs"},
		{"lateness", "expiry-late", []string{"expiry/cache=fastcache-2 1 51000000 late-ns"}, false, "51.0 ms at most"},
		{"growth", "growth", []string{"growth/cache=fastcache-2 1 4900000 worst-ns"}, true, "4.90 ms, best of 5"},
		{"unbounded growth", "growth-unbounded", []string{"growth-unbounded/cache=fastcache-2 1 1100000 worst-cpu-ns"}, false, "1.10 ms, best of 5"},
		{"mean of the best peer, not of the best per trace", "hit-ratio-mean",
			[]string{hits("a", "fastcache", 50), hits("b", "fastcache", 50), hits("a", "otter", 60), hits("b", "otter", 40), hits("a", "theine", 30), hits("b", "theine", 70),
				hits("a", "LRU", 99), hits("b", "LRU", 99)},
			true, "50.00 % against 50.00 % of otter (+0.00)"},
		{"each trace", "hit-ratio-worst", []string{hits("a", "fastcache", 50), hits("b", "fastcache", 50), hits("a", "otter", 60), hits("b", "theine", 52)},
			false, "-10.00 points at worst (a @ 10, against otter)"},
		{"rotation", "rotation", []string{rotation("fastcache", "one-time=0/demote=false", 57.95), rotation("FIFO", "one-time=0/demote=false", 58), rotation("LRU", "one-time=0/demote=false", 55)},
			true, "57.95 %; FIFO 58.00 % (0.999 ×), LRU 55.00 %"},
		{"rotation below LRU", "rotation", []string{rotation("fastcache", "one-time=0/demote=false", 58), rotation("FIFO", "one-time=0/demote=false", 57), rotation("LRU", "one-time=0/demote=false", 60)},
			false, "58.00 %; FIFO 57.00 % (1.018 ×), LRU 60.00 %"},
		{"demoting", "rotation-demote", []string{rotation("fastcache", "one-time=0/demote=true", 66), rotation("FIFO", "one-time=0/demote=false", 60), rotation("LRU", "one-time=0/demote=false", 70)},
			true, "66.00 %; FIFO 60.00 % (1.100 ×), LRU 70.00 %"},
		{"nothing", "churn", []string{"churn/cache=fastcache-2 1 9 ns/op"}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := judge(t, raw(t, 10, tt.lines...), tt.id); got.measured != tt.measured || got.measured != "" && got.met != tt.met {
				t.Errorf("%s: %q, met %v; want %q, %v", tt.id, got.measured, got.met, tt.measured, tt.met)
			}
		})
	}
}

// Two runs of a round met the same machine, so a slow round must not widen the ratio's interval.
func TestRatiosArePairedByRound(t *testing.T) {
	var b strings.Builder
	for round := 1; round <= 10; round++ {
		ns := 100 * round
		fmt.Fprintf(&b, "round: %d\nBenchmarkCompare/scenario=miss/cache=fastcache-2 1 %d ns/op\nBenchmarkCompare/scenario=miss/cache=xsync4-2 1 %d ns/op\n", round, 2*ns, ns)
	}
	d, err := parse(strings.NewReader(b.String()), "raw")
	if err != nil {
		t.Fatal(err)
	}
	r, ok := d.ratio(cell{"miss", "", ours}, cell{"miss", "", floor}, secPerOp)
	if !ok || r.n != 10 || r.center != 2 || r.lo != 2 || r.hi != 2 {
		t.Errorf("ratio = %+v, %v; want 2, without spread, of 10 rounds", r, ok)
	}
	if s, _ := d.get(cell{"miss", "", floor}, secPerOp); s.lo >= s.center || s.hi <= s.center {
		t.Errorf("summary %+v of rounds from 100 to 1000 ns has no spread", s)
	}
}

func TestLossesAreListed(t *testing.T) {
	d := raw(t, 10, "miss/cache=fastcache-2 1 100 ns/op", "miss/cache=otter-2 1 90 ns/op", "miss/cache=theine-2 1 110 ns/op",
		"miss/cache=fastcache-noindex-2 1 50 ns/op", "miss/cache=empty-call-2 1 1 ns/op")
	losses := d.losses("miss", "")
	if len(losses) != 1 || losses[0][0] != otter || losses[0][1] != "0.90 × (0.90–0.90) in sec/op" {
		t.Errorf("losses = %v; want the one to otter", losses)
	}
}

func TestBrokenRawFilesAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "commit: abc\n", "round: 1\nBenchmarkOther-2 1 5 ns/op\n", "BenchmarkCompare/scenario=a/cache=b-2 1 5 ns/op\n",
		"round: 1\nBenchmarkCompare/scenario=a/cache=b-2 1 x ns/op\n",
	} {
		if _, err := parse(strings.NewReader(text), "raw"); err == nil {
			t.Errorf("%q was read as a raw file", text)
		}
	}
}

func TestFailedRunsAreNamed(t *testing.T) {
	d, err := parse(strings.NewReader("round: 1\nBenchmarkCompare/scenario=miss/cache=otter-2 1 5 ns/op\n# FAILED miss/theine: exit status 1\n"), "raw")
	if err != nil {
		t.Fatal(err)
	}
	if text := d.markdown(nil, nil); !strings.Contains(text, "1 runs failed") || !strings.Contains(text, "miss/theine: exit status 1") {
		t.Error("the report does not name the run that failed")
	}
}
