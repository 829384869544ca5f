package tickets

import (
	"crypto/tls"
	"encoding/binary"
	"go/version"
	"math"
	"runtime"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// ticketVersion is the first byte of an encoded ticket. Version 1 had no end of the family.
const ticketVersion = 2

// GoRelease names the releases of Go that understand each other's SessionState.Bytes, whose
// encoding may change between releases: go1.26 for go1.26.8.
func GoRelease() string {
	if lang := version.Lang(runtime.Version()); lang != "" {
		return lang
	}
	return runtime.Version() // a development version understands itself only
}

// AppendTicket encodes a ticket and its key: version(1) until(8) end(8), both in Unix milliseconds, and the fields
// key, label and state, each with its length in four bytes.
func AppendTicket(b []byte, key string, t *Ticket) ([]byte, error) {
	state, err := t.State.Bytes()
	if err != nil {
		return b, err
	}
	b = append(b, ticketVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Until.Wall/int64(time.Millisecond)))
	b = binary.BigEndian.AppendUint64(b, uint64(t.End.Wall/int64(time.Millisecond)))
	b = sealing.AppendField(b, []byte(key))
	b = sealing.AppendField(b, t.Label)
	return sealing.AppendField(b, state), nil
}

// DecodeTicket is the reverse, but for a key in the normal form of another version. It does not look at the
// deadline, and copies no label.
func DecodeTicket(b []byte) (key string, t Ticket, err error) {
	t, fields, err := cutTicket(b)
	if err != nil {
		return "", Ticket{}, err
	}
	state, err := tls.ParseSessionState(fields[2])
	if err != nil {
		return "", Ticket{}, sealing.ErrMalformed
	}
	f, ok := tlsstate.DecodeFacts(fields[2])
	if !ok {
		return "", Ticket{}, sealing.ErrMalformed
	}
	f.Secret = append([]byte(nil), f.Secret...)
	t.Label, t.State, t.Facts = fields[1], state, f
	return normalKey(string(fields[0])), t, nil
}

// keyOfTicket returns the key in an encoded ticket. Any release of Go may have encoded the rest.
func keyOfTicket(b []byte) (string, error) {
	_, fields, err := cutTicket(b)
	if err != nil {
		return "", err
	}
	return normalKey(string(fields[0])), nil
}

// cutTicket returns a ticket with its deadlines alone, and the fields of an encoded one: key, label and state.
func cutTicket(b []byte) (t Ticket, fields [3][]byte, err error) {
	const before, head = 1 + 8, 1 + 8 + 8
	if len(b) < head || b[0] != ticketVersion && b[0] != 1 {
		return Ticket{}, fields, sealing.ErrMalformed
	}
	t.Until, t.End = wallOf(b[1:]), wallOf(b[before:])
	rest := b[head:]
	if b[0] == 1 {
		t.End, rest = t.Until, b[before:]
	}
	for i := range fields {
		var ok bool
		if fields[i], rest, ok = sealing.CutField(rest); !ok {
			return Ticket{}, fields, sealing.ErrMalformed
		}
	}
	if len(rest) > 0 || len(fields[0]) < ScopeSize || len(fields[1]) == 0 || t.End.Wall < t.Until.Wall {
		return Ticket{}, fields, sealing.ErrMalformed
	}
	return t, fields, nil
}

// wallOf reads an encoded deadline. One that nanoseconds cannot say is taken for the latest they can, which
// revive does not believe.
func wallOf(b []byte) clock.Stamp {
	ms := min(binary.BigEndian.Uint64(b), uint64(math.MaxInt64/time.Millisecond))
	return clock.Stamp{Wall: int64(ms) * int64(time.Millisecond)}
}

// Revive turns the wall-clock deadlines of a decoded ticket into those of this process, and
// reports whether at least minLife of it is left.
func (t *Ticket) Revive(now clock.Stamp, minLife time.Duration) bool {
	longest := MaxLife12
	if t.Facts.Is13() {
		longest = MaxLife13
	}
	left, all := t.Left(now), time.Duration(t.End.Wall-now.Wall)
	if left <= 0 || left < minLife || all > longest { // no ticket ever had that: the clock was set back
		return false
	}
	t.Until, t.End = now.Plus(left), now.Plus(all)
	return true
}
