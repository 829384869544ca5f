package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A report prints what became of each mutant, as it comes in.
type report struct {
	out     io.Writer
	verbose bool
	width   int // of the longest name
	start   time.Time

	mu struct {
		sync.Mutex
		count [faulty + 1]int
		worst []string // the lines of survivors and errors, once more for the end
	}
}

func newReport(out io.Writer, mutants []mutant, verbose bool) *report {
	r := &report{out: out, verbose: verbose, start: time.Now()}
	for _, m := range mutants {
		r.width = max(r.width, len(m.name))
	}
	return r
}

func (r *report) add(m mutant, v verdict, took time.Duration) {
	what := v.test
	switch v.outcome {
	case survived:
		what = "SURVIVED: " + m.breaks
	case faulty:
		what = "ERROR: " + strings.TrimSpace(v.output)
	default:
		if v.how != "" {
			what += " (" + v.how + ")"
		}
	}
	line := fmt.Sprintf("%-*s %4.0fs  %s\n", r.width, m.name, took.Seconds(), what)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.count[v.outcome]++
	if v.outcome != caught {
		r.mu.worst = append(r.mu.worst, line)
	}
	io.WriteString(r.out, line)
	if r.verbose && v.outcome == caught {
		fmt.Fprintf(r.out, "\tbreaks: %s\n\t%s\n", m.breaks, strings.ReplaceAll(strings.TrimSpace(v.output), "\n", "\n\t"))
	}
}

// end prints the sum and returns an error unless all were caught.
func (r *report) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.mu.count
	fmt.Fprintf(r.out, "%d caught, %d survived, %d errors in %.0f s\n",
		n[caught], n[survived], n[faulty], time.Since(r.start).Seconds())
	if n[survived]+n[faulty] == 0 {
		return nil
	}
	return fmt.Errorf("mutants: %d of %d were not caught:\n%s",
		n[survived]+n[faulty], n[caught]+n[survived]+n[faulty], strings.Join(r.mu.worst, ""))
}
