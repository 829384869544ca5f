package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// maxRun is how long one process may take.
const maxRun = 10 * time.Minute

// measure runs all rounds, writes the raw file and returns the runs that failed. The file names
// them, and the others count.
func measure(s settings, raw string) (failed []string, err error) {
	total, done := 0, 0
	for round := 1; round <= s.rounds; round++ {
		jobs, err := s.jobs(round)
		if err != nil {
			return nil, err
		}
		total += len(jobs)
	}
	if total == 0 {
		return nil, fmt.Errorf("no run matches -scenario %q and -cache %q", s.scenarios, s.caches)
	}
	if err := os.MkdirAll(filepath.Dir(raw), 0o777); err != nil {
		return nil, err
	}
	f, err := os.Create(raw)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := header(f, s); err != nil {
		return nil, err
	}
	began := time.Now()
	for round := 1; round <= s.rounds; round++ {
		if !s.affords(round, time.Since(began)) {
			fmt.Fprintf(os.Stderr, "round %d would end after the budget of %v: no more rounds\n", round, s.budget)
			break
		}
		fmt.Fprintf(f, "\nround: %d\n", round)
		jobs, _ := s.jobs(round)
		for _, j := range jobs {
			out, err := s.start(j)
			if err != nil {
				failed = append(failed, j.String())
				fmt.Fprintf(f, "# FAILED %s: %v\n", j, err)
				fmt.Fprintf(os.Stderr, "FAILED %s: %v\n", j, err)
			}
			if _, err := f.Write(out); err != nil {
				return nil, err
			}
			done++
			left := time.Duration(float64(time.Since(began)) / float64(done) * float64(total-done))
			fmt.Fprintf(os.Stderr, "%4d/%d round %d %-32s about %v left\n", done, total, round, j, left.Round(10*time.Second))
		}
	}
	return failed, f.Close()
}

// affords reports whether a round would end within the budget, if it takes as long as those before.
func (s settings) affords(round int, spent time.Duration) bool {
	return round == 1 || spent/time.Duration(round-1)*time.Duration(round) <= s.budget
}

// start runs a job in a process of its own and returns what it printed.
func (s settings) start(j job) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxRun)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-child", j.String(),
		"-scale", strconv.FormatFloat(s.env.Scale, 'g', -1, 64),
		"-requests", strconv.Itoa(s.env.MaxRequests), "-traces", s.env.Traces[0])
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(s.procs), "GOGC=100", "GODEBUG=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		last := bytes.TrimSpace(stderr.Bytes())
		return nil, fmt.Errorf("%w: %s", err, last[max(0, len(last)-300):])
	}
	return out, nil
}

// header writes what a reader must know to repeat the run.
func header(w io.Writer, s settings) error {
	commit, err := commit()
	if err != nil {
		return err
	}
	lines := [][2]string{
		{"commit", commit},
		{"date", time.Now().UTC().Format("2006-01-02")},
		{"command", "go run ./cmd/compare" + quoted(os.Args[1:])},
		{"goos", runtime.GOOS}, {"goarch", runtime.GOARCH},
		{"go", runtime.Version()},
		{"cpu", cpuModel()},
		{"processors", fmt.Sprintf("%d processors, of which each process uses %d", runtime.NumCPU(), s.procs)},
		{"rounds", strconv.Itoa(s.rounds)},
		{"scale", strconv.FormatFloat(s.env.Scale, 'g', -1, 64)},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Replace == nil {
				lines = append(lines, [2]string{"module", dep.Path + "@" + dep.Version})
			}
		}
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%s: %s\n", l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// quoted returns arguments as a shell takes them.
func quoted(args []string) string {
	var b strings.Builder
	for _, arg := range args {
		if strings.ContainsAny(arg, " |$^()*?'\"") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		b.WriteString(" " + arg)
	}
	return b.String()
}

// commit returns what is measured: the commit, and whether more than that is.
func commit() (string, error) {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "", errors.New("cannot tell the commit: git rev-parse failed")
	}
	commit := strings.TrimSpace(string(out))
	if dirty, err := exec.Command("git", "status", "--porcelain", "--", "..", ":!../docs").Output(); err != nil || len(dirty) > 0 {
		commit += " with changes"
	}
	return commit, nil
}

// cpuModel returns the processor's name, as go test prints it.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
