package tlscache

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// exported returns the file that a Client writes.
func exported(t testing.TB, c *Client, cfg ExportConfig) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := c.Export(&file, cfg); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func imports(t testing.TB, c *Client, file []byte, cfg ImportConfig) {
	t.Helper()
	if err := c.Import(bytes.NewReader(file), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestTicketsSurviveARestart(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, singleUse := range []bool{false, true} {
			p := startPeer(t, func(cfg *tls.Config) { cfg.MaxVersion = version })
			keyring := ring(t, secret(1))
			client := func() *Client {
				return newTestClient(t, ClientConfig{SingleUse: singleUse, TLS: p.config(), DialContext: dialTo(func() string { return p.addr })})
			}
			before := client()
			p.mustVisit(t, p.installed(t, before), false)
			other := p.config()
			other.ServerName = "b.test"
			if err := before.Install(other); err != nil {
				t.Fatal(err)
			}
			p.mustVisit(t, other, false)
			wantDial(t, before, !singleUse)
			file := exported(t, before, ExportConfig{Keyring: keyring})

			after := client()
			imports(t, after, file, ImportConfig{Keyring: ring(t, secret(2), secret(1))})
			imports(t, after, file, ImportConfig{Keyring: keyring}) // changes nothing
			p.mustVisit(t, p.installed(t, after), true)
			wantDial(t, after, true)
			if err := after.Install(other); err != nil { // in the other Client's place
				t.Fatal(err)
			}
			p.mustVisit(t, other, true)
			if st := after.Stats(); st.Imported != before.Stats().Exported || st.Imported < 2 {
				t.Errorf("%d imported, %d exported; want as many, and 2 or more", st.Imported, before.Stats().Exported)
			}
		}
	}
}

func TestSingleUseTicketsAreMoved(t *testing.T) {
	for _, singleUse := range []bool{false, true} {
		c := newTestClient(t, ClientConfig{SingleUse: singleUse})
		v := c.View("test")
		puts(t, v, "1", "2", "3")
		file := exported(t, c, ExportConfig{Keyring: ring(t, secret(1)), ClientCertificates: true})
		if held := c.Stats().Held; (held == 0) != singleUse {
			t.Errorf("SingleUse %v: %d tickets held after Export", singleUse, held)
		}
		after := newTestClient(t, ClientConfig{SingleUse: singleUse})
		imports(t, after, file, ImportConfig{Keyring: ring(t, secret(1))})
		if singleUse {
			wantGets(t, after.View("test"), "3", "2", "1", "")
		} else {
			wantGets(t, after.View("test"), "3", "2", "1", "1")
		}
	}
}

// failing takes so many bytes.
type failing struct{ takes int }

func (w failing) Write(p []byte) (int, error) { return min(len(p), w.takes), io.ErrClosedPipe }

func TestAFailedExportLosesNothingAndLeavesNothingUsable(t *testing.T) {
	c := newTestClient(t, ClientConfig{SingleUse: true})
	v := c.View("test")
	puts(t, v, "1", "2", "3")
	cfg := ExportConfig{Keyring: ring(t, secret(1)), ClientCertificates: true}
	for _, takes := range []int{0, 100} {
		if err := c.Export(failing{takes}, cfg); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Export = %v; want the writer's error", err)
		}
		if held := c.Stats().Held; held != 3 {
			t.Errorf("%d tickets held after a failed Export; want 3", held)
		}
	}
	wantGets(t, v, "3", "2", "1")
	puts(t, v, "4")
	if err := c.Export(failing{1 << 20}, cfg); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Export = %v; want the writer's error", err)
	}
	wantGets(t, v, "") // all of the file was written, so it may be imported
}

