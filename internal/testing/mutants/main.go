// Mutants breaks the code on purpose, one fault at a time, and checks that a test notices.
//
//	go run ./internal/testing/mutants                    # all faults of the lists in faults/
//	go run ./internal/testing/mutants -run '^idle' -v    # some of them, with what the tests say
//	go run ./internal/testing/mutants -run revoked -tests Histories    # does this one test see it?
//
// A fault that no test notices is a promise that no test holds; its list says which one.
// The work tree is never changed: go test sees the fault through an overlay.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"
)

type options struct {
	run     *regexp.Regexp
	tests   string // a regular expression; empty: see steps
	timeout time.Duration
	jobs    int
	verbose bool
}

func main() {
	opt, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // flag has said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := hunt(ctx, opt, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (opt options, err error) {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	run := flags.String("run", "", "only mutants whose `name` matches")
	flags.StringVar(&opt.tests, "tests", "", "only tests of the mutant's package that match `regexp` may catch it")
	flags.DurationVar(&opt.timeout, "timeout", 5*time.Minute, "limit of one go test with a fault; a mutant that hangs takes so long")
	flags.IntVar(&opt.jobs, "p", 2, "mutants at a time, 1 or 2")
	flags.BoolVar(&opt.verbose, "v", false, "print the promise, and the output of the test that fails")
	if err := flags.Parse(args); err != nil {
		return opt, err
	}
	opt.jobs = min(max(opt.jobs, 1), 2) // more, and tests that race with time fail for want of it
	opt.run, err = regexp.Compile(*run)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutants: -run: %v\n", err)
	}
	return opt, err
}

// hunt runs the selected mutants and returns an error unless each was caught.
func hunt(ctx context.Context, opt options, out io.Writer) error {
	all, err := readAll()
	if err != nil {
		return err
	}
	var chosen []mutant
	for _, m := range all {
		if opt.run.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("mutants: -run %s matches none of %d names", opt.run, len(all))
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	g := &goTest{root: root, temp: dir, timeout: opt.timeout}
	asked := map[string]bool{}
	for _, m := range chosen {
		for _, s := range steps(m, opt.tests) {
			asked[s.dir] = true
		}
	}
	if err := g.baseline(ctx, asked); err != nil {
		return err
	}
	r := newReport(out, chosen, opt.verbose)
	parallel(opt.jobs, chosen, func(m mutant) {
		start := time.Now()
		v := try(root, filepath.Join(dir, m.name), m, steps(m, opt.tests), func(overlay string, s step) verdict {
			return g.run(ctx, overlay, s)
		})
		if ctx.Err() == nil {
			r.add(m, v, time.Since(start))
		}
	})
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("mutants: %w", err)
	}
	return r.end()
}

// parallel calls do for every item, for so many at a time.
func parallel[T any](jobs int, items []T, do func(T)) {
	var wg sync.WaitGroup
	next := make(chan T)
	for range jobs {
		wg.Go(func() {
			for item := range next {
				do(item)
			}
		})
	}
	for _, item := range items {
		next <- item
	}
	close(next)
	wg.Wait()
}

// moduleRoot returns the directory of the go.mod that is nearest above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("mutants: no go.mod here or above; run it within the module")
		}
		dir = parent
	}
}
