package tlscache

import "sync/atomic"

// A missReason says why a handshake had no ticket to offer.
type missReason uint8

const (
	missGone missReason = iota + 1
	missMalformed
	missStoreError
	missStoreTimeout
	missReasons
)

// ClientStats are the counters of a Client since its birth, and what it holds. They are read
// one by one and need not be of one instant.
type ClientStats struct {
	// Offered counts handshakes that had a ticket to offer, and Accepted those of them that
	// resumed. What a bare View offers is never counted as Accepted.
	Offered, Accepted uint64

	// Failed counts offers whose handshake failed, whatever the cause, and tickets that
	// crypto/tls refused to offer.
	Failed uint64

	// Declined counts offers that were answered with a full handshake: by the server, or
	// by crypto/tls before it sent them. It is Offered less Accepted and Failed, so
	// handshakes under way count until they are over, and a bare View's always do.
	Declined uint64

	// Missed counts handshakes that had no ticket to offer, by reason.
	Missed ClientMisses

	// Stored counts tickets taken in; Refused those that were not, having no life left or
	// coming from a server whose tickets make handshakes fail.
	Stored, Refused uint64

	// Held is how many tickets are held now; Expired and Evicted count those that left
	// unused at their deadline or for a bound. 0 with a Store.
	Held             int
	Expired, Evicted uint64

	// Exported and Imported count tickets; LeftOut those that Export left out since their
	// connections show client certificates, or may; Foreign those that Import skipped for
	// having been written by another version of Go; Late those with too little life left.
	Exported, Imported, LeftOut, Foreign, Late uint64
}

// ClientMisses counts handshakes without a ticket by the reason.
type ClientMisses struct {
	Gone         uint64 // there was none: never, no longer, taken by another connection
	Malformed    uint64 // a Store's content did not open: forged, of another version or key
	StoreError   uint64 // the Store failed, or its breaker was open
	StoreTimeout uint64 // the Store took longer than its budget
}

// clientCounters are the live counters. Handshakes are rare enough to share them.
type clientCounters struct {
	offered, accepted, failed, stored, refused atomic.Uint64
	exported, imported, leftOut, foreign, late atomic.Uint64
	misses                                     [missReasons]atomic.Uint64
}

func (s *clientCounters) missed(why missReason) { s.misses[why].Add(1) }

// Stats returns the counters.
func (c *Client) Stats() ClientStats {
	s, held := &c.stats, c.pool.held()
	st := ClientStats{
		Accepted: s.accepted.Load(), Failed: s.failed.Load(), // before Offered, so that it is no less
		Offered: s.offered.Load(),
		Missed: ClientMisses{
			Gone: s.misses[missGone].Load(), Malformed: s.misses[missMalformed].Load(),
			StoreError: s.misses[missStoreError].Load(), StoreTimeout: s.misses[missStoreTimeout].Load(),
		},
		Stored: s.stored.Load(), Refused: s.refused.Load(),
		Held: held.tickets, Expired: held.expired, Evicted: held.evicted,
		Exported: s.exported.Load(), Imported: s.imported.Load(),
		LeftOut: s.leftOut.Load(), Foreign: s.foreign.Load(), Late: s.late.Load(),
	}
	// A connection that resumed and was then refused by VerifyConnection counts in both.
	st.Declined = st.Offered - min(st.Offered, st.Accepted+st.Failed)
	return st
}