func TestClientCertificatesAreLeftOutUnlessAsked(t *testing.T) {
	p := startPeer(t, func(cfg *tls.Config) { cfg.ClientAuth = tls.RequestClientCert })
	users := newAuthority(t, "users' CA")
	alice := users.issue(t, "alice")
	c := newTestClient(t, ClientConfig{Scope: "test"})
	plain, shows, chooses, view := p.config(), p.config(), p.config(), p.config()
	shows.Certificates = []tls.Certificate{alice}
	chooses.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &alice, nil }
	view.ClientSessionCache = c.View("test")
	for _, cfg := range []*tls.Config{plain, shows, chooses} {
		if err := c.Install(cfg); err != nil {
			t.Fatal(err)
		}
	}
	for _, cfg := range []*tls.Config{plain, shows, chooses, view} {
		p.mustVisit(t, cfg, false)
	}
	keyring := ring(t, secret(1))
	for _, tt := range []struct {
		asked             bool
		exported, leftOut uint64
	}{{false, 1, 3}, {true, 4, 0}} {
		before := c.Stats()
		file := exported(t, c, ExportConfig{Keyring: keyring, ClientCertificates: tt.asked})
		st := c.Stats()
		if got, left := st.Exported-before.Exported, st.LeftOut-before.LeftOut; got != tt.exported || left != tt.leftOut {
			t.Errorf("asked %v: %d exported, %d left out; want %d and %d", tt.asked, got, left, tt.exported, tt.leftOut)
		}
		after := newTestClient(t, ClientConfig{})
		imports(t, after, file, ImportConfig{Keyring: keyring})
		if got := after.Stats().Imported; got != tt.exported {
			t.Errorf("asked %v: %d imported; want %d", tt.asked, got, tt.exported)
		}
	}
}

func TestExportOfAnUnstableScopeIsAnError(t *testing.T) {
	p := startPeer(t, nil)
	c := newTestClient(t, ClientConfig{})
	cfg := p.config()
	cfg.VerifyPeerCertificate = pinning(true)
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	p.mustVisit(t, cfg, false)
	var file bytes.Buffer
	if err := c.Export(&file, ExportConfig{Keyring: ring(t, secret(1))}); err == nil || file.Len() > 0 {
		t.Errorf("Export = %v, %d bytes written; want an error and nothing", err, file.Len())
	}
}

func TestTicketsWithTooLittleLifeAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keyring := ring(t, secret(1))
		c := newTestClient(t, ClientConfig{})
		v := c.View("test")
		v.Put("a", fakeTicket{label: "short", life: time.Hour}.state(t))
		v.Put("b", fakeTicket{label: "long", life: 3 * time.Hour}.state(t))
		all := exported(t, c, ExportConfig{Keyring: keyring, ClientCertificates: true})
		long := exported(t, c, ExportConfig{Keyring: keyring, ClientCertificates: true, MinLife: 2 * time.Hour})
		if got := c.Stats().Exported; got != 2+1 {
			t.Errorf("%d exported; want 2, then 1", got)
		}
		time.Sleep(90 * time.Minute) // between two processes
		for _, tt := range []struct {
			name           string
			file           []byte
			minLife        time.Duration
			imported, late uint64
		}{
			{"over by now", all, 0, 1, 1},
			{"too little for the importer", long, 2 * time.Hour, 0, 1},
			{"enough", long, time.Hour, 1, 0},
		} {
			after := newTestClient(t, ClientConfig{})
			imports(t, after, tt.file, ImportConfig{Keyring: keyring, MinLife: tt.minLife})
			if st := after.Stats(); st.Imported != tt.imported || st.Late != tt.late {
				t.Errorf("%s: %d imported, %d late; want %d and %d", tt.name, st.Imported, st.Late, tt.imported, tt.late)
			}
			if tt.imported == 1 {
				time.Sleep(90*time.Minute - 1)
				if got := labelOf(t, after.View("test"), "b"); got != "long" {
					t.Errorf("%s: Get before the deadline = %q; want the ticket", tt.name, got)
				}
				time.Sleep(time.Nanosecond)
				if got := labelOf(t, after.View("test"), "b"); got != "" {
					t.Errorf("%s: Get at the deadline = %q; want none", tt.name, got)
				}
				return
			}
		}
	})
}

// exportFile seals a plaintext as Export would.
func exportFile(t testing.TB, keyring *Keyring, plain []byte) []byte {
	t.Helper()
	header := append([]byte(exportMagic), make([]byte, exportSaltSize)...)
	sealed, err := keyring.active().Seal(sealExport, header[len(exportMagic):], header, plain)
	if err != nil {
		t.Fatal(err)
	}
	return append(header, sealed...)
}

func TestTicketsOfAnotherGoAreSkippedAndCounted(t *testing.T) {
	keyring := ring(t, secret(1))
	plain := binary.BigEndian.AppendUint32(sealing.AppendField(nil, []byte("go1.99")), 7)
	plain = append(plain, "whatever that Go writes"...)
	c := newTestClient(t, ClientConfig{})
	imports(t, c, exportFile(t, keyring, plain), ImportConfig{Keyring: keyring})
	if st := c.Stats(); st.Foreign != 7 || st.Imported != 0 {
		t.Errorf("Stats = %+v; want 7 foreign tickets", st)
	}
}

