// Command guard counts the instructions of fastcache's operations and compares them with the last
// recorded state, so that a regression is seen on a noisy machine, too. It counts with valgrind's
// callgrind: how many instructions an operation takes, and how many loads miss a simulated
// last-level cache of 1 MiB, to which the sessions are far too many.
//
//	go run ./cmd/guard           compare; the exit status is 1 where anything grew by more than 5 %
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
	"strconv"
	"strings"
)

// tolerance is how much a count may grow.
const tolerance = 1.05

// missTolerance is how many misses an operation may have more, whatever the share: a hash seed
// moves them that much from run to run.
const missTolerance = 0.15

func main() {
	record := flag.Bool("record", false, "write the recorded state")
	state := flag.String("state", "../docs/benchmarks/guard.txt", "the `file` of the recorded state")
	only := flag.String("op", ".", "regular `expression` of the operations")
	child := flag.String("child", "", "do one operation so many times: `name,times`")
	flag.Parse()
	var err error
	if *child != "" {
		err = runChild(*child)
	} else {
		err = run(*state, *only, *record)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

func run(state, only string, record bool) error {
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
	var counted []count
	for _, op := range operations {
		if !pattern.MatchString(op.name) {
			continue
		}
		c, err := countOf(op.name)
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
		return errors.New("grew by more than 5 %: " + strings.Join(worse, ", "))
	}
	return nil
}

// A count is what one operation takes.
type count struct {
	op           string
	instructions float64
	misses       float64 // loads that miss the simulated last level
}

// Two runs that differ in the number of operations cancel what is not the operation.
const fewer, more = 20_000, 120_000

func countOf(op string) (count, error) {
	a, err := callgrind(op, fewer)
	if err != nil {
		return count{}, err
	}
	b, err := callgrind(op, more)
	if err != nil {
		return count{}, err
	}
	per := func(x, y int) float64 { return float64(y-x) / (more - fewer) }
	return count{op, per(a[0], b[0]), per(a[1], b[1])}, nil
}

// callgrind returns the instructions and the load misses of the last level of a child. The child
// must get no signals, which callgrind does not survive: so no preemption and one processor.
func callgrind(op string, times int) (totals [2]int, err error) {
	self, err := os.Executable()
	if err != nil {
		return totals, err
	}
	dir, err := os.MkdirTemp("", "guard")
	if err != nil {
		return totals, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "callgrind.out")
	cmd := exec.Command("valgrind", "--tool=callgrind", "--callgrind-out-file="+out,
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
