package main

import (
	"crypto/tls"
	"slices"
	"time"
)

// maxFailures in a row end the dials with one version: what fails twice has a reason that stays.
const maxFailures = 2

// probeVersion dials with one version of TLS, in turns: a full handshake, then one that offers
// a ticket, so that what changes meanwhile on the way or in the server changes both. In the end
// comes one with a ticket that was used before.
func (p *prober) probeVersion(addr string, version uint16) *versionReport {
	v := &versionReport{version: version, Version: tls.VersionName(version)}
	wait := ticketWait
	for round := range p.cfg.dials {
		p.show("%s: handshakes %d of %d", v.Version, 2*round+1, 2*p.cfg.dials)
		d := p.dialOnce(addr, version, nil, wait)
		if v.record(d); v.stopped {
			break
		}
		if d.fault != nil {
			continue
		}
		v.full = append(v.full, d)
		v.sessions = append(v.sessions, d.sessions...)
		if len(v.sessions) == 0 {
			wait = 0 // once is enough
		}
		if offer := v.fresh(); offer != nil && !v.unoffered {
			p.show("%s: handshakes %d of %d", v.Version, 2*round+2, 2*p.cfg.dials)
			if p.offer(addr, v, offer); v.stopped {
				break
			}
		}
	}
	if len(v.full) == 0 {
		return v
	}
	v.describe(v.full)
	v.Full = costOf(v.full)
	v.Resumed = len(v.resumed)
	if v.Resumed > 0 {
		v.Cost = costOf(v.resumed)
		v.Saved = v.savings()
		if !v.stopped {
			v.Reusable = p.resumes(addr, version, v.used)
		}
	}
	v.Why = v.why(v.full)
	return v
}

// record notes whether a dial failed. Enough of them, or one that says that no other will do
// better, stop the probe of the version.
func (v *versionReport) record(d *probeDial) {
	if d.fault == nil {
		v.failing = 0
		return
	}
	v.fault = d.fault
	v.failing++
	if d.fault.kind != faultInterrupted {
		v.Failed++
	}
	v.stopped = v.failing >= maxFailures || !d.fault.passing()
}

// offer dials with a ticket. A dial that fails is the ticket's fault only if one without it
// does not.
func (p *prober) offer(addr string, v *versionReport, offer *probeSession) {
	wait := ticketWait
	if v.renewsNone {
		wait = 0
	}
	d := p.dialOnce(addr, v.version, offer, wait)
	switch {
	case d.fault != nil && !d.offered: // never got so far
		v.record(d)
		return
	case !d.offered:
		v.unoffered = true
		return
	case d.fault != nil && v.offerFault == nil:
		if control := p.dialOnce(addr, v.version, nil, 0); control.fault != nil {
			v.record(control)
			return
		}
	}
	v.Offered++
	if d.fault != nil {
		v.offerFault = d.fault
		return
	}
	v.sessions = append(v.sessions, d.sessions...)
	v.renewsNone = len(d.sessions) == 0
	if d.state.DidResume {
		v.resumed = append(v.resumed, d)
		v.used = offer
	}
}

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
	d := p.dialOnce(addr, version, s, 0)
	if !d.offered || d.fault != nil && d.fault.kind != faultAlert {
		return nil // no word about the ticket
	}
	yes := d.fault == nil && d.state.DidResume
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
		v.Asked = v.Asked || d.asked
		v.Shown = v.Shown || d.shown
		v.Tickets = max(v.Tickets, len(d.sessions), len(d.tickets))
		for _, t := range d.tickets {
			v.LifetimeS = max(v.LifetimeS, int(t.lifetime/time.Second))
			v.TicketBytes = max(v.TicketBytes, t.size)
			v.EarlyDataBytes = max(v.EarlyDataBytes, t.earlyData)
			v.ticketsSeen = true
		}
	}
}

// savings returns what a resumed handshake saves. Time counts where it can be told from noise:
// where of all pairs of a full and a resumed handshake, four in five have the resumed one faster. Two
// equal kinds of six handshakes each look so one time in twenty.
func (v *versionReport) savings() cost {
	saved := cost{Bytes: max(0, v.Full.Bytes-v.Cost.Bytes)}
	faster := 0
	for _, full := range v.full {
		for _, resumed := range v.resumed {
			if resumed.took < full.took {
				faster++
			}
		}
	}
	if v.enough() && 5*faster >= 4*len(v.full)*len(v.resumed) {
		saved.MS = max(0, round(v.Full.MS-v.Cost.MS, 3))
	}
	return saved
}

// enough reports whether there were handshakes enough to compare their times.
func (v *versionReport) enough() bool {
	const least = 3
	return len(v.full) >= least && len(v.resumed) >= least
}

// verdict says whether the server resumes in this version.
func (v *versionReport) verdict() verdict {
	switch {
	case v.Resumed > 0:
		return verdictYes
	case v.stopped, len(v.full) == 0, v.unoffered, v.byID():
		return verdictUnknown
	}
	return verdictNo
}

// byID reports whether the server gives out session ids and no tickets. Go's crypto/tls cannot
// offer an id, so what the server makes of one cannot be told.
func (v *versionReport) byID() bool {
	return v.version == tls.VersionTLS12 && v.Tickets == 0 && v.full[0].hello.sessionID > 0
}

// why says why the server does not resume, or not always, or why that is not known; empty: it does.
func (v *versionReport) why(full []*probeDial) string {
	switch {
	case v.Resumed > 0 && v.Resumed == v.Offered:
		return ""
	case v.Resumed > 0:
		return "some offers got full handshakes: servers behind the address that do not share ticket keys, or tickets that are accepted once or for a moment"
	case v.stopped && v.fault.kind == faultInterrupted:
		return "interrupted before it could be told"
	case v.stopped:
		return "the server answered, and then no more: " + v.fault.says
	case v.offerFault != nil:
		return "handshakes that offer a ticket fail, others do not: " + v.offerFault.says
	case v.unoffered:
		return "crypto/tls does not offer the ticket: the certificate has expired, or the cipher suite is no longer offered"
	case v.Offered > 0:
		return "the server sends tickets and answers them with full handshakes: servers behind the address that do not share ticket keys, or a store that lost the session"
	case v.Tickets > 0:
		return "the tickets have a lifetime of 0: the server does not want them back"
	case v.byID():
		return "the server gives out session ids and no tickets; whether it resumes by id cannot be told, for Go's crypto/tls cannot offer one; openssl s_client -reconnect does"
	case full[0].hungUp:
		return "the server ended the connection before it sent a ticket; it may want a request first"
	case v.version == tls.VersionTLS13:
		return "no ticket came within two seconds of the handshake; the server has none, or sends them with its first answer"
	}
	return "the server sends no tickets"
}
