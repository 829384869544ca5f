package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestDemoCountsAgreeAndRevocationForcesFullHandshakes(t *testing.T) {
	cfg := demoConfig{hosts: 30, clients: 4, duration: 2 * time.Second}
	var progress bytes.Buffer
	rep, err := demo(t.Context(), cfg, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Problems) > 0 || rep.Failed != 0 {
		t.Errorf("problems %q and %d failures; want none", rep.Problems, rep.Failed)
	}
	if rep.Resumed == 0 || rep.Full == 0 || rep.Resumed+rep.Full != rep.Handshakes {
		t.Errorf("%d resumed and %d full of %d handshakes; want some of each and no others",
			rep.Resumed, rep.Full, rep.Handshakes)
	}
	if rep.RevokedHosts != revokedHosts || rep.Revoked == 0 || rep.FullRevoked == 0 || rep.RevokedResumed != 0 {
		t.Errorf("revoked %d hosts and %d sessions; then %d full and %d resumed; want %d hosts, some, some and 0",
			rep.RevokedHosts, rep.Revoked, rep.FullRevoked, rep.RevokedResumed, revokedHosts)
	}
	if rep.Expired == 0 || rep.Sessions == 0 || rep.BytesPerSession < 232 { // what a SessionState alone takes
		t.Errorf("%d expired, %d held of %.0f bytes each; want some, some, and at least 232 bytes",
			rep.Expired, rep.Sessions, rep.BytesPerSession)
	}
	for _, want := range []string{"4 clients (1 of TLS 1.2) for 2s, 30 hosts", "handshake", "sessions of 10 hosts", "stock"} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("progress lacks %q:\n%s", want, &progress)
		}
	}
	if s := rep.Stock; s.Handshakes == 0 || s.Failed != 0 || s.RevokedResumed == 0 || s.RevokedResumed > s.RevokedOffered {
		t.Errorf("stock crypto/tls: %+v; want handshakes, no failure, and some resumed from sessions that were to be revoked", s)
	}
	if strings.Contains(progress.String(), domain) || strings.Contains(progress.String(), "\r") {
		t.Errorf("progress names hosts, or rewrites a line that is not on a terminal:\n%s", &progress)
	}
}

func TestDemoEndsEarlyWithAReport(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	rep, err := demo(ctx, demoConfig{hosts: 5, clients: 2, duration: time.Hour}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.Interrupted || rep.Failed != 0 || rep.Handshakes == 0 {
		t.Errorf("interrupted %v, %d failed of %d handshakes; want true, 0 of some",
			rep.Interrupted, rep.Failed, rep.Handshakes)
	}
	var out bytes.Buffer
	if code := finish(rep, false, &out, io.Discard); code != exitOK || !strings.Contains(out.String(), "interrupted after") {
		t.Errorf("exit status %d and report\n%s\nwant %d and a word about the interruption", code, &out, exitOK)
	}
}

func TestReportIsOneJSONObject(t *testing.T) {
	var out bytes.Buffer
	if code := finish(&report{Hosts: 7}, true, &out, io.Discard); code != exitOK {
		t.Errorf("exit status %d; want %d", code, exitOK)
	}
	text := out.String()
	var got map[string]any
	dec := json.NewDecoder(&out)
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("something follows the object: %v; want EOF", err)
	}
	for _, field := range []string{"handshakes", "resumed", "full", "resumption_ratio", "sessions", "expired",
		"revoked", "full_p50_ms", "full_p99_ms", "resumed_p50_ms", "resumed_p99_ms", "bytes_per_session",
		"failed", "hosts", "clients", "duration_s"} {
		if _, ok := got[field].(float64); !ok {
			t.Errorf("field %q is %v; want a number", field, got[field])
		}
	}
	if own, stock := strings.LastIndex(text, `"resumption_ratio"`), strings.Index(text, `"stock"`); strings.Count(text, `"resumption_ratio"`) != 2 || own < stock || strings.Contains(text[stock:own], `"hosts"`) || !strings.Contains(text[stock:own], "}") {
		t.Errorf("the last resumption_ratio is that of stock crypto/tls; want the cache's:\n%s", text)
	}
	if got["hosts"] != 7.0 {
		t.Errorf("hosts is %v; want 7", got["hosts"])
	}
}

func TestProblemsMakeTheExitStatusAFailure(t *testing.T) {
	var stderr bytes.Buffer
	code := finish(&report{Problems: []string{"counts differ"}}, false, io.Discard, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "counts differ") {
		t.Errorf("exit status %d, stderr %q; want %d and the problem", code, &stderr, exitFailed)
	}
}

