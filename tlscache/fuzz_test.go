package tlscache

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// seal puts a body into a handle that opens, so that fuzzing gets past the MAC.
func sealBody(k *sealing.Keys, body []byte) []byte {
	header := binary.BigEndian.AppendUint32([]byte{sealing.FormatHandle}, k.ID)
	return k.Handle.Seal(header, nil, body, header)
}

// FuzzTickets: whatever a client sends as its ticket, as it is and inside a handle that opens, the
// handshake goes on, and nothing resumes but what was issued.
func FuzzTickets(f *testing.F) {
	for _, g := range goldens() {
		f.Add(readGolden(f, g.file), uint16(tls.VersionTLS13), host)
	}
	f.Add([]byte{}, uint16(tls.VersionTLS12), "")
	f.Add(bytes.Repeat([]byte{sealing.FormatRecord}, 300), uint16(tls.VersionTLS12), "HOST.")
	w := newWorld(f, ServerConfig{Keyring: ring(f, goldenSecret())})
	k, conn := w.keyring.active(), w.open(host)
	f.Fuzz(func(t *testing.T, ticket []byte, version uint16, serverName string) {
		cs := tls.ConnectionState{Version: version, ServerName: serverName}
		for _, identity := range [][]byte{ticket, sealBody(k, ticket)} {
			before := w.Stats()
			state, err := conn.UnwrapSession(bytes.Clone(identity), cs)
			if state != nil || err != nil {
				t.Fatalf("UnwrapSession(%x) = %v, %v; want a miss", identity, state, err)
			}
			if after := w.Stats(); after.Panics != before.Panics || len(identity) > 0 && missed(after) != missed(before)+1 {
				t.Errorf("UnwrapSession(%x): %d panics, %d misses more; want 0, 1", identity,
					after.Panics-before.Panics, missed(after)-missed(before))
			}
		}
	})
}

func missed(st ServerStats) (n uint64) {
	for _, m := range st.Misses {
		n += m
	}
	return n
}

// FuzzHandles: what opens is what was sealed, field by field.
func FuzzHandles(f *testing.F) {
	f.Add(byte(sealing.FlagTLS13), uint32(1), []byte("a scope, a name, an id and a group, so long"))
	f.Add(byte(sealing.FlagTLS13|sealing.FlagGroup|sealing.FlagSingle), uint32(1<<31), []byte{})
	k := ring(f, goldenSecret())
	f.Fuzz(func(t *testing.T, flags byte, expires uint32, rest []byte) {
		h := sealing.Handle{Flags: flags, Expires: expires}
		for _, field := range [][]byte{h.Scope[:], h.Server[:], h.ID[:], h.Group[:]} {
			rest = rest[copy(field, rest):]
		}
		if flags&sealing.FlagGroup == 0 {
			h.Group = sealing.Name{}
		}
		if got, _, err := k.keys().OpenHandle(h.Seal(k.active())); got != h || err != nil {
			t.Errorf("openHandle = %+v, %v; want %+v", got, err, h)
		}
	})
}

// FuzzRecords: what a Store returns is decoded or refused, also where its seal is good because another
// version of this package made it.
func FuzzRecords(f *testing.F) {
	k := ring(f, goldenSecret())
	for _, g := range []string{"state-tls12.hex", "state-tls13.hex"} {
		inner := append([]byte{sealing.RecordVersion, sealing.FlagTLS13}, make([]byte, sealing.RecordHeader-2)...)
		f.Add(append(inner, readGolden(f, g)...))
	}
	f.Add([]byte{sealing.RecordVersion})
	f.Fuzz(func(t *testing.T, inner []byte) {
		r := &sealing.Record{Scope: goldenScope, Server: host}
		sealed, err := k.active().Seal(sealing.KindRecord, goldenID[:], r.Bound(), inner)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := k.keys().OpenRecord(sealed, goldenID, goldenScope, host)
		if err != nil {
			return
		}
		again, err := opened.Seal(k.active(), goldenID)
		if err != nil {
			t.Fatalf("cannot seal what was opened: %v", err)
		}
		twice, err := k.keys().OpenRecord(again, goldenID, goldenScope, host)
		if err != nil {
			t.Fatalf("cannot open it again: %v", err)
		}
		sameRecord(t, twice, opened)
		if _, err := k.keys().OpenRecord(inner, goldenID, goldenScope, host); err == nil {
			t.Error("a record opens that nobody sealed")
		}
	})
}

// FuzzServerNames: names are normal once, and spellings of one name are one.
func FuzzServerNames(f *testing.F) {
	for _, s := range []string{
		"Example.COM.", "2001:DB8::A", "\u212a", "", "...", "a..b.", "[::1]:443", "[FE80::1%Eth0]", "::ffff:192.0.2.1",
		"a:443.", "[a:1]", "[a.]:b", "b\u00fccher.example", "A:\u00fc", "192.0.2.1.", ":443", "[]", "a%b", "xn--\u00fc",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := hostname.Normal(s)
		if again, rest := hostname.Split(n); again != n || rest != "" {
			t.Errorf("hostname.Normal(%q) = %q, of which it makes %q and %q", s, n, again, rest)
		}
		if hostname.IsASCII(s) && hostname.Normal(strings.ToLower(s)) != n {
			t.Errorf("hostname.Normal(%q) = %q, of its lower case %q", s, n, hostname.Normal(strings.ToLower(s)))
		}
		for _, spelling := range []string{s + ".", n + ":443", "[" + n + "]:443"} {
			if n == "" || strings.ContainsAny(n, "[]:") {
				break // not a host that a port can follow as it is
			}
			if got := hostname.Normal(spelling); got != n && got != strings.TrimSuffix(n, ".") {
				t.Errorf("hostname.Normal(%q) = %q; want %q as of %q", spelling, got, n, s)
			}
		}
		if ip, err := netip.ParseAddr(s); err == nil {
			sameAddress(t, ip, n)
		}
	})
}

// sameAddress holds that all spellings of an address have one normal form.
func sameAddress(t *testing.T, ip netip.Addr, n string) {
	plain := ip.WithZone("")
	for _, spelling := range []string{
		plain.StringExpanded(), strings.ToUpper(plain.StringExpanded()), plain.Unmap().String(),
		netip.AddrFrom16(plain.As16()).String(), "[" + ip.String() + "]", netip.AddrPortFrom(ip, 1).String(),
		net.IP(plain.AsSlice()).String(), plain.String() + ".",
	} {
		if got := hostname.Normal(spelling); got != n {
			t.Errorf("hostname.Normal(%q) = %q; want %q as of %v", spelling, got, n, ip)
		}
	}
}
