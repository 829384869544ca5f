package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

const probeName = "host." + domain

// startProbed runs a TLS server that waits after the handshake, as for a request.
func startProbed(t *testing.T, change func(*tls.Config)) (addr string, id *identity) {
	t.Helper()
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{id.leaf}}
	cfg.WrapSession, cfg.UnwrapSession = cfg.EncryptTicket, cfg.DecryptTicket
	if change != nil {
		change(cfg)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer raw.Close()
				_ = raw.SetDeadline(time.Now().Add(time.Minute))
				_, _ = tls.Server(raw, cfg).Read(make([]byte, 1))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return l.Addr().String(), id
}

// probed runs the probe on a server and returns its JSON, its table and its exit code.
func probed(t *testing.T, change func(*tls.Config)) (rep probeReport, table string, code int) {
	t.Helper()
	addr, id := startProbed(t, change)
	p := &prober{ctx: t.Context(), roots: id.roots}
	var err error
	if p.cfg, err = (probeConfig{dials: 2, addr: addr}).complete(probeName); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = probe(p, &out, &errs)
	table = out.String()
	out.Reset()
	p.cfg.json = true
	if again := probe(p, &out, &errs); again != code || errs.Len() > 0 {
		t.Fatalf("exit status %d, then %d with -json, error output %q", code, again, &errs)
	}
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatalf("-json printed %q: %v", &out, err)
	}
	return rep, table, code
}

func TestProbeTellsWhetherAndHowAServerResumes(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name     string
		change   func(*tls.Config)
		code     int
		versions []string // that the server speaks
		resumed  [2]int   // per version
		reusable *bool
		lifetime int // seconds, of the first version
		says     string
	}{
		{
			name: "stock", code: exitOK, versions: []string{"TLS 1.3", "TLS 1.2"}, resumed: [2]int{2, 2},
			reusable: &yes, lifetime: 7 * 24 * 3600, says: "TLS 1.3 resumes. That saves",
		},
		{
			name: "TLS 1.2 only", code: exitOK, versions: []string{"TLS 1.2"}, resumed: [2]int{2},
			change:   func(cfg *tls.Config) { cfg.MaxVersion = tls.VersionTLS12 },
			reusable: &yes, says: "does not speak TLS 1.3",
		},
		{
			name: "single use", code: exitOK, versions: []string{"TLS 1.3", "TLS 1.2"}, resumed: [2]int{2, 2},
			change: func(cfg *tls.Config) { installSingleUse(t, cfg) }, reusable: &no, lifetime: 7 * 24 * 3600,
			says: "A ticket works once",
		},
		{
			name: "no tickets", code: exitNoResumption, versions: []string{"TLS 1.3", "TLS 1.2"},
			change: func(cfg *tls.Config) { cfg.SessionTicketsDisabled = true },
			says:   "no ticket came within two seconds",
		},
		{
			name: "declines", code: exitNoResumption, versions: []string{"TLS 1.3", "TLS 1.2"}, lifetime: 7 * 24 * 3600,
			change: func(cfg *tls.Config) {
				cfg.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, nil }
			},
			says: "answers them with full handshakes",
		},
		{
			name: "fails", code: exitNoResumption, versions: []string{"TLS 1.3", "TLS 1.2"}, lifetime: 7 * 24 * 3600,
			change: func(cfg *tls.Config) {
				cfg.UnwrapSession = func(id []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
					if len(id) == 0 { // asked for a TLS 1.2 client without a ticket, too
						return nil, nil
					}
					return nil, net.ErrClosed
				}
			},
			says: "handshakes that offer a ticket fail",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they wait for tickets most of the time
			rep, table, code := probed(t, tt.change)
			if code != tt.code || rep.Resumes != (tt.code == exitOK) {
				t.Errorf("exit status %d, resumes %v; want %d", code, rep.Resumes, tt.code)
			}
			if len(rep.Versions) != len(tt.versions) {
				t.Fatalf("%d versions; want %q", len(rep.Versions), tt.versions)
			}
			for i, v := range rep.Versions {
				if v.Version != tt.versions[i] || v.Resumed != tt.resumed[i] || (v.Why == "") != (v.Resumed > 0) {
					t.Errorf("%s: %d resumed, why not: %q; want %s and %d", v.Version, v.Resumed, v.Why, tt.versions[i], tt.resumed[i])
				}
				if v.Resumed > 0 && (v.Saved.Bytes <= 0 || v.Full.MS <= 0) {
					t.Errorf("%s: full handshake %v, saved %v; want some of each", v.Version, v.Full, v.Saved)
				}
			}
			if first := rep.Versions[0]; first.LifetimeS != tt.lifetime || !equalBool(first.Reusable, tt.reusable) {
				t.Errorf("lifetime %d s, reusable %v; want %d and %v", first.LifetimeS, show(first.Reusable), tt.lifetime, show(tt.reusable))
			}
			if !strings.Contains(flat(table), tt.says) {
				t.Errorf("the table lacks %q:\n%s", tt.says, table)
			}
			for line := range strings.Lines(table) {
				if strings.HasPrefix(line, " ") && strings.TrimSpace(line) == "" || strings.HasSuffix(line, " \n") {
					t.Errorf("the table has blanks at the end of %q", line)
				}
			}
		})
	}
}

// flat puts text that is broken into lines on one.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

func equalBool(a, b *bool) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

func show(b *bool) any {
	if b == nil {
		return nil
	}
	return *b
}

