package fuzz

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/internal/otpport"
)

// The numbers of the protocol, written down a second time.
const (
	portLookup = iota + 1
	portUpdate
	portDelete
	portSize
	portSelect
	portKeys
	portFetch
)

const (
	portOK = iota
	portMore
	portAbsent
	portError
)

// portSessions is a bound that few inputs reach.
const portSessions = 8

// FuzzOTPPort checks that whatever bytes come in on its standard input, the port program
// answers each whole frame as a plain map would, each malformed one with an error, and nothing
// else: no frame is lost, nothing is stored twice, and what it sends is well formed.
func FuzzOTPPort(f *testing.F) {
	for _, seed := range portSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var out bytes.Buffer
		srv, err := otpport.New(otpport.Config{
			MaxSessions: portSessions, MaxBytes: 1 << 30, TTL: time.Hour, MaxFrame: otpport.MinFrame, Stall: time.Hour,
		}, &out)
		if err != nil {
			t.Fatal(err)
		}
		serveErr := srv.Serve(bytes.NewReader(input))
		want, whole := portAnswers(input)
		if (serveErr == nil) != whole {
			t.Errorf("Serve = %v; input ends between frames: %v", serveErr, whole)
		}
		got := portRead(t, &out)
		for id, wants := range want {
			gots := got[id]
			// The pages of a listing may show what came after it, or mix with those of another.
			listings := slices.Contains(wants, portListing)
			if len(gots) != len(wants) || !listings && !slices.Equal(gots, wants) {
				t.Errorf("id %d: answers %q; want %q", id, got[id], want[id])
			}
			delete(got, id)
		}
		for id, gots := range got {
			t.Errorf("id %d: answers %q; want none", id, gots)
		}
	})
}

// portRead collects the last answers to each id, sorted: those to listings come when they can.
// An error stands for its code.
func portRead(t *testing.T, out io.Reader) map[uint64][]string {
	got := map[uint64][]string{}
	for {
		var length uint32
		if err := binary.Read(out, binary.BigEndian, &length); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, length)
		if _, err := io.ReadFull(out, b); err != nil || length < 10 || b[0] != 1 || b[1] > portError {
			t.Fatalf("answer of %d bytes, %x, error %v; want a whole one", length, b[:min(len(b), 10)], err)
		}
		id, body := binary.BigEndian.Uint64(b[2:]), string(b[10:])
		switch b[1] {
		case portOK:
			got[id] = append(got[id], "ok "+body)
		case portAbsent:
			got[id] = append(got[id], "absent"+body)
		case portError:
			got[id] = append(got[id], "error "+body[:1])
		}
	}
	for _, answers := range got {
		slices.Sort(answers)
	}
	return got
}

// portListing stands for the answer to a request for pages, whatever is in them: that they
// are right is tested where their order can be foretold, in internal/otpport.
const portListing = "listing"

// portAnswers is the reference: what a plain map answers to the frames of input, sorted as
// portRead does, and whether input ends between two of them.
func portAnswers(input []byte) (want map[uint64][]string, whole bool) {
	want = map[uint64][]string{}
	m := portMap{}
	for len(input) > 0 {
		frame, rest, ok := cutSized(input)
		if !ok {
			if len(input) >= 4 && binary.BigEndian.Uint32(input) > otpport.MinFrame {
				want[0] = append(want[0], "error \x04")
			}
			want[0] = append(want[0], "error \x06")
			break
		}
		input = rest
		switch {
		case len(frame) > otpport.MinFrame:
			want[0] = append(want[0], "error \x04")
		case len(frame) < 10:
			want[0] = append(want[0], "error \x03")
		default:
			id := binary.BigEndian.Uint64(frame[2:])
			want[id] = append(want[id], m.answer(frame[0], frame[1], frame[10:]))
		}
	}
	for _, answers := range want {
		slices.Sort(answers)
	}
	return want, len(input) == 0
}

// A portMap maps the encoding of a key to its session.
type portMap map[string]string

