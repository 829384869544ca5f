package tlscache

import (
	"crypto/tls"
	"encoding/binary"
	"hash/maphash"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
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
	facts facts
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
	f, ok := factsOf(state)
	if !ok {
		return ticket{}, 0, false
	}
	life := min(f.life(now), maxAge)
	if life <= 0 {
		return ticket{}, 0, false
	}
	t = ticket{label: label, state: ownState(state), facts: f, until: now.Plus(life)}
	end := t.until // a renewed one of TLS 1.2 has the same secret, so MaxAge is not for each alone
	if f.is13() {
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
	return tls.NewResumptionState(t.label, privateState(t.state))
}

// identity returns a number that tells tickets apart within this process.
func (t *ticket) identity() uint64 { return maphash.Bytes(identitySeed, t.label) }

var identitySeed = maphash.MakeSeed()

// facts are what a client's session state says about itself. They are hints that decide
// about a deadline and nothing else: crypto/tls checks its own before it offers a ticket.
type facts struct {
	version uint16
	created uint64 // seconds since 1970, by Config.Time, when the ticket came
	useBy   uint64 // likewise; 0 before TLS 1.3
	secret  []byte // TLS 1.2: the master secret, which renewed tickets share

	// certsUntil is until when crypto/tls offers a ticket with the server's certificates, likewise; 0: not known.
	certsUntil uint64
}

func (f *facts) is13() bool { return f.version >= tls.VersionTLS13 }

// life returns how long a ticket that came just now may be offered.
func (f *facts) life(now clock.Stamp) time.Duration {
	life := maxLife12
	if f.is13() {
		// crypto/tls truncates both to seconds after it added the lifetime to one of them.
		if f.useBy <= f.created || f.useBy-f.created > uint64(maxLife13/time.Second) {
			return 0
		}
		life = time.Duration(f.useBy-f.created) * time.Second
	}
	age := time.Unix(0, now.Wall).Sub(time.Unix(int64(f.created), 0))
	if age < 0 || age > maxPlausibleAge {
		return life - time.Second // a clock of the Config's own: what truncation may have cost
	}
	if f.certsUntil != 0 {
		if f.certsUntil <= f.created {
			return 0
		}
		if left := f.certsUntil - f.created; left < uint64(life/time.Second) {
			life = time.Duration(left) * time.Second
		}
	}
	return life - age
}

// factsOf reads the facts out of a state. crypto/tls hands them out in SessionState.Bytes
// only, which takes 8 µs and 17 KB for a chain of 4 KB, more than all the rest of a Put, so
// they are read by reflection as long as that says the same; see fieldsOfState.
func factsOf(state *tls.SessionState) (f facts, ok bool) {
	if fields := fieldsOfState(state); fields != nil {
		f, ok = fields.read(state), true
	} else if encoded, err := state.Bytes(); err == nil {
		f, ok = decodeFacts(encoded)
	}
	f.certsUntil = heldBy(state).certsUntil()
	return f, ok
}

// certsUntil returns until when crypto/tls offers a session with these certificates, in Unix seconds: as long as the
// leaf is valid, and all of a chain where any was verified. 0: not known, or before 1970.
func (h *holding) certsUntil() uint64 {
	if h == nil || len(*h.peers) == 0 {
		return 0
	}
	until := (*h.peers)[0].NotAfter.Unix()
	longest := int64(0)
	for _, chain := range *h.chains {
		shortest := until
		for _, cert := range chain {
			shortest = min(shortest, cert.NotAfter.Unix())
		}
		longest = max(longest, shortest)
	}
	if len(*h.chains) > 0 {
		until = longest
	}
	return uint64(max(until, 0))
}

// decodeFacts reads the facts out of an encoded state, by the layout that Go has had since
// 1.21: the head is version(2) type(1) suite(2) created(8) and the secret with a length of
// one byte, and a TLS 1.3 client's tail useBy(8) ageAdd(4).
func decodeFacts(encoded []byte) (f facts, ok bool) {
	const head, tail = 14, 12
	if len(encoded) < head+tail {
		return f, false
	}
	f.version = binary.BigEndian.Uint16(encoded)
	f.created = binary.BigEndian.Uint64(encoded[5:])
	if secret := int(encoded[13]); len(encoded) >= head+secret+tail {
		f.secret = encoded[head : head+secret]
	}
	if f.is13() {
		f.useBy = binary.BigEndian.Uint64(encoded[len(encoded)-tail:])
	}
	const client = 2
	return f, encoded[2] == client && len(f.secret) > 0
}

// stateFields are the positions of the facts in a tls.SessionState.
type stateFields struct{ version, created, useBy, secret int }

// stateFieldsOf holds the positions, for TLS up to 1.2 and from 1.3 on, once a first ticket of
// that kind has shown that reading them gives what Bytes gives; nil if it does not, or if
// this Go has other fields.
var stateFieldsOf [2]struct {
	sync.Once
	fields *stateFields
}

// fieldsOfState returns the positions of the facts, or nil if Bytes must be asked.
func fieldsOfState(state *tls.SessionState) *stateFields {
	fields := knownStateFields()
	if fields == nil {
		return nil
	}
	got := fields.read(state)
	kind := 0
	if got.is13() {
		kind = 1
	}
	s := &stateFieldsOf[kind]
	s.Do(func() {
		encoded, err := state.Bytes()
		if err != nil {
			return
		}
		if want, ok := decodeFacts(encoded); ok && got.equal(want) {
			s.fields = fields
		}
	})
	return s.fields
}

func (f *facts) equal(o facts) bool {
	return f.version == o.version && f.created == o.created && f.useBy == o.useBy && slices.Equal(f.secret, o.secret)
}

var knownStateFields = sync.OnceValue(func() *stateFields {
	return findStateFields(reflect.TypeFor[tls.SessionState]())
})

// findStateFields looks the fields up by name and type.
func findStateFields(state reflect.Type) *stateFields {
	ok := true
	find := func(name string, want reflect.Type) int {
		f, found := state.FieldByName(name)
		if !found || len(f.Index) != 1 || f.Type != want {
			ok = false
			return 0
		}
		return f.Index[0]
	}
	seconds := reflect.TypeFor[uint64]()
	fields := &stateFields{
		version: find("version", reflect.TypeFor[uint16]()),
		created: find("createdAt", seconds),
		useBy:   find("useBy", seconds),
		secret:  find("secret", reflect.TypeFor[[]byte]()),
	}
	if !ok {
		return nil
	}
	return fields
}

func (fields *stateFields) read(state *tls.SessionState) facts {
	v := reflect.ValueOf(state).Elem()
	f := facts{
		version: uint16(v.Field(fields.version).Uint()),
		created: v.Field(fields.created).Uint(),
		secret:  v.Field(fields.secret).Bytes(),
	}
	if f.is13() {
		f.useBy = v.Field(fields.useBy).Uint()
	}
	return f
}
