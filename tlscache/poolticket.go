package tlscache

import (
	"crypto/tls"
	"hash/maphash"
	"time"
	"unsafe"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

const (
	// Longest lives of a ticket since it came: RFC 9846 section 4.6.1 for TLS 1.3, which
	// crypto/tls enforces too, and RFC 5246 F.1.4 for TLS 1.2, whose servers' lifetime hint
	// crypto/tls throws away.
	maxLife13 = 7 * 24 * time.Hour
	maxLife12 = 24 * time.Hour

	// A state says when it was made by the Config's clock, which may be a fake one. Up to
	// this age we believe it; else it was made now.
	maxPlausibleAge = time.Minute
)

// A ticket is what a client needs to resume once. It is a value: what the pools note about one, they keep beside it. Copies
// share label and state, which nothing writes to.
type ticket struct {
	label []byte            // the ticket as the server sent it
	state *tls.SessionState // a copy of our own, never handed out itself
	facts tlsstate.Facts
	until clock.Stamp // the deadline
	end   clock.Stamp // that of its family, not earlier
}

// newTicket returns the ticket in what crypto/tls wants to store, and what it keeps from the collector. It is not ok if it
// cannot be used for at least a moment. maxAge caps its life.
func newTicket(cs *tls.ClientSessionState, now clock.Stamp, maxAge time.Duration, known *families) (t ticket, bytes int, ok bool) {
	label, state, err := cs.ResumptionState()
	if err != nil || state == nil || len(label) == 0 {
		return ticket{}, 0, false
	}
	f, ok := tlsstate.FactsOf(state)
	if !ok {
		return ticket{}, 0, false
	}
	life := min(lifeOf(&f, now), maxAge)
	if life <= 0 {
		return ticket{}, 0, false
	}
	t = ticket{label: label, state: tlsstate.Own(state), facts: f, until: now.Plus(life)}
	end := t.until // a renewed one of TLS 1.2 has the same secret, so MaxAge is not for each alone
	if f.Is13() {
		end = now.Plus(maxLife13)
	}
	bytes = known.join(&t, end)
	return t, bytes, !t.over(now)
}

// over reports whether the deadline has come, by either clock: the monotonic one stands still while the machine is
// suspended, and the other one may be set back.
func (t *ticket) over(now clock.Stamp) bool { return t.until.Since(now) >= 0 }

// left returns how much life there is left.
func (t *ticket) left(now clock.Stamp) time.Duration { return -t.until.Since(now) }

// offer returns the ticket in the form that crypto/tls takes. Its state is the caller's own:
// QUIC's users write EarlyData into it, and NewResumptionState writes the label.
func (t *ticket) offer() (*tls.ClientSessionState, error) {
	return tls.NewResumptionState(t.label, tlsstate.Private(t.state))
}

// identity returns a number that tells tickets apart within this process.
func (t *ticket) identity() uint64 { return maphash.Bytes(identitySeed, t.label) }

var identitySeed = maphash.MakeSeed()

// maxTicketBytes bounds what a client's ticket keeps from the garbage collector. The chain of a usual server comes to 10 to
// 30 KB; servers decide about it, and some send more than their clients need.
const maxTicketBytes = tlsstate.MaxShared

// ownBytes returns what a ticket keeps from the garbage collector, where a pool has it in memory, without the
// certificates that it may share.
func (t *ticket) ownBytes(h *tlsstate.Holding) int {
	return tlsstate.Allocated(int(unsafe.Sizeof(memoryTicket{}))) + tlsstate.Allocated(cap(t.label)) + tlsstate.OwnBytes(t.state, h, tlsstate.Buffers{})
}

// lifeOf returns how long a ticket that came just now may be offered.
func lifeOf(f *tlsstate.Facts, now clock.Stamp) time.Duration {
	life := maxLife12
	if f.Is13() {
		// crypto/tls truncates both to seconds after it added the lifetime to one of them.
		if f.UseBy <= f.Created || f.UseBy-f.Created > uint64(maxLife13/time.Second) {
			return 0
		}
		life = time.Duration(f.UseBy-f.Created) * time.Second
	}
	age := time.Unix(0, now.Wall).Sub(time.Unix(int64(f.Created), 0))
	if age < 0 || age > maxPlausibleAge {
		return life - time.Second // a clock of the Config's own: what truncation may have cost
	}
	if f.CertsUntil != 0 {
		if f.CertsUntil <= f.Created {
			return 0
		}
		if left := f.CertsUntil - f.Created; left < uint64(life/time.Second) {
			life = time.Duration(left) * time.Second
		}
	}
	return life - age
}
