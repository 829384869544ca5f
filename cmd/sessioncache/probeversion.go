package main

import (
	"crypto/tls"
	"slices"
	"time"
)

// probeVersion dials with one version of TLS: full handshakes, resumed ones, and one with a
// ticket that was used before. Nil: the server does not speak it.
func (p *prober) probeVersion(addr string, version uint16) *versionReport {
	v := &versionReport{version: version, Version: tls.VersionName(version)}
	var full, resumed []*probeDial
	wait := ticketWait
	for range p.cfg.dials {
		d, err := p.dialOnce(addr, version, nil, wait)
		if err != nil {
			continue
		}
		full = append(full, d)
		v.sessions = append(v.sessions, d.sessions...)
		if len(v.sessions) == 0 {
			wait = 0 // once is enough
		}
	}
	if len(full) == 0 {
		return nil
	}
	v.describe(full)
	v.Full = costOf(full)
	for range p.cfg.dials {
		offer := v.fresh()
		if offer == nil {
			break
		}
		d, err := p.dialOnce(addr, version, offer, ticketWait)
		if !d.wasOffered() {
			v.unoffered = true
			break
		}
		v.Offered++
		if err != nil {
			v.failure = cause(err)
			continue
		}
		v.sessions = append(v.sessions, d.sessions...)
		if d.state.DidResume {
			resumed = append(resumed, d)
			v.used = offer
		}
	}
	v.Resumed = len(resumed)
	if v.Resumed > 0 {
		v.Cost = costOf(resumed)
		v.Saved = v.Full.less(v.Cost)
		v.Reusable = p.resumes(addr, version, v.used)
	}
	v.Why = v.why(full)
	return v
}

func (d *probeDial) wasOffered() bool { return d != nil && d.offered }

// fresh returns the newest session that was not offered yet, or, where a server renews none,
// one that has been accepted already; nil: there is none.
func (v *versionReport) fresh() *probeSession {
	for _, s := range slices.Backward(v.sessions) {
		if !s.used {
			return s
		}
	}
	return v.used
}

// resumes reports whether a session resumes at an address; nil if the dial failed otherwise.
func (p *prober) resumes(addr string, version uint16, s *probeSession) *bool {
	if s == nil {
		return nil
	}
	d, err := p.dialOnce(addr, version, s, 0)
	if !d.wasOffered() {
		return nil
	}
	yes := err == nil && d.state.DidResume
	return &yes
}

// probeOthers offers tickets of one address to the others of the name.
func (p *prober) probeOthers(rep *probeReport, v *versionReport, addrs []string, version uint16) {
	if v.Resumed == 0 {
		return
	}
	for _, addr := range addrs {
		if addr == rep.Address {
			continue
		}
		offer := v.fresh()
		if yes := p.resumes(addr, version, offer); yes != nil {
			rep.Others++
			if *yes {
				rep.OthersResume++
			}
		}
	}
}

// costOf returns the medians of some dials.
func costOf(dials []*probeDial) cost {
	var times, sizes []float64
	for _, d := range dials {
		times = append(times, float64(d.took)/float64(time.Millisecond))
		sizes = append(sizes, float64(d.bytes))
	}
	return cost{MS: round(median(times), 3), Bytes: int(median(sizes))}
}

func median(x []float64) float64 {
	slices.Sort(x)
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
}

// describe notes what full handshakes showed about tickets.
func (v *versionReport) describe(full []*probeDial) {
	v.Suite = tls.CipherSuiteName(full[0].state.CipherSuite)
	v.KeyExchange = full[0].state.CurveID.String()
	for _, d := range full {
		v.Tickets = max(v.Tickets, len(d.sessions), len(d.tickets))
		for _, t := range d.tickets {
			v.LifetimeS = max(v.LifetimeS, int(t.lifetime/time.Second))
			v.TicketBytes = max(v.TicketBytes, t.size)
			v.EarlyDataBytes = max(v.EarlyDataBytes, int(t.earlyData))
			v.ticketsSeen = true
		}
	}
}

// why says why the server does not resume, or not always; empty: it does.
func (v *versionReport) why(full []*probeDial) string {
	first := full[0]
	switch {
	case v.Resumed > 0 && v.Resumed == v.Offered:
		return ""
	case v.Resumed > 0:
		return "some offers got full handshakes: servers behind the address that do not share ticket keys, or tickets that are accepted once or for a moment"
	case v.failure != "":
		return "handshakes that offer a ticket fail: " + v.failure
	case v.unoffered:
		return "crypto/tls does not offer the ticket: the certificate has expired, or the cipher suite is no longer offered"
	case v.Offered > 0:
		return "the server sends tickets and answers them with full handshakes: servers behind the address that do not share ticket keys, or a store that lost the session"
	case v.Tickets > 0:
		return "the tickets have a lifetime of 0: the server does not want them back"
	case v.version == tls.VersionTLS12 && first.hello.sessionID > 0:
		return "the server keeps sessions by id and sends no tickets; Go's crypto/tls cannot resume by id"
	case first.hungUp:
		return "the server ended the connection before it sent a ticket; it may want a request first"
	case v.version == tls.VersionTLS13:
		return "no ticket came within two seconds of the handshake; the server has none, or sends them with its first answer"
	}
	return "the server sends no tickets"
}
