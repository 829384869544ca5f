package tlscache

import (
	"sync/atomic"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
)

// A MissReason says why an offered session was not resumed.
type MissReason uint8

// The reasons, in the order in which they are found out.
const (
	// MissMalformed: the ticket is none of ours, or of a version that this one does not know.
	MissMalformed MissReason = iota + 1
	// MissUnknownKey: it names a secret that the Keyring does not have: rotated out, or the
	// fleet's keyrings differ.
	MissUnknownKey
	// MissForged: it was not sealed under the secret that it names.
	MissForged
	// MissExpired: its TTL is over. crypto/tls tells clients to keep every ticket for 7 days.
	MissExpired
	// MissAuthAge: its client proved who it is longer ago than MaxAuthAge, or it is
	// not known when.
	MissAuthAge
	// MissScope: it belongs to another trust configuration.
	MissScope
	// MissServerName: it was issued under another server name.
	MissServerName
	// MissGone: the Store does not have it: evicted, taken, lost.
	MissGone
	// MissStoreError: the Store failed, was busy, or the breaker is open.
	MissStoreError
	// MissStoreTimeout: the Store took longer than the budget.
	MissStoreTimeout
	// MissRevoked: it was revoked.
	MissRevoked
	// MissTooLarge: it was never stored, for it is larger than the Store accepts.
	MissTooLarge
	// MissDeclined: the session was found and crypto/tls did not resume it: another version
	// or cipher suite, a client certificate that the configuration no longer takes, a
	// handshake that ended early.
	MissDeclined

	missReasons = int(MissDeclined) + 1
)

var missNames = [missReasons]string{
	MissMalformed: "malformed", MissUnknownKey: "unknown key", MissForged: "forged", MissExpired: "expired",
	MissAuthAge: "auth age", MissScope: "scope", MissServerName: "server name", MissGone: "gone",
	MissStoreError: "store error", MissStoreTimeout: "store timeout", MissRevoked: "revoked", MissTooLarge: "too large", MissDeclined: "declined",
}

// String returns the reason in lower case, fit for a metric's label.
func (r MissReason) String() string {
	if r == 0 || int(r) >= missReasons {
		return "invalid"
	}
	return missNames[r]
}

