package tlscache

import (
	"crypto/tls"
	"encoding/binary"
	"go/version"
	"runtime"
	"time"
)

// ticketVersion is the first byte of an encoded ticket.
const ticketVersion = 1

// goRelease names the releases of Go that understand each other's SessionState.Bytes, whose
// encoding may change between releases: go1.26 for go1.26.8.
func goRelease() string {
	if lang := version.Lang(runtime.Version()); lang != "" {
		return lang
	}
	return runtime.Version() // a development version understands itself only
}

// appendTicket encodes a ticket and its key: version(1) until(8, Unix ms) and the fields key,
// label and state, each with its length in four bytes.
func appendTicket(b []byte, key string, t *ticket) ([]byte, error) {
	state, err := t.state.Bytes()
	if err != nil {
		return b, err
	}
	b = append(b, ticketVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(t.until.UnixMilli()))
	b = appendField(b, []byte(key))
	b = appendField(b, t.label)
	return appendField(b, state), nil
}

// decodeTicket is the reverse, but for a key in the normal form of another version. It does not look at the
// deadline, and copies no label.
func decodeTicket(b []byte) (key string, t *ticket, err error) {
	until, fields, err := cutTicket(b)
	if err != nil {
		return "", nil, err
	}
	state, err := tls.ParseSessionState(fields[2])
	if err != nil {
		return "", nil, errMalformed
	}
	f, ok := decodeFacts(fields[2])
	if !ok {
		return "", nil, errMalformed
	}
	f.secret = append([]byte(nil), f.secret...)
	return normalKey(string(fields[0])), &ticket{label: fields[1], state: state, facts: f, until: until}, nil
}

// keyOfTicket returns the key in an encoded ticket, whatever release of Go encoded the rest.
func keyOfTicket(b []byte) (string, error) {
	_, fields, err := cutTicket(b)
	if err != nil {
		return "", err
	}
	return normalKey(string(fields[0])), nil
}

// cutTicket returns the deadline and the fields of an encoded ticket: key, label and state.
func cutTicket(b []byte) (until time.Time, fields [3][]byte, err error) {
	const head = 1 + 8
	if len(b) < head || b[0] != ticketVersion {
		return until, fields, errMalformed
	}
	until = time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:])))
	rest := b[head:]
	for i := range fields {
		var ok bool
		if fields[i], rest, ok = cutField(rest); !ok {
			return until, fields, errMalformed
		}
	}
	if len(rest) > 0 || len(fields[0]) < scopeSize || len(fields[1]) == 0 {
		return until, fields, errMalformed
	}
	return until, fields, nil
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

// revive turns the wall-clock deadline of a decoded ticket into one of this process, and
// reports whether at least minLife of it is left.
func (t *ticket) revive(now time.Time, minLife time.Duration) bool {
	longest := maxLife12
	if t.facts.is13() {
		longest = maxLife13
	}
	left := t.until.Sub(now.Round(0))
	if left > longest { // no ticket ever had that: the clock was set back
		return false
	}
	t.until = now.Add(left)
	return left > 0 && left >= minLife
}