// wellFormed returns a file with three tickets, and the plaintext in it.
func wellFormed(t testing.TB, keyring *Keyring) (file, plain []byte) {
	t.Helper()
	c := newTestClient(t, ClientConfig{})
	puts(t, c.View("test"), "1", "2", "3")
	file = exported(t, c, ExportConfig{Keyring: keyring, ClientCertificates: true})
	header := file[:exportHeader]
	plain, err := keyring.keys().Open(sealExport, header[len(exportMagic):], header, file[exportHeader:])
	if err != nil {
		t.Fatal(err)
	}
	return file, plain
}

func TestNothingIsImportedFromADamagedFile(t *testing.T) {
	keyring := ring(t, secret(1))
	file, plain := wellFormed(t, keyring)
	c := newTestClient(t, ClientConfig{})
	refused := func(what string, file []byte, cfg ImportConfig, want error) {
		t.Helper()
		err := c.Import(bytes.NewReader(file), cfg)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: Import = %v; want %v", what, err, want)
		}
		if held := c.Stats().Held; held != 0 {
			t.Fatalf("%s: %d tickets were imported", what, held)
		}
	}
	cfg := ImportConfig{Keyring: keyring}
	for n := range file {
		refused("cut short", file[:n], cfg, nil)
	}
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 0x20
		refused("one bit changed", bad, cfg, nil)
	}
	refused("with a tail", append(bytes.Clone(file), 0), cfg, ErrImportKey)
	refused("of another kind", []byte("-----BEGIN SESSION-----, not by Export"), cfg, ErrImportFormat)
	refused("under another key", file, ImportConfig{Keyring: ring(t, secret(2))}, ErrImportKey)
	refused("without a key", file, ImportConfig{}, nil)
	refused("with a negative MinLife", file, ImportConfig{Keyring: keyring, MinLife: -1}, nil)
	for n := range plain {
		refused("sealed and cut short inside", exportFile(t, keyring, plain[:n]), cfg, ErrImportFormat)
	}
	refused("sealed with a tail inside", exportFile(t, keyring, append(bytes.Clone(plain), 0)), cfg, ErrImportFormat)
	imports(t, c, file, cfg)
	wantGets(t, c.View("test"), "3", "2", "1")
}

func TestExportedFilesShowNothing(t *testing.T) {
	file, plain := wellFormed(t, ring(t, secret(1)))
	for _, secret := range []string{"secret of 1", "go1."} {
		if bytes.Contains(file, []byte(secret)) || !bytes.Contains(plain, []byte(secret)) {
			t.Errorf("%q: in the file %v, in the plaintext %v; want it in the plaintext alone", secret,
				bytes.Contains(file, []byte(secret)), bytes.Contains(plain, []byte(secret)))
		}
	}
}

// FuzzImport seals what the fuzzer invents, so that Import looks inside: all is imported, or
// an error is returned and nothing is.
func FuzzImport(f *testing.F) {
	keyring := ring(f, secret(1))
	_, plain := wellFormed(f, keyring)
	f.Add(plain)
	f.Add(plain[:len(plain)/2])
	f.Add(sealing.AppendField(nil, []byte(tickets.GoRelease())))
	f.Fuzz(func(t *testing.T, plain []byte) {
		c := newTestClient(t, ClientConfig{})
		err := c.Import(bytes.NewReader(exportFile(t, keyring, plain)), ImportConfig{Keyring: keyring})
		st := c.Stats()
		if err != nil && (st.Held != 0 || st.Imported+st.Late+st.Foreign != 0) {
			t.Errorf("Import = %v, and Stats = %+v; want nothing imported", err, st)
		}
		if err != nil && !errors.Is(err, ErrImportFormat) {
			t.Errorf("Import = %v; want ErrImportFormat", err)
		}
		c.View("test").Get("a") // what was imported can be handed out
	})
}

// FuzzImportFile imports what the fuzzer makes of a good file: nothing of it, unless it is the file.
func FuzzImportFile(f *testing.F) {
	keyring := ring(f, NewSecret(1)) // no other process of the fuzzer has it
	file, _ := wellFormed(f, keyring)
	f.Add(file)
	f.Add(file[:exportHeader])
	f.Add([]byte(exportMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newTestClient(t, ClientConfig{})
		err := c.Import(bytes.NewReader(data), ImportConfig{Keyring: keyring})
		if intact := bytes.Equal(data, file); (err == nil) != intact || (c.Stats().Held > 0) != intact {
			t.Errorf("Import = %v, %d tickets held; the file is intact: %v", err, c.Stats().Held, intact)
		}
	})
}
