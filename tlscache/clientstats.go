package tlscache

import "sync/atomic"

// ClientStats are a Client's counters since its birth, and what it holds. They are not all of
// one instant.
type ClientStats struct {
	// Offered are the handshakes that had a ticket to offer, and Accepted those of them that
	// resumed: never more. Handshakes of a server with the same Config count in neither. A View is
	// not told what becomes of its offers, so they are never Accepted.
	Offered, Accepted uint64

	// Failed are the offers whose handshake failed, for any cause, and those that
	// crypto/tls refused to send.
	Failed uint64

	// Misses are the handshakes that had no ticket to offer, by reason: MissGone (never had,
	// used, expired, evicted), MissScope (see MixedECH), what is wrong with a Store's content or the Store. And
	// MissDeclined, the offers that got a full handshake, from the server or, silently, from
	// crypto/tls: what is Offered and neither Accepted nor Failed, so handshakes
	// under way count there until they are over. A reason that did not occur is absent.
	Misses map[MissReason]uint64

	// Stored are the tickets taken in; Refused those that were not, having no life left,
	// coming from a server whose tickets keep making handshakes fail, or from a connection of MixedECH.
	Stored, Refused uint64

	// MixedECH are the handshakes with Encrypted Client Hello of a clone whose original had none when Install saw it, and
	// those without of a clone whose original had it: see Install. It is to be 0.
	MixedECH uint64

	// PeersRefused are the resumptions that VerifyPeerCertificate refused: see ClientConfig.VerifyPeerOnResume. They count as
	// Failed too.
	PeersRefused uint64

	// Panics are those of OnHandshake.
	Panics uint64

	// TooLarge are the tickets that were not taken in because they hold more than 64 KiB, most of it certificates
	// that the server sent.
	TooLarge uint64

	// Held are the tickets held now. 0 with a Store.
	Held int
	// Expired and Evicted left unused, at their deadline or for a bound. 0 with a Store.
	Expired, Evicted uint64

	// Exported and Imported are tickets. LeftOut are those that Export left out since their
	// connections show client certificates, or may; Foreign those that Import skipped
	// as another release of Go wrote them; Late those with too little life left for Import.
	Exported, Imported, LeftOut, Foreign, Late uint64

	// Store is about ClientConfig.Store.
	Store StoreStats
}

// clientCounters are what ClientStats are read from.
type clientCounters struct {
	offered, accepted, failed, stored, refused atomic.Uint64
	tooLarge, mixedECH, peersRefused, panics   atomic.Uint64
	exported, imported, leftOut, foreign, late atomic.Uint64
	misses                                     [missReasons]atomic.Uint64
}

// Stats returns the Client's counters.
func (c *Client) Stats() ClientStats {
	if c.isZero() {
		return ClientStats{Misses: map[MissReason]uint64{}}
	}
	n, held := &c.stats, c.pool.Held()
	st := ClientStats{
		Accepted: n.accepted.Load(), Failed: n.failed.Load(), Offered: n.offered.Load(), // in this order: it is no less
		Stored: n.stored.Load(), Refused: n.refused.Load(), TooLarge: n.tooLarge.Load(), MixedECH: n.mixedECH.Load(), PeersRefused: n.peersRefused.Load(), Panics: n.panics.Load(),
		Held: held.Tickets, Expired: held.Expired, Evicted: held.Evicted,
		Exported: n.exported.Load(), Imported: n.imported.Load(),
		LeftOut: n.leftOut.Load(), Foreign: n.foreign.Load(), Late: n.late.Load(),
		Misses: make(map[MissReason]uint64),
		Store:  storeStats(held.Store),
	}
	for r := range n.misses {
		if c := n.misses[r].Load(); c > 0 {
			st.Misses[MissReason(r)] = c
		}
	}
	// A connection that resumed and was then refused by VerifyConnection counts in both.
	if answered := st.Accepted + st.Failed; st.Offered > answered {
		st.Misses[MissDeclined] = st.Offered - answered
	}
	return st
}
