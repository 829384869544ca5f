package tlscache

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

var update = flag.Bool("update", false, "write the golden files that are missing: those of a new version of a format")

// A golden is what an earlier version of this package sealed. Every later version must open it, or count
// it as another version; never take it for something else.
type golden struct {
	file string
	make func(t *testing.T, k *sealing.Keys) []byte // nil: nothing is sealed so any more
	open func(t *testing.T, k *Keyring, sealed []byte)
}

func goldenState(t testing.TB, file string) *tls.SessionState {
	t.Helper()
	ss, err := tls.ParseSessionState(readGolden(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return ss
}

func readGolden(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "golden", file))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// writeGolden writes a file that is missing: what a former version sealed cannot be made again.
func writeGolden(t testing.TB, file string, b []byte) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("testdata", "golden", file)); err == nil {
		return
	}
	var text strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		text.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	if err := os.WriteFile(filepath.Join("testdata", "golden", file), []byte(text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}

var (
	goldenID     = [sealing.NameSize]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	goldenHandle = sealing.Handle{Flags: sealing.FlagTLS13 | sealing.FlagSingle, Expires: 0x6a000000, Scope: sealing.Tag{1, 1}, Server: sealing.Tag{2, 2}, ID: goldenID}
	goldenStood  = sealing.WitnessRef{Secret: 7, ID: sealing.WitnessID{3, 3, 3}}
	goldenScope  = sha256.Sum256([]byte("scope"))
)

func goldenRecord(t testing.TB, state string, flags byte) *sealing.Record {
	r := &sealing.Record{Witness: goldenStood, Flags: flags, Auth: clock.Stamp{Wall: 1_700_000_000_000_000_001}, Expires: clock.Stamp{Wall: 1_800_000_000_000_000_002},
		Principal: identify("somebody"), State: goldenState(t, state), Scope: goldenScope, Server: host}
	if flags&sealing.FlagTLS13 == 0 {
		r.Lineage = sha256.Sum256(sealing.Lineage(r.State))
	}
	return r
}

func sameRecord(t *testing.T, got, want *sealing.Record) {
	t.Helper()
	a, err1 := got.State.Bytes()
	b, err2 := want.State.Bytes()
	if err1 != nil || err2 != nil || string(a) != string(b) {
		t.Errorf("the session differs: %v, %v", err1, err2)
	}
	if got.Flags != want.Flags || got.Auth != want.Auth || got.Expires != want.Expires || got.Principal != want.Principal || got.Witness != want.Witness || got.Lineage != want.Lineage {
		t.Errorf("record %+v; want %+v", got, want)
	}
}

// former is a golden of a format that is sealed no more, and opened all the same. Records of version 1 named no witness.
func former(g golden) golden {
	g.make = nil
	return g
}

func recordGolden(file, state string, flags byte, witness sealing.WitnessRef) golden {
	return golden{
		file: file,
		make: func(t *testing.T, k *sealing.Keys) []byte {
			b, err := goldenRecord(t, state, flags).Seal(k, goldenID)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		open: func(t *testing.T, k *Keyring, sealed []byte) {
			r, err := k.keys().OpenRecord(sealed, goldenID, goldenScope, host)
			if err != nil {
				t.Fatal(err)
			}
			want := goldenRecord(t, state, flags)
			want.Witness = witness
			sameRecord(t, r, want)
		},
	}
}

func handleGolden(file string, h sealing.Handle) golden {
	return golden{
		file: file,
		make: func(_ *testing.T, k *sealing.Keys) []byte { return h.Seal(k) },
		open: func(t *testing.T, k *Keyring, sealed []byte) {
			got, keys, err := k.keys().OpenHandle(sealed)
			if err != nil || got != h || keys.ID != 7 {
				t.Errorf("openHandle = %+v, %v; want %+v", got, err, h)
			}
		},
	}
}

func goldens() []golden {
	withGroup := goldenHandle
	withGroup.Flags |= sealing.FlagGroup
	withGroup.Group = sealing.Name{9, 9, 9}
	return []golden{
		handleGolden("handle-v1.hex", goldenHandle),
		handleGolden("handle-v1-principal.hex", withGroup),
		former(recordGolden("record-v1-tls12.hex", "state-tls12.hex", 0, sealing.WitnessRef{})),
		former(recordGolden("record-v1-tls13.hex", "state-tls13.hex", sealing.FlagTLS13|sealing.FlagBounded, sealing.WitnessRef{})),
		recordGolden("record-v2-tls12.hex", "state-tls12.hex", 0, goldenStood),
		recordGolden("record-v2-tls13.hex", "state-tls13.hex", sealing.FlagTLS13|sealing.FlagBounded, goldenStood),
		former(fallbackGolden("fallback-v1-tls13.hex", sealing.WitnessRef{})),
		fallbackGolden("fallback-v2-tls13.hex", goldenStood),
	}
}

func fallbackGolden(file string, witness sealing.WitnessRef) golden {
	return golden{
		file: file,
		make: func(t *testing.T, k *sealing.Keys) []byte {
			b, err := sealTicketRecord(goldenRecord(t, "state-tls13.hex", sealing.FlagTLS13), k, sealing.Tag{1}, sealing.Tag{2}, goldenID)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		open: func(t *testing.T, k *Keyring, ticket []byte) {
			if ticket[0] != sealing.FormatRecord || sealing.Tag(ticket[1:]) != (sealing.Tag{1}) || sealing.Tag(ticket[1+sealing.TagSize:]) != (sealing.Tag{2}) {
				t.Errorf("the header is %x", ticket[:ticketHeader])
			}
			r, err := k.keys().OpenRecord(ticket[ticketHeader:], [sealing.NameSize]byte(ticket[1+2*sealing.TagSize:]), goldenScope, host)
			if err != nil {
				t.Fatal(err)
			}
			want := goldenRecord(t, "state-tls13.hex", sealing.FlagTLS13)
			want.Witness = witness
			sameRecord(t, r, want)
		},
	}
}

// goldenSecret is published with the golden files: they seal nothing of anybody's.
func goldenSecret() Secret { return secret(7) }

func TestGoldenFilesOpen(t *testing.T) {
	if *update {
		for version, file := range map[uint16]string{tls.VersionTLS12: "state-tls12.hex", tls.VersionTLS13: "state-tls13.hex"} {
			w := newWorld(t, ServerConfig{})
			b, err := capture(t, w, w.client(version)).ss.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			writeGolden(t, file, b)
		}
	}
	k := ring(t, secret(1), goldenSecret())
	for _, g := range goldens() {
		t.Run(g.file, func(t *testing.T) {
			if g.make == nil {
				g.open(t, k, readGolden(t, g.file))
				return
			}
			if *update {
				writeGolden(t, g.file, g.make(t, k.find(7)))
			}
			g.open(t, k, readGolden(t, g.file))
			g.open(t, k, g.make(t, k.find(7)))
			if len(g.make(t, k.find(7))) != len(readGolden(t, g.file)) {
				t.Error("what is sealed today has another length")
			}
		})
	}
}

// Names and tags are found again by later versions only if they are derived the same way.
func TestGoldenNames(t *testing.T) {
	k := ring(t, goldenSecret()).active()
	principal := identify("somebody")
	sc := serverScope("tenant", &tls.Config{ClientAuth: tls.RequireAnyClientCert}, false)
	got := map[string][]byte{}
	for what, n := range map[string]sealing.Name{
		"principal": k.Name(sealing.OfPrincipal, principal[:]), "server name": k.Name(sealing.OfServerName, []byte(host)),
		"everything": k.Everything, "handle": k.Name("handle", goldenID[:]), "lineage": k.Name("lineage", goldenID[:]),
		"scope tag": k.Name("scope", goldenScope[:]),
	} {
		got[what] = n[:]
	}
	got["scope"] = sc.sum[:]
	got["export key"] = k.Export
	for what, want := range goldenNames {
		if hex.EncodeToString(got[what]) != want {
			t.Errorf("%q: %q,", what, hex.EncodeToString(got[what]))
		}
	}
}

var goldenNames = map[string]string{
	"principal":   "1b4eead25722a7ede7c99db4eaddc648",
	"server name": "3c0ed6d82d9cc308c636e708825d0086",
	"everything":  "7a8ab0067aa62121db356aae32e84a4c",
	"handle":      "d61f01c6ca5ef72e6796165b52a216c3",
	"lineage":     "a1a706dcc82c0e8acc8c0fc0ee394211",
	"scope tag":   "225bc0328614e81630219d6a182e2662",
	"scope":       "9a29a16c3f436fb9812ccaf7eb832cc73764b4d0afa67e98b24343a858c9125a",
	"export key":  "772dd7eeb28530a4b0e040d9a28856ab4c98c4992fdf2b49191832618f4e9037",
}

// Whatever the first bytes become in a later version, this one counts it as a miss.
func TestEveryOtherVersionIsAMiss(t *testing.T) {
	k := ring(t, goldenSecret())
	w := newWorld(t, ServerConfig{Keyring: k})
	m := capture(t, w, w.client(tls.VersionTLS13))
	for v := range 256 {
		h := goldenHandle.Seal(k.active())
		if h[0] = byte(v); v != sealing.FormatHandle {
			if _, _, err := k.keys().OpenHandle(h); err == nil {
				t.Errorf("a handle of version %d opens", v)
			}
			if w.unwrapped(h, m) != nil {
				t.Errorf("a ticket of format %d is resumed", v)
			}
		}
		sealed := readGolden(t, "record-v1-tls13.hex")
		if sealed[0] = byte(v); v != sealing.Version {
			if _, err := k.keys().OpenRecord(sealed, goldenID, goldenScope, host); err != sealing.ErrVersion {
				t.Errorf("a record of version %d: %v; want %v", v, err, sealing.ErrVersion)
			}
		}
		inner := append([]byte{byte(v)}, make([]byte, sealing.RecordHeader+100)...)
		if v != sealing.RecordVersion && v != 1 {
			if err := new(sealing.Record).Decode(inner); err != sealing.ErrVersion {
				t.Errorf("a record of inner version %d: %v; want %v", v, err, sealing.ErrVersion)
			}
		}
	}
}
