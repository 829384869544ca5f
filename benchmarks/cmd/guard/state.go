package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/perf/benchfmt"
)

const (
	instrUnit = "instructions/op"
	missUnit  = "LL-misses/op"
)

// write writes the recorded state in the format of Go's benchmarks.
func write(path string, counted []count) error {
	commit, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return fmt.Errorf("cannot tell the commit: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "commit: %s\ngo: %s\ncommand: go run ./cmd/guard -record\n\n", bytes.TrimSpace(commit), where())
	for _, c := range counted {
		fmt.Fprintf(&b, "BenchmarkGuard/op=%s 1 %.1f %s %.3f %s\n", strings.ReplaceAll(c.op, "/", "_"), c.instructions, instrUnit, c.misses, missUnit)
	}
	return os.WriteFile(path, []byte(b.String()), 0o666)
}

// read reads a recorded state.
func read(path string) ([]count, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var counts []count
	r := benchfmt.NewReader(f, path)
	for r.Scan() {
		res, ok := r.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		_, op, _ := strings.Cut(string(res.Name), "/op=")
		c := count{op: strings.ReplaceAll(op, "_", "/")}
		c.instructions, _ = res.Value(instrUnit)
		c.misses, _ = res.Value(missUnit)
		counts = append(counts, c)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if len(counts) == 0 {
		return nil, fmt.Errorf("%s holds no counts", path)
	}
	return counts, nil
}

func find(counts []count, op string) (count, bool) {
	for _, c := range counts {
		if c.op == op {
			return c, true
		}
	}
	return count{}, false
}

// regressions names what grew by more than the tolerance.
func regressions(counted, recorded []count) (worse []string) {
	for _, c := range counted {
		old, ok := find(recorded, c.op)
		if !ok {
			continue // a new operation
		}
		if c.instructions > old.instructions*tolerance {
			worse = append(worse, fmt.Sprintf("instructions of %s (%.0f, were %.0f)", c.op, c.instructions, old.instructions))
		}
		if c.misses > old.misses*tolerance+missTolerance {
			worse = append(worse, fmt.Sprintf("cache misses of %s (%.2f, were %.2f)", c.op, c.misses, old.misses))
		}
	}
	return worse
}

// table shows counts beside the recorded ones.
func table(counted, recorded []count) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-22s %12s %10s %8s %10s %10s\n", "operation", "instructions", "recorded", "", "LL misses", "recorded")
	for _, c := range counted {
		old, ok := find(recorded, c.op)
		if !ok {
			fmt.Fprintf(&b, "%-22s %12.0f %10s %8s %10.2f %10s\n", c.op, c.instructions, "-", "new", c.misses, "-")
			continue
		}
		fmt.Fprintf(&b, "%-22s %12.0f %10.0f %+7.1f%% %10.2f %10.2f\n", c.op, c.instructions, old.instructions,
			(c.instructions/old.instructions-1)*100, c.misses, old.misses)
	}
	return b.String()
}
