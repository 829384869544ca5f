package otpport

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

func testConfig() Config {
	return Config{MaxSessions: 1000, MaxBytes: 64 << 20, TTL: time.Hour, MaxFrame: 1 << 20, Stall: time.Second}
}

// frame returns a request as it travels.
func frame(op op, id uint64, body ...[]byte) []byte {
	f := append([]byte{version, byte(op)}, binary.BigEndian.AppendUint64(nil, id)...)
	return sized(string(append(f, bytes.Join(body, nil)...)))
}

func sized(s string) []byte { return appendSized(nil, s) }

func key(partial, id string) []byte {
	return appendKey(nil, fastcache.Key{Partial: partial, ID: id})
}

// An answer as it arrives.
type answer struct {
	status status
	id     uint64
	body   string
}

func readAnswer(t *testing.T, in io.Reader) (answer, bool) {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err == io.EOF {
		return answer{}, false
	} else if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(in, b); err != nil {
		t.Fatal(err)
	}
	if len(b) < headerBytes || b[0] != version {
		t.Fatalf("answer begins with %x; want version %d and a whole header", b[:min(len(b), headerBytes)], version)
	}
	return answer{status(b[1]), binary.BigEndian.Uint64(b[2:]), string(b[headerBytes:])}, true
}

// serve returns what a server answers to the frames, and what Serve returns.
func serve(t *testing.T, cfg Config, frames ...[]byte) ([]answer, error) {
	t.Helper()
	var out bytes.Buffer
	s, err := New(cfg, &out)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Serve(bytes.NewReader(bytes.Join(frames, nil)))
	var got []answer
	for a, ok := readAnswer(t, &out); ok; a, ok = readAnswer(t, &out) {
		got = append(got, a)
	}
	return got, err
}
