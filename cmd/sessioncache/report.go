package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// A report is the result of a run. Its JSON form is the output of -json; names in it stay.
type report struct {
	Hosts       int     `json:"hosts"`
	Clients     int     `json:"clients"`
	DurationS   float64 `json:"duration_s"`
	Interrupted bool    `json:"interrupted"`

	// The same load on stock crypto/tls. It comes first, so that a script that takes the last resumption_ratio of the
	// output, as .ci/run does, has that of the cache.
	Stock stockReport `json:"stock"`

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

// A stockReport is the result of the fleet on stock crypto/tls.
type stockReport struct {
	Handshakes      uint64  `json:"handshakes"`
	Resumed         uint64  `json:"resumed"`
	ResumptionRatio float64 `json:"resumption_ratio"`
	FullP50MS       float64 `json:"full_p50_ms"`
	ResumedP50MS    float64 `json:"resumed_p50_ms"`
	RevokedOffered  uint64  `json:"revoked_offered"`
	RevokedResumed  uint64  `json:"revoked_resumed"` // resumed from a session that was to be revoked
	Failed          int     `json:"failed"`
}

// addStock adds the figures of stock crypto/tls after server and fleet have stopped.
func (r *report) addStock(srv *server, fl *fleet) {
	c := fl.count()
	full, resumed := fl.times()
	r.Stock = stockReport{
		Handshakes: c.full + c.resumed, Resumed: c.resumed,
		ResumptionRatio: round(percent(c.resumed, c.full+c.resumed)/100, 4),
		FullP50MS:       quantile(full, 50), ResumedP50MS: quantile(resumed, 50),
		RevokedOffered: c.revokedFull + c.revokedResumed, RevokedResumed: c.revokedResumed,
	}
	for _, n := range fl.failures() {
		r.Stock.Failed += n
	}
	if r.Stock.Failed > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d handshakes or reads of stock crypto/tls failed", r.Stock.Failed))
	}
	if full, resumed := srv.full.Load(), srv.resumed.Load(); full != c.full || resumed != c.resumed {
		r.Problems = append(r.Problems, fmt.Sprintf("counts differ: the stock server completed %d full and %d resumed handshakes, its clients %d and %d",
			full, resumed, c.full, c.resumed))
	}
}

// times returns how long the handshakes of all clients took, sorted. The fleet has stopped.
func (f *fleet) times() (full, resumed []time.Duration) {
	for _, c := range f.clients {
		full = append(full, c.fullTimes...)
		resumed = append(resumed, c.resumedTimes...)
	}
	slices.Sort(full)
	slices.Sort(resumed)
	return full, resumed
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
	r.BytesPerSession = round(srv.bytesPerSession(), 1)
	full, resumed := fl.times()
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
