package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"
)

// suite is every package whose tests may catch a mutant.
var suite = []string{"./timerwheel", "./index", "./internal/buckets", "./fastcache", "./session/...", "./tlscache", "./fuzz"}

// A goTest runs the go command in a module.
type goTest struct {
	root    string
	temp    string // for whatever failing tests leave behind
	timeout time.Duration
	rapid   map[string]bool // by directory; see findRapid
}

// baseline runs the tests on the code as it is: a suite that fails anyway would catch
// everything. It runs the packages whose tests will be asked. After a make test it is a look into go's cache. It takes as
// long as the machine needs.
func (g *goTest) baseline(ctx context.Context, asked map[string]bool) error {
	if err := g.findRapid(ctx); err != nil {
		return err
	}
	args := []string{"test", "-timeout", "0"}
	for _, dir := range slices.Sorted(maps.Keys(asked)) {
		args = append(args, "./"+dir)
	}
	if out, err := g.command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("mutants: the tests fail without a mutant: %w\n%s", err, head(string(out), 20))
	}
	return nil
}

// run runs one step.
func (g *goTest) run(ctx context.Context, overlay string, s step) verdict {
	limit := g.timeout
	if s.limit != 0 {
		limit = min(limit, s.limit)
	}
	return patiently(limit, func(limit time.Duration) verdict {
		return g.test(ctx, overlay, s, limit)
	}, func() time.Duration {
		begin := time.Now()
		g.test(ctx, "", s, 0)
		return time.Since(begin)
	})
}

// patience is how much longer than the same tests without its fault a mutant may take.
const patience = 5

// patiently runs tests within a limit. What seems to hang may wait for a machine that is slow, which is no merit
// of the tests: so it runs them without the fault, and if those have needed a good part of the limit, again
// with a longer one.
func patiently(limit time.Duration, try func(limit time.Duration) verdict, without func() time.Duration) verdict {
	v := try(limit)
	if v.how == hang {
		if longer := patience * without(); longer > limit {
			return try(longer)
		}
	}
	return v
}

// test runs the tests of a step once, with a fault or, if overlay is empty, without. A limit of 0 is none.
func (g *goTest) test(ctx context.Context, overlay string, s step, limit time.Duration) verdict {
	args := []string{"test", "-json", "-failfast", "-count=1", "-vet=off", "-ldflags=-s -w", "-timeout", limit.String()}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if s.race {
		args = append(args, "-race")
	}
	if s.tests != "" {
		args = append(args, "-run", s.tests)
	}
	args = append(args, "./"+s.dir)
	if g.rapid[s.dir] {
		args = append(args, "-rapid.nofailfile") // or it leaves the failure in the work tree
	}
	cmd := g.command(ctx, args...)
	cmd.Env = append(cmd.Env, "MUTANT_OVERLAY="+overlay) // for tests that run the go command themselves
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	v := judge(out.Bytes(), err != nil)
	if s.elsewhere && v.output == noTest {
		return verdict{outcome: survived}
	}
	if v.outcome == faulty {
		v.output += errs.String()
	}
	return v
}

// head returns the first lines of a text.
func head(text string, lines int) string {
	all := strings.SplitAfterN(text, "\n", lines+1)
	return strings.Join(all[:min(lines, len(all))], "")
}

// findRapid finds the packages whose tests know rapid's flags; others refuse them.
func (g *goTest) findRapid(ctx context.Context) error {
	args := append([]string{"list", "-test", "-f", `{{.ForTest}} {{join .Deps " "}}`}, suite...)
	out, err := g.command(ctx, args...).Output()
	if err != nil {
		return fmt.Errorf("mutants: go list: %w", err)
	}
	g.rapid = map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if pkg, deps, _ := strings.Cut(line, " "); strings.Contains(deps, "pgregory.net/rapid") {
			g.rapid[path.Base(pkg)] = true
		}
	}
	return nil
}

func (g *goTest) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = g.root
	cmd.Env = append(os.Environ(), "TMPDIR="+g.temp)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // lets it remove what it built
	return cmd
}

// An event is a line of go test -json.
type event struct {
	Action      string
	Test        string
	Output      string
	FailedBuild string
}

// noTest is said of a step that ran no test.
const noTest = "its tests line names no test\n"

// judge reads the output of go test -json. A failure that no test binary reported is not
// the tests' merit: the mutant did not build.
func judge(output []byte, failed bool) verdict {
	if !failed {
		if bytes.Contains(output, []byte("[no tests to run]")) {
			return verdict{outcome: faulty, output: noTest}
		}
		return verdict{outcome: survived}
	}
	var text strings.Builder
	var first, running string
	ran := false
	for line := range bytes.Lines(output) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		text.WriteString(e.Output)
		root, _, _ := strings.Cut(e.Test, "/")
		switch {
		case e.Action == "run":
			running = root
		case e.Action == "fail" && e.Test != "" && first == "":
			first = root
		case e.Action == "fail" && e.Test == "" && e.FailedBuild == "":
			ran = true
		}
	}
	if !ran {
		return verdict{outcome: faulty, output: text.String()}
	}
	v := verdict{outcome: caught, test: first, output: text.String()}
	switch {
	case strings.Contains(v.output, "panic: test timed out"):
		v.how = hang
	case strings.Contains(v.output, "WARNING: DATA RACE"):
		v.how = "race"
	case strings.Contains(v.output, "\nfatal error: "), strings.Contains(v.output, "\npanic: "):
		v.how = "crash"
	}
	if v.test == "" {
		v.test = running
	}
	return v
}