func (m portMap) answer(version, op byte, body []byte) string {
	if version != 1 {
		return "error \x01"
	}
	switch op {
	case portLookup, portUpdate, portDelete:
		return m.onKey(op, body)
	case portSelect:
		return portListing
	case portKeys, portSize:
		if len(body) > 0 {
			return "error \x03"
		}
		if op == portKeys {
			return portListing
		}
		return "ok " + string(binary.BigEndian.AppendUint64(nil, uint64(len(m))))
	case portFetch:
		for len(body) > 0 {
			_, rest, ok := cutSized(body)
			_, rest, ok2 := cutSized(rest)
			if !ok || !ok2 {
				return "error \x03"
			}
			body = rest
		}
		return portListing
	}
	return "error \x02"
}

func (m portMap) onKey(op byte, body []byte) string {
	partial, rest, ok := cutSized(body)
	id, rest, ok2 := cutSized(rest)
	if !ok || !ok2 || op != portUpdate && len(rest) > 0 {
		return "error \x03"
	}
	key := string(body[:len(body)-len(rest)])
	session, found := m[key]
	switch {
	case op == portUpdate && (len(partial) > 64<<10 || len(id) > 64<<10 || !found && len(m) == portSessions):
		return "error \x05"
	case op == portUpdate:
		m[key] = string(rest)
		return "ok "
	case !found:
		return "absent"
	case op == portDelete:
		delete(m, key)
		return "ok "
	}
	return "ok " + session
}

func cutSized(b []byte) (sized, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

func portSized(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func portKey(partial, id string) string { return portSized(partial) + portSized(id) }

// portFrame is a request to an op, with a small id.
func portFrame(op, id byte, body string) string {
	return portSized("\x01" + string(op) + "\x00\x00\x00\x00\x00\x00\x00" + string(id) + body)
}

// portSeeds are conversations with every op and every kind of malformed frame.
func portSeeds() [][]byte {
	store := portFrame(portUpdate, 1, portKey("h", "a")+"first") + portFrame(portUpdate, 2, portKey("h", "b")+"second")
	var fill string
	for i := range byte(portSessions + 2) {
		fill += portFrame(portUpdate, i, portKey("h", string(i))+"s")
	}
	seeds := []string{
		"",
		store + portFrame(portLookup, 3, portKey("h", "a")) + portFrame(portUpdate, 4, portKey("h", "a")) + portFrame(portLookup, 5, portKey("h", "a")),
		store + portFrame(portDelete, 3, portKey("h", "a")) + portFrame(portDelete, 4, portKey("h", "a")) + portFrame(portSize, 5, ""),
		store + portFrame(portSelect, 3, "h") + portFrame(portKeys, 4, "") + portFrame(portFetch, 5, portKey("h", "a")+portKey("h", "z")),
		store + portFrame(portKeys, 7, "") + portFrame(portSelect, 7, "h") + portFrame(portSize, 7, ""),
		fill + portFrame(portSize, 99, "") + portFrame(portUpdate, 0, portKey("h", "\x00")+"again"),
		store + portFrame(0, 3, "") + portFrame(9, 4, "") + portFrame(portSize, 5, "x") + portFrame(portFetch, 6, "x") + portFrame(portLookup, 7, "x"),
		store + portSized("") + portSized("short") + strings.Replace(portFrame(portSize, 3, ""), "\x01", "\x02", 1) + portFrame(portSize, 4, ""),
		portFrame(portSize, 3, "") + "\x00\x00",
		portFrame(portSize, 3, "") + "\x00\x04\x00\x01" + strings.Repeat("z", otpport.MinFrame+1) + portFrame(portSize, 4, ""),
		"\xff\xff\xff\xff" + portFrame(portSize, 3, ""),
		portFrame(portUpdate, 3, portKey(strings.Repeat("p", 64<<10), "")) + portFrame(portUpdate, 4, portKey(strings.Repeat("p", 64<<10+1), "")),
	}
	var inputs [][]byte
	for _, seed := range seeds {
		inputs = append(inputs, []byte(seed))
	}
	return inputs
}
