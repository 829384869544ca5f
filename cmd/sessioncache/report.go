package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A report is the result of a run. Its JSON form is the output of -json; names in it stay.
type report struct {
	Hosts       int     `json:"hosts"`
	Clients     int     `json:"clients"`
	DurationS   float64 `json:"duration_s"`
	Interrupted bool    `json:"interrupted"`

	Handshakes      uint64  `json:"handshakes"`
	Resumed         uint64  `json:"resumed"`
	Full            uint64  `json:"full"`
	ResumptionRatio float64 `json:"resumption_ratio"`
	FullP50MS       float64 `json:"full_p50_ms"`
	FullP99MS       float64 `json:"full_p99_ms"`
	ResumedP50MS    float64 `json:"resumed_p50_ms"`
	ResumedP99MS    float64 `json:"resumed_p99_ms"`

	FullNoSession uint64 `json:"full_no_session"` // full handshakes: the client had no session
	FullRevoked   uint64 `json:"full_revoked"`    // it offered one that had been revoked
	FullGone      uint64 `json:"full_gone"`       // it offered one that had expired or been evicted

	Sessions        int     `json:"sessions"`
	Expired         uint64  `json:"expired"`
	Revoked         uint64  `json:"revoked"`
	Evicted         uint64  `json:"evicted"`
	BytesPerSession float64 `json:"bytes_per_session"`
	ClientSessions  int     `json:"client_sessions"`
	ClientExpired   uint64  `json:"client_expired"`
	ClientEvicted   uint64  `json:"client_evicted"` // for its bounds: of all sessions or of one host's

	RevokedHosts   int    `json:"revoked_hosts"`
	RevokedResumed uint64 `json:"revoked_resumed"` // resumed from a revoked session: 0

	Failed   int            `json:"failed"`
	Failures map[string]int `json:"failures"` // by step and cause
	Problems []string       `json:"problems"` // why the exit status is not 0
}

// newReport gathers the figures of a run after server and fleet have stopped.
func newReport(cfg demoConfig, elapsed time.Duration, srv *server, fl *fleet) *report {
	c, held, mine := fl.count(), srv.sessions.Stats(), fl.sessions.Stats()
	r := &report{
		Hosts: cfg.hosts, Clients: cfg.clients, DurationS: round(elapsed.Seconds(), 3),
		Handshakes: c.full + c.resumed, Resumed: c.resumed, Full: c.full,
		ResumptionRatio: round(percent(c.resumed, c.full+c.resumed)/100, 4),
		FullNoSession:   c.noSession, FullRevoked: c.revokedFull,
		Sessions: held.Sessions, Expired: held.Expired, Revoked: held.Revoked, Evicted: held.Evicted,
		ClientSessions: mine.Held, ClientExpired: mine.Expired, ClientEvicted: mine.Evicted,
		RevokedResumed: c.revokedResumed,
		Failures:       fl.failures(),
		Problems:       []string{},
	}
	r.FullGone = r.Full - min(r.Full, r.FullNoSession+r.FullRevoked)
	for _, n := range r.Failures {
		r.Failed += n
	}
	var full, resumed []time.Duration
	for _, cl := range fl.clients {
		full = append(full, cl.fullTimes...)
		resumed = append(resumed, cl.resumedTimes...)
	}
	slices.Sort(full)
	slices.Sort(resumed)
	r.FullP50MS, r.FullP99MS = quantile(full, 50), quantile(full, 99)
	r.ResumedP50MS, r.ResumedP99MS = quantile(resumed, 50), quantile(resumed, 99)
	r.check(srv, fl)
	return r
}

// check compares what was counted in different places, and lists what must not happen.
func (r *report) check(srv *server, fl *fleet) {
	problem := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	if r.Failed > 0 {
		problem("%d handshakes or reads failed", r.Failed)
	}
	var begun, measured, incomplete = fl.begun.Load(), uint64(0), uint64(0)
	for _, c := range fl.clients {
		measured += uint64(len(c.fullTimes) + len(c.resumedTimes))
		incomplete += c.incomplete
	}
	if measured != r.Handshakes || begun != r.Handshakes+incomplete {
		problem("counts differ: clients began %d visits and measured %d handshakes, but counted %d and %d that did not complete",
			begun, measured, r.Handshakes, incomplete)
	}
	if full, resumed := srv.full.Load(), srv.resumed.Load(); full != r.Full || resumed != r.Resumed {
		problem("counts differ: the server completed %d full and %d resumed handshakes, the clients %d and %d",
			full, resumed, r.Full, r.Resumed)
	}
	if r.RevokedResumed > 0 {
		problem("%d handshakes resumed from a revoked session; want 0", r.RevokedResumed)
	}
	if n := srv.refused(); n > 0 {
		problem("the server's store refused %d sessions", n)
	}
}

// quantile returns the q-th percentile of sorted times in milliseconds, by nearest rank;
// 0 of nothing.
func quantile(sorted []time.Duration, q int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*q + 99) / 100
	return round(float64(sorted[rank-1])/float64(time.Millisecond), 3)
}

// round keeps so many decimals of x.
func round(x float64, decimals int) float64 {
	unit := math.Pow10(decimals)
	return math.Round(x*unit) / unit
}

// writeJSON writes the report as one JSON object.
func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// writeTable writes the report for people.
func (r *report) writeTable(w io.Writer) error {
	var b strings.Builder
	if r.Interrupted {
		fmt.Fprintf(&b, "interrupted after %.1fs\n", r.DurationS)
	}
	row := func(name string, n uint64, p50, p99 float64) {
		fmt.Fprintf(&b, "%-20s %8d %7.1f %% %9.2f ms %9.2f ms\n", name, n, percent(n, r.Handshakes), p50, p99)
	}
	why := func(name string, n uint64) {
		fmt.Fprintf(&b, "  %-18s %8d %7.1f %%\n", name, n, percent(n, r.Handshakes))
	}
	fmt.Fprintf(&b, "\n%-20s %8s %9s %12s %12s\n", "handshakes", "count", "share", "p50", "p99")
	row("resumed", r.Resumed, r.ResumedP50MS, r.ResumedP99MS)
	row("full", r.Full, r.FullP50MS, r.FullP99MS)
	why("no session yet", r.FullNoSession)
	why("expired or evicted", r.FullGone)
	why("revoked", r.FullRevoked)
	fmt.Fprintf(&b, "%-20s %8d\n", "failed", r.Failed)
	for _, what := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(&b, "  %s: %d\n", what, r.Failures[what])
	}

	fmt.Fprintf(&b, "\n%-20s %8s %9s %12s %12s\n", "sessions", "held", "expired", "revoked", "evicted")
	fmt.Fprintf(&b, "%-20s %8d %9d %12d %12d\n", "server's store", r.Sessions, r.Expired, r.Revoked, r.Evicted)
	fmt.Fprintf(&b, "%-20s %8d %9d %12s %12d\n", "clients' cache", r.ClientSessions, r.ClientExpired, "-", r.ClientEvicted)

	fmt.Fprintf(&b, "\nresumption ratio     %.1f %% of %d handshakes in %.1fs\n",
		100*r.ResumptionRatio, r.Handshakes, r.DurationS)
	if r.RevokedHosts > 0 {
		fmt.Fprintf(&b, "after revocation     %d revoked sessions offered, %d resumed\n",
			r.RevokedResumed+r.FullRevoked, r.RevokedResumed)
	}
	fmt.Fprintf(&b, "memory per session   %.0f bytes of the server's heap: state, key, index, tables\n", r.BytesPerSession)
	_, err := io.WriteString(w, b.String())
	return err
}