// MarshalText is String.
func (r MissReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// ServerStats are a Server's counters since its birth. They are not all of one instant.
type ServerStats struct {
	// Full and Resumed are the handshakes that got as far as their ticket, which for TLS 1.3 is
	// before the client proved anything.
	Full, Resumed uint64

	// Offered are the tickets that clients offered, Found those that named a session which
	// crypto/tls was given.
	Offered, Found uint64

	// Misses are the offered tickets that did not resume, by reason; every reason is there.
	Misses map[MissReason]uint64

	// What clients got as their ticket: the handle of a session that was stored; a new handle
	// of a stored TLS 1.2 session; a sealed record, because the Server is Stateless, or because the client had shown no more than a ClientHello
	// and the Store is not Local; a sealed record, because the Store failed; a ticket of the
	// hook that the configuration had before; a dead handle, which leads nowhere.
	Stored, Reissued, Sealed, Fallback, Foreign, Dead uint64

	// FoundSealed, FoundFallback and FoundForeign are those of Found that were sealed records of either kind, or
	// known to the hook that the configuration had before.
	FoundSealed, FoundFallback, FoundForeign uint64

	// Unstable are the sessions not stored because a Config from GetConfigForClient decides whom
	// to trust by a function and has no named scope.
	Unstable uint64

	// ScopeChanges is how often a connection came with a scope that none had before, but for the first. Sessions of another
	// scope do not resume under it. So it counts changes of what a Config trusts or appears as, and, where GetConfigForClient returns
	// Configs of tenants, the tenants. A certificate that is renewed under its names and its root changes nothing. Of more
	// than 4096 scopes the earlier are forgotten.
	ScopeChanges uint64

	// Ungated are the handshakes on a Config with the Server's hooks that came past the
	// GetConfigForClient which Install set, so that nothing of theirs was resumed or stored: see
	// Install. It is to be 0.
	Ungated uint64

	// Bypassed are the installed Configs, of those still in memory, whose GetConfigForClient was set
	// anew since or whose WrapSession or UnwrapSession was cleared: some or all of their clients get
	// tickets that the Server knows nothing of. It is to be 0: Install last. At most 1024 are
	// looked at.
	Bypassed int

	// TooLarge are the sessions not stored because the Store refused them for their size: see
	// session.MemoryConfig.MaxSessionSize. Their clients got a sealed record if that is of at
	// most 16 KiB, else a dead handle.
	TooLarge uint64

	// RevokedHere are the revocations of a Stateless Server without a Store: no other process knows them, nor will this one when
	// it is started again.
	RevokedHere uint64

	// PeersRefused are the resumptions that VerifyPeerCertificate refused: see ServerConfig.VerifyPeerOnResume.
	PeersRefused uint64

	// Panics are those of ServerConfig's functions, OnHandshake among them, of a Local Store or of earlier hooks.
	Panics uint64

	// Store is about a Store that is not Local.
	Store StoreStats

	// Memory is about a Store that is a session.Memory, as it is by default: what it holds, and what it
	// evicted and what expired there. Zero with another Store.
	Memory session.MemoryStats
}

// StoreStats say how a Store fares.
type StoreStats struct {
	Timeouts    uint64 // calls that took longer than the budget
	Failures    uint64 // calls that failed or panicked
	Skipped     uint64 // calls not made: the breaker was open, or MaxInFlight reached
	InFlight    int    // calls that have not returned, also those given up on
	Stranded    int    // of those, the ones given up on that are no probes
	BreakerOpen bool   // the Store is left alone at present

	// Lost is how often the Store was found to have lost something before its time that revocations
	// depend on: a watermark, which was written again, or the witness that it has lost nothing, and then
	// sealed tickets from before do not resume. It is to be 0: a Store that is not emptied and
	// evicts nothing before its TTL of 7 days loses nothing.
	Lost uint64
}

// serverCounters are what ServerStats are read from.
type serverCounters struct {
	full, resumed, offered, found             atomic.Uint64
	stored, reissued, fallback, foreign, dead atomic.Uint64
	foundFallback, foundForeign               atomic.Uint64
	unstable, ungated, tooLarge, panics       atomic.Uint64
	sealed, foundSealed, lost, peersRefused   atomic.Uint64
	revokedHere                               atomic.Uint64
	misses                                    [missReasons]atomic.Uint64
}

// handshake counts a handshake that got as far as its ticket.
func (c *serverCounters) handshake(resumed bool) {
	if resumed {
		c.resumed.Add(1)
	} else {
		c.full.Add(1)
	}
}

// Stats returns the Server's counters. For Bypassed it looks at the hooks of installed Configs, which are not to
// be set meanwhile.
func (s *Server) Stats() ServerStats {
	if s.isZero() {
		return ServerStats{Misses: make(map[MissReason]uint64)}
	}
	c := &s.counts
	st := ServerStats{
		Full: c.full.Load(), Resumed: c.resumed.Load(), Offered: c.offered.Load(), Found: c.found.Load(),
		Stored: c.stored.Load(), Reissued: c.reissued.Load(), Fallback: c.fallback.Load(),
		Foreign: c.foreign.Load(), Dead: c.dead.Load(),
		FoundFallback: c.foundFallback.Load(), FoundForeign: c.foundForeign.Load(),
		Sealed: c.sealed.Load(), FoundSealed: c.foundSealed.Load(),
		Unstable: c.unstable.Load(), Ungated: c.ungated.Load(), Bypassed: s.installed.bypassed(), TooLarge: c.tooLarge.Load(), Panics: c.panics.Load(), PeersRefused: c.peersRefused.Load(), RevokedHere: c.revokedHere.Load(), ScopeChanges: s.appeared.changes(),
		Misses: make(map[MissReason]uint64, missReasons),
		Store:  storeStats(s.guard.Stats()),
	}
	st.Store.Lost = c.lost.Load()
	if m, ok := s.store.(*session.Memory); ok {
		st.Memory = m.Stats()
	}
	for r := MissMalformed; r < MissDeclined; r++ {
		st.Misses[r] = c.misses[r].Load()
	}
	// crypto/tls says nothing when it declines a session: it just does not resume. A handshake
	// between the two counts for a moment.
	st.Misses[MissDeclined] = c.misses[MissDeclined].Load() + st.Found - min(st.Found, st.Resumed)
	return st
}

// storeStats returns the figures of the guard of a Store.
func storeStats(st guard.Stats) StoreStats {
	return StoreStats{
		Timeouts: st.Timeouts, Failures: st.Failures, Skipped: st.Skipped,
		InFlight: st.InFlight, Stranded: st.Stranded, BreakerOpen: st.BreakerOpen,
	}
}