func installSingleUse(t *testing.T, cfg *tls.Config) {
	t.Helper()
	cfg.WrapSession, cfg.UnwrapSession = nil, nil
	store, err := session.NewMemory(session.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := tlscache.NewServer(tlscache.ServerConfig{Store: store, SingleUse: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Install(cfg); err != nil {
		t.Fatal(err)
	}
}

func TestProbeOffersTicketsToTheOtherAddressesOfTheName(t *testing.T) {
	addr, id := startProbed(t, nil)
	other, _ := startProbed(t, func(cfg *tls.Config) { cfg.Certificates = []tls.Certificate{id.leaf} })
	p := &prober{ctx: t.Context(), roots: id.roots, cfg: probeConfig{sni: probeName, dials: 1, target: addr}}
	rep := &probeReport{Address: addr}
	v := p.probeVersion(addr, tls.VersionTLS13)
	p.probeOthers(rep, v, []string{addr, other}, tls.VersionTLS13)
	if rep.Others != 1 || rep.OthersResume != 0 {
		t.Errorf("%d other addresses, %d take the ticket; want 1 and 0", rep.Others, rep.OthersResume)
	}
}

func TestProbeExitsWithOneWhenItCannotReachOrVerify(t *testing.T) {
	addr, _ := startProbed(t, nil)
	for name, tt := range map[string]struct{ target, want string }{
		"nobody there": {"127.0.0.1:1", "refused"},
		"unverified":   {addr, "-insecure goes on all the same"},
	} {
		var out, errs bytes.Buffer
		if code := run([]string{"probe", tt.target}, &out, &errs); code != exitFailed || out.Len() > 0 || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%s: exit status %d, output %q, error output %q; want %d and %q", name, code, &out, &errs, exitFailed, tt.want)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"probe", "-n", "1", addr, "-insecure"}, &out, &errs); code != exitOK || !strings.Contains(flat(out.String()), "not verified") {
		t.Errorf("-insecure: exit status %d, output %q, error output %q; want 0 and a word about it", code, &out, &errs)
	}
}

func TestProbeCommandLineErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "0 servers given; want one"},
		{[]string{"a:1", "b:2"}, "2 servers given; want one"},
		{[]string{"-n", "0", "a:1"}, "-n is 0; want 1 to 100"},
		{[]string{"a:1", "-n", "101"}, "-n is 101; want 1 to 100"},
		{[]string{"-addr", "a", "a:1"}, "-addr: address a: missing port"},
		{[]string{":443"}, "has no host"},
		{[]string{"-x"}, "no flag -x"},
	} {
		var out, errs bytes.Buffer
		if code := run(append([]string{"probe"}, tt.args...), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
			t.Errorf("probe %q: exit status %d, error output %q; want %d and %q", tt.args, code, &errs, exitUsage, tt.want)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"help", "probe"}, &out, &errs); code != exitOK || !strings.Contains(out.String(), "exit status") || errs.Len() > 0 {
		t.Errorf("help probe: exit status %d, output %q", code, &out)
	}
}

// A server may send whatever it likes.
func FuzzProbeStream(f *testing.F) {
	f.Add([]byte{22, 3, 3, 0, 4, 2, 0, 0, 0, 22, 3, 3, 0, 5, 4, 0, 0, 1, 0})
	f.Add([]byte{23, 3, 3, 0, 1, 0, 22, 3, 3, 255, 255})
	f.Fuzz(func(t *testing.T, stream []byte) {
		secret := bytes.Repeat([]byte{7}, 32)
		keys := &keyLog{secrets: map[string][]byte{"SERVER_HANDSHAKE_TRAFFIC_SECRET": secret, "SERVER_TRAFFIC_SECRET_0": secret}}
		parseStream(stream, keys)
		for _, is13 := range []bool{false, true} {
			if ticket, ok := parseTicket(stream, is13); ok && ticket.size > len(stream) {
				t.Errorf("a ticket of %d bytes in a message of %d", ticket.size, len(stream))
			}
		}
	})
}

// With a certificate of its own, probe sees what a server that requires one does.
func TestProbeShowsTheCertificateItIsGiven(t *testing.T) {
	client, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(client.leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(t.TempDir(), "client.pem"), filepath.Join(t.TempDir(), "client.key")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: client.leaf.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	protocols := make(chan string, 100)
	addr, _ := startProbed(t, func(cfg *tls.Config) {
		cfg.ClientAuth, cfg.NextProtos = tls.RequireAnyClientCert, []string{"h2"}
		cfg.VerifyConnection = func(state tls.ConnectionState) error {
			protocols <- state.NegotiatedProtocol
			return nil
		}
	})
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-cert", certFile, "-key", keyFile, "-alpn", "h2,http/1.1"}, exitOK, "asks for a client certificate and accepts that of -cert"},
		{nil, exitUnknown, "-cert gives it one"},
		{[]string{"-key", keyFile}, exitUsage, "-key is given without -cert"},
		{[]string{"-cert", certFile}, exitUsage, "-cert and -key: "},
		{[]string{"-alpn", "h2,"}, exitUsage, "-alpn is \"h2,\": want protocols of 1 to 255 bytes"},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"probe", "-insecure", "-n", "1", "-addr", addr, probeName}, tt.args...)
		if code := run(args, &out, &errs); code != tt.code || !strings.Contains(flat(out.String())+errs.String(), tt.want) {
			t.Errorf("probe %q: exit status %d, output %q, errors %q; want %d and %q", tt.args, code, &out, &errs, tt.code, tt.want)
		}
	}
	if got := <-protocols; got != "h2" {
		t.Errorf("the server negotiated %q; want h2", got)
	}
}
