// Command guard counts the instructions of fastcache's operations and compares them with the last
// recorded state, so that a regression is seen on a noisy machine, too. It counts with valgrind's
// callgrind: how many instructions an operation takes, and how many loads miss a simulated
// last-level cache of 1 MiB, to which the sessions are far too many. Each run has a hash seed of its own, so the
// median of several counts.
//
//	go run ./cmd/guard           compare; the exit status is 1 where anything grew by more than 2 %
//	go run ./cmd/guard -record   make this the recorded state
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// tolerance is how much a count may grow.
const tolerance = 1.02

// missTolerance is how many misses an operation may have more, at any share: a hash seed
// moves them that much from run to run.
const missTolerance = 0.15

func main() {
	record := flag.Bool("record", false, "write the recorded state")
	state := flag.String("state", "../docs/benchmarks/guard.txt", "the `file` of the recorded state")
	only := flag.String("op", ".", "regular `expression` of the operations")
	runs := flag.Int("runs", 3, "take the median of so `many` runs, from 1 to 99")
	child := flag.String("child", "", "do one operation so many times: `name,times`")
	flag.Parse()
	var err error
	if *child != "" {
		err = runChild(*child)
	} else {
		err = run(*state, *only, *runs, *record)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

func run(state, only string, runs int, record bool) error {
	if runs < 1 || runs > 99 {
		return fmt.Errorf("-runs is %d; want from 1 to 99", runs)
	}
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("valgrind"); err != nil {
		return errors.New("valgrind is not installed (Debian: valgrind)")
	}
	recorded, err := read(state)
	if err != nil && !(record && errors.Is(err, os.ErrNotExist)) {
		return err
	}
	dir, err := os.MkdirTemp("", "guard")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self := filepath.Join(dir, "guard")
	// Not os.Executable: go run leaves out the names of functions, by which callgrind finds measured.
	if out, err := exec.Command("go", "build", "-o", self, "github.com/sessioncache/sessioncache/benchmarks/cmd/guard").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	var counted []count
	for _, op := range operations {
		if !pattern.MatchString(op.name) {
			continue
		}
		c, err := countOf(self, op.name, runs)
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		counted = append(counted, c)
	}
	fmt.Print(table(counted, recorded))
	if record {
		return write(state, counted)
	}
	if worse := regressions(counted, recorded); len(worse) > 0 {
		return errors.New("grew by more than 2 %: " + strings.Join(worse, ", "))
	}
	return nil
}

// A count is what one operation takes.
type count struct {
	op           string
	instructions float64
	misses       float64 // loads that miss the simulated last level
}

// times is how often a run does an operation.
const times = 100_000

// countOf counts an operation in several runs and returns the medians.
func countOf(self, op string, runs int) (count, error) {
	var instructions, misses []float64
	for range runs {
		totals, err := callgrind(self, op)
		if err != nil {
			return count{}, err
		}
		instructions, misses = append(instructions, float64(totals[0])/times), append(misses, float64(totals[1])/times)
	}
	return count{op, median(instructions), median(misses)}, nil
}

func median(of []float64) float64 {
	slices.Sort(of)
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}

// callgrind returns the instructions and the load misses of the last level of a child, within measured alone: to
// fill the cache takes two thousand times as many instructions as a lookup, and a hash seed moves them by a hundredth.
// The child must get no signals, which callgrind does not survive: so no preemption and one processor.
func callgrind(self, op string) (totals [2]int, err error) {
	out := self + ".out"
	cmd := exec.Command("valgrind", "--tool=callgrind", "--callgrind-out-file="+out, "--toggle-collect=main.measured",
		"--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64",
		self, "-child", op+","+strconv.Itoa(times))
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1", "GOGC=off")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Run(); err != nil {
		last := bytes.TrimSpace(log.Bytes())
		return totals, fmt.Errorf("%w: %s", err, last[max(0, len(last)-500):])
	}
	profile, err := os.ReadFile(out)
	if err != nil {
		return totals, err
	}
	return parseProfile(string(profile))
}

// parseProfile finds the totals in callgrind's output: a line that names the events, and one with
// their sums.
func parseProfile(profile string) (totals [2]int, err error) {
	var events, sums []string
	for line := range strings.Lines(profile) {
		if rest, ok := strings.CutPrefix(line, "events:"); ok {
			events = strings.Fields(rest)
		}
		for _, prefix := range []string{"totals:", "summary:"} {
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				sums = strings.Fields(rest)
			}
		}
	}
	for i, name := range []string{"Ir", "DLmr"} {
		found := false
		for j, event := range events {
			if event == name && j < len(sums) {
				found = true
				if totals[i], err = strconv.Atoi(sums[j]); err != nil {
					return totals, err
				}
			}
		}
		if !found {
			return totals, fmt.Errorf("callgrind's output has no total of %s", name)
		}
	}
	return totals, nil
}

// where says what counts belong to: another Go or processor family may count otherwise.
func where() string { return runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH }
