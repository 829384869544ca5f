// Command compare measures fastcache against other caches, side by side, and writes a report.
//
// Every run of a scenario with a cache is a process of its own; a round runs each once, and the
// rounds follow each other, so that a slow spell of the machine falls on all. Usage:
//
//	go run ./cmd/compare                        all of it
//	go run ./cmd/compare -quick                 a look, in minutes
//	go run ./cmd/compare -scenario '^hit' -n 3  a part
//	go run ./cmd/compare -render                the report again, from the raw file
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/report"
	"github.com/sessioncache/sessioncache/benchmarks/internal/scenario"
)

// settings are the flags.
type settings struct {
	rounds, others int
	budget         time.Duration
	procs          int
	quick          bool
	scenarios      string
	caches         string
	out            string
	render         bool
	env            scenario.Env
	child          string
}

// traceDirs are where traces are looked for, besides -traces: those that the repository has, and
// those that lie beside it.
var traceDirs = []string{"traces", "../../shared/traces"}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.IntVar(&s.rounds, "n", 10, "rounds")
	flags.IntVar(&s.others, "others", 3, "rounds that measure the caches that do not lead, too")
	flags.DurationVar(&s.budget, "budget", 75*time.Minute, "begin no round that would end later")
	flags.IntVar(&s.procs, "procs", 2, "processors that a measured process uses (GOMAXPROCS)")
	flags.BoolVar(&s.quick, "quick", false, "two rounds, the caches that lead, parts of the traces")
	flags.StringVar(&s.scenarios, "scenario", ".", "regular `expression` of the scenarios to run")
	flags.StringVar(&s.caches, "cache", ".", "regular `expression` of the caches to run")
	flags.StringVar(&s.out, "out", "../docs/benchmarks", "`directory` of the report, its plots and the raw file")
	flags.BoolVar(&s.render, "render", false, "write the report again from the raw file, and measure nothing")
	flags.Float64Var(&s.env.Scale, "scale", 1, "multiplies sessions and operations; below 1 the figures mean little")
	flags.IntVar(&s.env.MaxRequests, "requests", 1_500_000, "replay this much of a trace; 0: all")
	traces := flags.String("traces", os.Getenv("SESSIONCACHE_TRACES"), "`directory` with more traces")
	flags.StringVar(&s.child, "child", "", "run one `scenario/cache` in this process and print its lines")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.env.Traces = traceDirs
	if *traces != "" {
		s.env.Traces = append([]string{*traces}, traceDirs...)
	}
	if s.quick {
		s.rounds, s.others, s.env.MaxRequests = min(s.rounds, 2), 0, min(s.env.MaxRequests, 300_000)
	}
	return s, nil
}

func main() {
	s, err := parse(os.Args[1:])
	if err == flag.ErrHelp {
		return
	}
	if err == nil {
		err = run(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
	if s.child != "" {
		return runChild(s)
	}
	var failed []string
	if !s.render {
		var err error
		began := time.Now()
		if failed, err = measure(s, filepath.Join(s.out, report.RawFile)); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "measured in %v\n", time.Since(began).Round(time.Second))
	}
	if err := report.Write(s.out); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d runs failed, the report names them: %s", len(failed), strings.Join(failed, ", "))
	}
	return nil
}

func runChild(s settings) error {
	name, cache, _ := strings.Cut(s.child, "/")
	sc, ok := scenario.Find(name)
	if !ok {
		return fmt.Errorf("no scenario %q", name)
	}
	for _, p := range sc.Peers() {
		if p.Name == cache {
			results, err := sc.Run(s.env, p)
			if err != nil {
				return err
			}
			return scenario.Write(os.Stdout, name, cache, results)
		}
	}
	return fmt.Errorf("scenario %s does not measure %q", name, cache)
}

// A job is a run of a scenario with a cache.
type job struct {
	scenario scenario.Scenario
	peer     peers.Peer
}

func (j job) String() string { return j.scenario.Name + "/" + j.peer.Name }

// jobs returns the runs of a round, counted from 1. The order of the caches turns from round to
// round, so that none always follows the same.
func (s settings) jobs(round int) (jobs []job, err error) {
	scenarios, err := regexp.Compile(s.scenarios)
	if err != nil {
		return nil, err
	}
	caches, err := regexp.Compile(s.caches)
	if err != nil {
		return nil, err
	}
	for _, sc := range scenario.All() {
		dear := sc.Rounds > 0 && (round > sc.Rounds || s.quick && round > 1)
		if dear || !scenarios.MatchString(sc.Name) {
			continue
		}
		var part []job
		for _, p := range sc.Peers() {
			if caches.MatchString(p.Name) && (p.Core || round <= s.others) {
				part = append(part, job{sc, p})
			}
		}
		if n := len(part); n > 0 {
			jobs = append(append(jobs, part[round%n:]...), part[:round%n]...)
		}
	}
	return jobs, nil
}
