package tlscache

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

// goRelease names the releases of Go that understand each other's SessionState.Bytes, whose
// encoding may change between releases: go1.26 for go1.26.8.
func goRelease() string {
	if lang := version.Lang(runtime.Version()); lang != "" {
		return lang
	}
	return runtime.Version() // a development version understands itself only
}

// appendTicket encodes a ticket and its key: version(1) until(8) end(8), both in Unix milliseconds, and the fields
// key, label and state, each with its length in four bytes.
func appendTicket(b []byte, key string, t *ticket) ([]byte, error) {
	state, err := t.state.Bytes()
	if err != nil {
		return b, err
	}
	b = append(b, ticketVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.until.Wall/int64(time.Millisecond)))
	b = binary.BigEndian.AppendUint64(b, uint64(t.end.Wall/int64(time.Millisecond)))
	b = sealing.AppendField(b, []byte(key))
	b = sealing.AppendField(b, t.label)
	return sealing.AppendField(b, state), nil
}

// decodeTicket is the reverse, but for a key in the normal form of another version. It does not look at the
// deadline, and copies no label.
func decodeTicket(b []byte) (key string, t ticket, err error) {
	t, fields, err := cutTicket(b)
	if err != nil {
		return "", ticket{}, err
	}
	state, err := tls.ParseSessionState(fields[2])
	if err != nil {
		return "", ticket{}, sealing.ErrMalformed
	}
	f, ok := tlsstate.DecodeFacts(fields[2])
	if !ok {
		return "", ticket{}, sealing.ErrMalformed
	}
	f.Secret = append([]byte(nil), f.Secret...)
	t.label, t.state, t.facts = fields[1], state, f
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
func cutTicket(b []byte) (t ticket, fields [3][]byte, err error) {
	const before, head = 1 + 8, 1 + 8 + 8
	if len(b) < head || b[0] != ticketVersion && b[0] != 1 {
		return ticket{}, fields, sealing.ErrMalformed
	}
	t.until, t.end = wallOf(b[1:]), wallOf(b[before:])
	rest := b[head:]
	if b[0] == 1 {
		t.end, rest = t.until, b[before:]
	}
	for i := range fields {
		var ok bool
		if fields[i], rest, ok = cutField(rest); !ok {
			return ticket{}, fields, sealing.ErrMalformed
		}
	}
	if len(rest) > 0 || len(fields[0]) < scopeSize || len(fields[1]) == 0 || t.end.Wall < t.until.Wall {
		return ticket{}, fields, sealing.ErrMalformed
	}
	return t, fields, nil
}

// wallOf reads an encoded deadline. One that nanoseconds cannot say is taken for the latest they can, which
// revive does not believe.
func wallOf(b []byte) clock.Stamp {
	ms := min(binary.BigEndian.Uint64(b), uint64(math.MaxInt64/time.Millisecond))
	return clock.Stamp{Wall: int64(ms) * int64(time.Millisecond)}
}

// cutField is the reverse of appendField.
func cutField(b []byte) (field, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n : 4+n], b[4+n:], true
}

// revive turns the wall-clock deadlines of a decoded ticket into those of this process, and
// reports whether at least minLife of it is left.
func (t *ticket) revive(now clock.Stamp, minLife time.Duration) bool {
	longest := maxLife12
	if t.facts.Is13() {
		longest = maxLife13
	}
	left, all := t.left(now), time.Duration(t.end.Wall-now.Wall)
	if left <= 0 || left < minLife || all > longest { // no ticket ever had that: the clock was set back
		return false
	}
	t.until, t.end = now.Plus(left), now.Plus(all)
	return true
}
