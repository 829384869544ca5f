package tickets

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
	MaxLife13 = 7 * 24 * time.Hour
	MaxLife12 = 24 * time.Hour

	// A state says when it was made by the Config's clock, which may be a fake one. Up to
	// this age we believe it; else it was made now.
	maxPlausibleAge = time.Minute
)

// A Ticket is what a client needs to resume once. It is a value: what the pools note about one, they keep beside it. Copies
// share label and state, which nothing writes to.
type Ticket struct {
	Label []byte            // the ticket as the server sent it
	State *tls.SessionState // a copy of our own, never handed out itself
	Facts tlsstate.Facts
	Until clock.Stamp // the deadline
	End   clock.Stamp // that of its family, not earlier
}

// New returns the ticket in what crypto/tls wants to store, and what it keeps from the collector. It is not ok if it
// cannot be used for at least a moment. maxAge caps its life.
func New(cs *tls.ClientSessionState, now clock.Stamp, maxAge time.Duration, known *Families) (t Ticket, bytes int, ok bool) {
	label, state, err := cs.ResumptionState()
	if err != nil || state == nil || len(label) == 0 {
		return Ticket{}, 0, false
	}
	f, ok := tlsstate.FactsOf(state)
	if !ok {
		return Ticket{}, 0, false
	}
	life := min(lifeOf(&f, now), maxAge)
	if life <= 0 {
		return Ticket{}, 0, false
	}
	t = Ticket{Label: label, State: tlsstate.Own(state), Facts: f, Until: now.Plus(life)}
	end := t.Until // a renewed one of TLS 1.2 has the same secret, so MaxAge is not for each alone
	if f.Is13() {
		end = now.Plus(MaxLife13)
	}
	bytes = known.join(&t, end)
	return t, bytes, !t.over(now)
}

// over reports whether the deadline has come, by either clock: the monotonic one stands still while the machine is
// suspended, and the other one may be set back.
func (t *Ticket) over(now clock.Stamp) bool { return t.Until.Since(now) >= 0 }

// Left returns how much life there is left.
func (t *Ticket) Left(now clock.Stamp) time.Duration { return -t.Until.Since(now) }

// Offer returns the ticket in the form that crypto/tls takes. Its state is the caller's own:
// QUIC's users write EarlyData into it, and NewResumptionState writes the label.
func (t *Ticket) Offer() (*tls.ClientSessionState, error) {
	return tls.NewResumptionState(t.Label, tlsstate.Private(t.State))
}

// Identity returns a number that tells tickets apart within this process.
func (t *Ticket) Identity() uint64 { return maphash.Bytes(identitySeed, t.Label) }

var identitySeed = maphash.MakeSeed()

// MaxTicketBytes bounds what a client's ticket keeps from the garbage collector. The chain of a usual server comes to 10 to
// 30 KB; servers decide about it, and some send more than their clients need.
const MaxTicketBytes = tlsstate.MaxShared

// ownBytes returns what a ticket keeps from the garbage collector, where a pool has it in memory, without the
// certificates that it may share.
func (t *Ticket) ownBytes(h *tlsstate.Holding) int {
	return tlsstate.Allocated(int(unsafe.Sizeof(MemoryTicket{}))) + tlsstate.Allocated(cap(t.Label)) + tlsstate.OwnBytes(t.State, h, tlsstate.Buffers{})
}

// lifeOf returns how long a ticket that came just now may be offered.
func lifeOf(f *tlsstate.Facts, now clock.Stamp) time.Duration {
	life := MaxLife12
	if f.Is13() {
		// crypto/tls truncates both to seconds after it added the lifetime to one of them.
		if f.UseBy <= f.Created || f.UseBy-f.Created > uint64(MaxLife13/time.Second) {
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
