package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write testdata/probe.txt and testdata/help anew; only for a change that is meant")

// handshakes returns dials that took so many microseconds.
func handshakes(micros ...int) (dials []*probeDial) {
	for _, us := range micros {
		dials = append(dials, &probeDial{took: time.Duration(us) * time.Microsecond, bytes: 2000})
	}
	return dials
}

// measured returns the report of a version, with times of full and of resumed handshakes.
func measured(version uint16, full, resumed []*probeDial) *versionReport {
	v := &versionReport{version: version, Version: tls.VersionName(version), full: full, resumed: resumed,
		Offered: len(full), Resumed: len(resumed), Tickets: 1, TicketBytes: 192, LifetimeS: 7200, ticketsSeen: true}
	v.Full = costOf(full)
	if v.Resumed > 0 {
		v.Cost = costOf(resumed)
		v.Cost.Bytes -= 500
		v.Saved = v.savings()
	}
	v.Why = v.why(full)
	return v
}

func reportOf(name string, verdict verdict, versions ...*versionReport) *probeReport {
	return &probeReport{Target: name + ":443", Address: "192.0.2.1:443", Certificate: name,
		Verdict: verdict, Resumes: verdict == verdictYes, Versions: versions}
}

// goldenReports are one of each kind.
func goldenReports() map[string]*probeReport {
	const host = "www.example.com"
	fast, slow := handshakes(900, 950, 1000, 1000, 1050, 1100), handshakes(2000, 2100, 2200, 2300, 2400, 2500)
	yes, no := true, false
	resumes, once := measured(tls.VersionTLS13, slow, fast), measured(tls.VersionTLS12, slow, fast[:5])
	resumes.Reusable, once.Reusable = &yes, &no
	some := reportOf(host, verdictYes, resumes, once)
	some.Others, some.OthersResume = 3, 2
	slower := measured(tls.VersionTLS13, fast, handshakes(4500, 4500, 4500, 4500, 4500, 4500))
	declines := measured(tls.VersionTLS13, slow, nil)
	ids := measured(tls.VersionTLS12, []*probeDial{{hello: serverHello{sessionID: 32}}}, nil)
	ids.Tickets, ids.Offered = 0, 0
	ids.Why = ids.why(ids.full)
	stopped := measured(tls.VersionTLS13, slow[:2], nil)
	stopped.fault, stopped.stopped, stopped.Failed = &fault{faultRefused, "connection refused"}, true, 2
	stopped.Why = stopped.why(stopped.full)
	cert := reportOf(host, verdictUnknown)
	cert.NotProbed = []notProbed{
		{"TLS 1.3", faultClientCert, `the server requires a client certificate (alert "certificate required"), and probe has none; -cert gives it one`},
		{"TLS 1.2", faultVersion, "the server does not speak TLS 1.2"},
	}
	large := measured(tls.VersionTLS13, handshakes(599_999_000, 599_999_000, 599_999_000), handshakes(1, 1, 1))
	large.Offered, large.Tickets, large.TicketBytes, large.LifetimeS, large.EarlyDataBytes = 100, 10, 65535, 604799, 1<<32-1
	large.Asked, large.Failed, large.fault = true, 97, &fault{faultReset, "reset"}
	large.Why = large.why(large.full)
	largest := reportOf("label.of.some.length.and.another.one.too."+host, verdictYes, large, large)
	largest.Insecure, largest.Interrupted = true, true
	largest.Certificate = "\x1b[2J" + strings.Repeat("long ", 30) + "\u009b"
	return map[string]*probeReport{
		"resumes": some, "resumed handshakes are slower": reportOf(host, verdictYes, slower),
		"too few":         reportOf(host, verdictYes, measured(tls.VersionTLS13, slow[:1], fast[:1])),
		"does not resume": reportOf(host, verdictNo, declines), "session ids": reportOf(host, verdictUnknown, ids),
		"stops answering": reportOf(host, verdictUnknown, stopped), "client certificate": cert, "large figures": largest,
	}
}

// goldenFaults are what diagnose makes of what a dial meets.
func goldenFaults() (lines []string) {
	p := &prober{ctx: context.Background()}
	say := func(f *fault) { lines = append(lines, fmt.Sprintf("%s: %s", f.kind, f.says)) }
	alert := func(code uint8) error { return &net.OpError{Op: "remote error", Err: tls.AlertError(code)} }
	for _, err := range []error{context.DeadlineExceeded, net.ErrClosed} {
		say(p.diagnose(new(probeDial), err))
	}
	for _, d := range []probeDial{{}, {received: 7}, {asked: true, received: 7}, {hello: serverHello{version: tls.VersionTLS11}}} {
		d.version, d.connected = tls.VersionTLS13, true
		for _, err := range []error{context.DeadlineExceeded, io.EOF, alert(40), alert(42), alert(70), alert(80), alert(112), alert(116), alert(120)} {
			own := d
			say(p.diagnose(&own, err))
		}
	}
	ended, cancel := context.WithCancel(p.ctx)
	cancel()
	say((&prober{ctx: ended}).diagnose(new(probeDial), io.EOF))
	return lines
}

func TestProbeSaysWhatItSaidBeforeWithinTheWidthOfATerminal(t *testing.T) {
	var got bytes.Buffer
	reports := goldenReports()
	for _, name := range []string{"resumes", "resumed handshakes are slower", "too few", "does not resume", "session ids",
		"stops answering", "client certificate", "large figures"} {
		rep := reports[name]
		fmt.Fprintf(&got, "== %s: exit status %d\n", name, rep.exitCode())
		if err := rep.writeTable(&got); err != nil {
			t.Fatal(err)
		}
	}
	got.WriteString("== exits\n")
	got.WriteString(exitTable())
	for line := range strings.Lines(got.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > maxColumns {
			t.Errorf("line of %d columns %q; want at most %d", n, line, maxColumns)
		}
		if strings.ContainsAny(line, "\x1b\u009b") || strings.Contains(line, "-3.") {
			t.Errorf("line %q; want no control character and no negative saving", line)
		}
	}
	got.WriteString("== faults\n" + strings.Join(goldenFaults(), "\n") + "\n")
	const file = "testdata/probe.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got\n%s\nwant what is in %s", &got, file)
	}
}

func TestProbeExitsAreInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range probeExits {
		if row := fmt.Sprintf("| %d | %s |", e.code, e.meaning); !strings.Contains(string(page), row) {
			t.Errorf("docs/tls.md lacks the row %q", row)
		}
	}
}

func TestProbeClaimsNoTimeThatChanceMayHaveSaved(t *testing.T) {
	for _, tt := range []struct {
		name          string
		full, resumed []*probeDial
		want          float64
	}{
		{"clearly faster", handshakes(20, 21, 22), handshakes(10, 11, 12), 0.01},
		{"slower", handshakes(10, 11, 12), handshakes(20, 21, 22), 0},
		{"the same", handshakes(10, 10, 10), handshakes(10, 10, 10), 0},
		{"mixed", handshakes(10, 20, 30), handshakes(9, 19, 29), 0},
		{"one outlier", handshakes(20, 20, 20, 20, 20, 20), handshakes(10, 10, 10, 10, 10, 99), 0.01},
		{"too few", handshakes(20, 20), handshakes(10, 10), 0},
	} {
		if v := measured(tls.VersionTLS13, tt.full, tt.resumed); v.Saved.MS != tt.want {
			t.Errorf("%s: %v ms saved; want %v", tt.name, v.Saved.MS, tt.want)
		}
	}
}
