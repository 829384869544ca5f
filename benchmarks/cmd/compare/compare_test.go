package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/report"
)

// TestMain lets the test be the child of a comparison, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-child" {
		main()
		return
	}
	os.Exit(m.Run())
}

func settingsOf(t *testing.T, args ...string) settings {
	t.Helper()
	s, err := parse(args)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func namesOf(t *testing.T, s settings, round int) (names []string) {
	t.Helper()
	jobs, err := s.jobs(round)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		names = append(names, j.String())
	}
	return names
}

func TestARoundRunsEachOnceInATurnedOrder(t *testing.T) {
	s := settingsOf(t, "-scenario", "^hit-zipf$")
	one, two, four := namesOf(t, s, 1), namesOf(t, s, 2), namesOf(t, s, 4)
	if len(one) < 15 || one[0] == two[0] {
		t.Errorf("rounds 1 and 2 run %d caches and begin with %s and %s", len(one), one[0], two[0])
	}
	sorted := func(names []string) []string { names = slices.Clone(names); slices.Sort(names); return names }
	if !slices.Equal(sorted(one), sorted(two)) || len(slices.Compact(sorted(one))) != len(one) {
		t.Errorf("round 1 runs %v, round 2 %v", one, two)
	}
	if !slices.Contains(one, "hit-zipf/go-cache") || slices.Contains(four, "hit-zipf/go-cache") {
		t.Error("a cache that does not lead is to be in the first three rounds, and not in the fourth")
	}
	if !slices.Contains(four, "hit-zipf/otter") || !slices.Contains(four, "hit-zipf/fastcache") {
		t.Errorf("round 4 runs %v; want those that lead", four)
	}
}

func TestDearScenariosStopAfterTheirRounds(t *testing.T) {
	s := settingsOf(t)
	for _, name := range namesOf(t, s, 10) {
		if strings.HasPrefix(name, "expiry/") || strings.HasPrefix(name, "hit-ratio/") {
			t.Errorf("round 10 runs %s", name)
		}
	}
}

func TestNoRoundBeginsThatTheBudgetDoesNotAfford(t *testing.T) {
	s := settingsOf(t, "-budget", "10m")
	for _, tt := range []struct {
		round int
		spent time.Duration
		want  bool
	}{{1, 0, true}, {2, 5 * time.Minute, true}, {2, 6 * time.Minute, false}, {10, 9 * time.Minute, true}, {10, 10 * time.Minute, false}} {
		if got := s.affords(tt.round, tt.spent); got != tt.want {
			t.Errorf("round %d after %v of 10m: %v; want %v", tt.round, tt.spent, got, tt.want)
		}
	}
}

func TestMeasureWritesWhatTheReportReads(t *testing.T) {
	dir := t.TempDir()
	s := settingsOf(t, "-scenario", "^(miss|churn)$", "-cache", "^(fastcache|otter|xsync4)$", "-n", "2", "-scale", "0.001", "-out", dir)
	if err := run(s); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, report.ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"### miss", "### churn", "Rounds: 2", "At 0.001 of the reference size"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if strings.Contains(string(text), "failed") {
		t.Errorf("runs failed:\n%.2000s", text)
	}
	if err := run(settingsOf(t, "-render", "-out", dir)); err != nil {
		t.Errorf("writing the report again: %v", err)
	}
}

func TestFailuresAreRecordedAndGoneOver(t *testing.T) {
	dir := t.TempDir()
	s := settingsOf(t, "-scenario", "^hit-ratio$", "-cache", "^LRU$|^FIFO$", "-n", "1", "-scale", "0.001", "-out", dir)
	s.env.Traces = []string{filepath.Join(dir, "traces")}
	if err := os.MkdirAll(s.env.Traces[0], 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.env.Traces[0], "broken.trace"), []byte("xyz"), 0o666); err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(dir, report.RawFile)
	if failed, err := measure(s, raw); err != nil || len(failed) != 2 {
		t.Errorf("measure says that %v failed, %v; want both runs", failed, err)
	}
	text, err := os.ReadFile(raw)
	if err != nil || strings.Count(string(text), "# FAILED hit-ratio/") != 2 {
		t.Errorf("the raw file names the failures so: %s, %v", text, err)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	if _, err := parse([]string{"-no-such-flag"}); err == nil {
		t.Error("an unknown flag is accepted")
	}
	if err := run(settingsOf(t, "-scenario", "(", "-out", t.TempDir())); err == nil {
		t.Error("a broken expression is accepted")
	}
	dir := t.TempDir()
	if err := run(settingsOf(t, "-scenario", "no-such-scenario", "-out", dir)); err == nil {
		t.Error("a comparison of nothing runs")
	}
	if _, err := os.Stat(filepath.Join(dir, report.RawFile)); err == nil {
		t.Error("a comparison of nothing leaves a raw file, perhaps in place of a good one")
	}
	if err := run(settingsOf(t, "-child", "hit-zipf/no-such-cache")); err == nil {
		t.Error("a child of an unknown cache runs")
	}
}