func TestCommandLineErrorsNameTheFlagAndTheLimit(t *testing.T) {
	tests := []struct {
		name       string
		args       []string
		wantCode   int
		wantStdout string
		wantStderr string
	}{
		{name: "no command", wantCode: exitUsage, wantStderr: "usage: sessioncache <command>"},
		{name: "unknown command", args: []string{"demos"}, wantCode: exitUsage, wantStderr: `unknown command "demos"`},
		{name: "help", args: []string{"help"}, wantStdout: "usage: sessioncache <command>"},
		{name: "help flag", args: []string{"-h"}, wantStdout: "usage: sessioncache <command>"},
		{name: "help of demo", args: []string{"help", "demo"}, wantStdout: "-duration"},
		{name: "help of nothing", args: []string{"help", "x"}, wantCode: exitUsage, wantStderr: `unknown command "x"`},
		{name: "help of two", args: []string{"help", "demo", "x"}, wantCode: exitUsage, wantStderr: "at most one"},
		{name: "demo help", args: []string{"demo", "-h"}, wantStdout: "usage: sessioncache demo"},
		{name: "no hosts", args: []string{"demo", "-hosts", "0"}, wantCode: exitUsage,
			wantStderr: "sessioncache demo: -hosts is 0; want 1 to 100000\n"},
		{name: "too many hosts", args: []string{"demo", "-hosts", "100001"}, wantCode: exitUsage,
			wantStderr: "-hosts is 100001; want 1 to 100000"},
		{name: "no clients", args: []string{"demo", "-clients=-1"}, wantCode: exitUsage,
			wantStderr: "-clients is -1; want 1 to 1000"},
		{name: "too many clients", args: []string{"demo", "-clients=1001"}, wantCode: exitUsage,
			wantStderr: "-clients is 1001; want 1 to 1000"},
		{name: "too short", args: []string{"demo", "-duration", "999ms"}, wantCode: exitUsage,
			wantStderr: "-duration is 999ms; want 1s to 1h0m0s"},
		{name: "too long", args: []string{"demo", "-duration", "61m"}, wantCode: exitUsage,
			wantStderr: "-duration is 1h1m0s; want 1s to 1h0m0s"},
		{name: "two faults", args: []string{"demo", "-hosts", "0", "-clients", "0"}, wantCode: exitUsage,
			wantStderr: "-hosts is 0; want 1 to 100000; -clients is 0; want 1 to 1000\n"},
		{name: "not a number", args: []string{"demo", "-hosts", "many"}, wantCode: exitUsage, wantStderr: "-hosts"},
		{name: "unknown flag", args: []string{"demo", "-host", "1"}, wantCode: exitUsage, wantStderr: "-host"},
		{name: "stray argument", args: []string{"demo", "-json", "x"}, wantCode: exitUsage,
			wantStderr: `unexpected argument "x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(tt.args, &stdout, &stderr)
			if code != tt.wantCode {
				t.Errorf("exit status %d; want %d", code, tt.wantCode)
			}
			checkOutput(t, "stdout", stdout.String(), tt.wantStdout)
			checkOutput(t, "stderr", stderr.String(), tt.wantStderr)
		})
	}
}

// checkOutput wants a part of the output, or no output at all.
func checkOutput(t *testing.T, name, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) || (want == "") != (got == "") {
		t.Errorf("%s is %q; want %q in it, or nothing", name, got, want)
	}
}

func TestQuantileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Millisecond
	}
	tests := []struct {
		name   string
		sorted []time.Duration
		q      int
		want   float64
	}{
		{name: "of nothing", q: 50, want: 0},
		{name: "of one", sorted: hundred[:1], q: 99, want: 1},
		{name: "median of two is the lower", sorted: hundred[:2], q: 50, want: 1},
		{name: "median of a hundred", sorted: hundred, q: 50, want: 50},
		{name: "99th of a hundred", sorted: hundred, q: 99, want: 99},
	}
	for _, tt := range tests {
		if got := quantile(tt.sorted, tt.q); got != tt.want {
			t.Errorf("%s: quantile(%d) = %v; want %v", tt.name, tt.q, got, tt.want)
		}
	}
}

// A frame and the table at the end fit terminals of 60 and 100 columns, whatever the figures.
func TestFramesAndTheTableFitTheTerminal(t *testing.T) {
	large := counts{full: 1e9, resumed: 3e9, revokedFull: 1e6, revokedResumed: 1e6}
	m := moment{at: time.Now(), ours: large, stock: large}
	m.held.Sessions, m.held.Expired, m.held.Revoked = 1e6, 1e9, 1e9
	rep := &report{Handshakes: 4e9, Resumed: 3e9, ResumptionRatio: 0.75, FullP50MS: 10000, ResumedP50MS: 9999, Expired: 1e9,
		RevokedHosts: 10, Sessions: 1e6, Failures: map[string]int{"handshake: certificate": 1e6}}
	for _, columns := range []int{60, 100} {
		cfg := demoConfig{hosts: maxHosts, clients: maxClients, duration: time.Hour}
		s := newStory(io.Discard, intro(cfg), cfg.duration, time.Now().Add(-time.Minute), func() moment { return m })
		for range 200 {
			m.ours.resumed += 10
			m.at = m.at.Add(beat)
			s.tick()
		}
		lines := append(s.frame(columns), strings.Split(rep.table(columns), "\n")...)
		for _, line := range lines {
			if n := len([]rune(line)); n > columns {
				t.Errorf("%d columns: line of %d: %s", columns, n, line)
			}
		}
		for _, want := range []string{"handshakes per second", "█", "Most handshakes resume now", "The first sessions reached their deadline", "of 3600 s"} {
			if !strings.Contains(strings.Join(lines, "\n"), want) {
				t.Errorf("%d columns: no %q in\n%s", columns, want, strings.Join(lines, "\n"))
			}
		}
	}
}

// A frame that is narrower or shorter than the last one leaves nothing of it, and the first page comes back.
func TestScreenClipsAndLeaves(t *testing.T) {
	var out bytes.Buffer
	s := screen{w: &out}
	s.draw([]string{"a long line", "second", "third"}, 6, 2)
	s.leave()
	s.leave()
	const want = "\x1b[?1049h\x1b[?25l\x1b[Ha long\x1b[K\r\nsecond\x1b[K\x1b[J\x1b[?25h\x1b[?1049l"
	if out.String() != want {
		t.Errorf("wrote %q; want %q", &out, want)
	}
}

func TestSparklineShowsTheLastShares(t *testing.T) {
	if got := sparkline([]float64{50, 0, 50, 99, 100}, 4); got != "▁▅██" {
		t.Errorf("got %s; want ▁▅██", got)
	}
}
