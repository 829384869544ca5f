package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// outcome runs probe against an address and returns its report as text, what it wrote to
// stderr, and its exit code.
func outcome(t *testing.T, p *prober, addr string) (out, errs string, code int) {
	t.Helper()
	if p.ctx == nil {
		p.ctx = t.Context()
	}
	p.cfg.addr = addr
	p.cfg.dials = max(1, p.cfg.dials)
	var err error
	if p.cfg, err = p.cfg.complete(probeName); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = probe(p, &stdout, &stderr)
	return flat(stdout.String()), flat(stderr.String()), code
}

func TestProbeKnowsAServerThatRequiresAClientCertificate(t *testing.T) {
	optional := map[tls.ClientAuthType]bool{tls.NoClientCert: true, tls.RequestClientCert: true, tls.VerifyClientCertIfGiven: true}
	both := [2]uint16{tls.VersionTLS12, tls.VersionTLS13}
	for auth := tls.NoClientCert; auth <= tls.RequireAndVerifyClientCert; auth++ {
		for _, speaks := range [][2]uint16{both, {tls.VersionTLS12, tls.VersionTLS12}, {tls.VersionTLS13, tls.VersionTLS13}} {
			t.Run(fmt.Sprintf("%v/%x", auth, speaks), func(t *testing.T) {
				t.Parallel()
				addr, id := startProbed(t, func(cfg *tls.Config) {
					cfg.ClientAuth, cfg.MinVersion, cfg.MaxVersion = auth, speaks[0], speaks[1]
				})
				out, errs, code := outcome(t, &prober{roots: id.roots}, addr)
				if errs != "" {
					t.Errorf("error output %q; want none", errs)
				}
				for _, version := range both {
					unspoken := "The server does not speak " + tls.VersionName(version)
					if want := version < speaks[0] || version > speaks[1]; strings.Contains(out, unspoken) != want {
						t.Errorf("%q: %v; want %v in\n%s", unspoken, !want, want, out)
					}
				}
				wantCode := exitOK
				if !optional[auth] {
					wantCode = exitUnknown
				}
				requires := strings.Contains(out, "the server requires a client certificate") || strings.Contains(out, "asked for a client certificate, got none")
				if code != wantCode || requires == optional[auth] {
					t.Errorf("exit status %d, requires a certificate: %v; want %d and %v:\n%s", code, requires, wantCode, !optional[auth], out)
				}
				if asks := strings.Contains(out, "asks for a client certificate and does without"); asks != (optional[auth] && auth != tls.NoClientCert) {
					t.Errorf("says that a certificate is optional: %v:\n%s", asks, out)
				}
			})
		}
	}
}

// startRaw listens and hands each connection, with its number, to serve.
func startRaw(t *testing.T, serve func(n int, c net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(n, c)
			}()
		}
	}()
	return l.Addr().String()
}

// readHello reads what a client sends first, and all of it: a connection that is closed with bytes
// unread is reset.
func readHello(c net.Conn) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err == nil {
		_, _ = io.CopyN(io.Discard, c, int64(head[3])<<8|int64(head[4]))
	}
}

// answers returns a server that reads a ClientHello, writes something and waits for the client to leave.
func answers(with string) func(int, net.Conn) {
	return func(_ int, c net.Conn) {
		readHello(c)
		_, _ = io.WriteString(c, with)
		_, _ = io.Copy(io.Discard, c)
	}
}

func alertRecord(code byte) string { return string([]byte{21, 3, 3, 0, 2, 2, code}) }

// oldHello is the ServerHello of a server that knows no newer version than TLS 1.1.
const oldHello = "\x16\x03\x02\x00\x2a" + "\x02\x00\x00\x26" + "\x03\x02" + "0123456789abcdef0123456789abcdef" + "\x00" + "\xc0\x13" + "\x00"

func TestProbeSaysWhyThereIsNoHandshake(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(int, net.Conn)
		want  string
	}{
		{"silent", func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "within 1s"},
		{"closes at once", func(int, net.Conn) {}, "connection in the handshake; check that the port speaks TLS"},
		{"closes", func(_ int, c net.Conn) { readHello(c) }, "the server closed the connection in the handshake"},
		{"resets", func(_ int, c net.Conn) { readHello(c); _ = c.(*net.TCPConn).SetLinger(0) }, "reset the connection in the handshake"},
		{"another protocol", answers("SSH-2.0-x\r\n"), `not TLS, it begins with "SSH-2"`},
		{"control characters", answers("\x1b[2J\x00\x00"), `not TLS, it begins with "\x1b[2J\x00"`},
		{"old version", answers(oldHello), "the server speaks neither TLS 1.3 nor TLS 1.2"},
		{"no such version", answers(alertRecord(70)), "the server speaks neither TLS 1.3 nor TLS 1.2"},
		{"no cipher suite", answers(alertRecord(40)), `(alert "handshake failure"): it may not speak TLS 1.3`},
		{"unknown name", answers(alertRecord(112)), "does not know the name it is asked for"},
		{"ALPN", answers(alertRecord(120)), "insists on an application protocol"},
		{"any other alert", answers(alertRecord(80)), `ended the handshake with the alert "internal error"`},
		{"alert without a name", answers(alertRecord(99)), `ended the handshake with the alert "alert(99)"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &prober{cfg: probeConfig{timeout: time.Minute}}
			if tt.name == "silent" {
				p.cfg.timeout = time.Second
			}
			out, errs, code := outcome(t, p, startRaw(t, tt.serve))
			if code != exitFailed || out != "" || !strings.Contains(errs, tt.want) {
				t.Errorf("exit status %d, output %q, error output %q; want %d and %q", code, out, errs, exitFailed, tt.want)
			}
		})
	}
	t.Run("certificate required at once", func(t *testing.T) {
		out, _, code := outcome(t, new(prober), startRaw(t, answers(alertRecord(116))))
		if code != exitUnknown || !strings.Contains(out, "requires a client certificate") {
			t.Errorf("exit status %d, output %q; want %d and why", code, out, exitUnknown)
		}
	})
	t.Run("plain HTTP", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.NotFoundHandler()}
		t.Cleanup(func() { srv.Close() })
		go srv.Serve(l)
		_, errs, code := outcome(t, new(prober), l.Addr().String())
		if code != exitFailed || !strings.Contains(errs, "speaks HTTP without TLS") {
			t.Errorf("exit status %d, error output %q; want %d and why", code, errs, exitFailed)
		}
	})
}

func TestProbeSaysWhyACertificateIsNotTrusted(t *testing.T) {
	fail := func(err error) *tls.CertificateVerificationError { return &tls.CertificateVerificationError{Err: err} }
	p := &prober{ctx: t.Context()}
	d := &probeDial{connected: true}
	cert := &x509.Certificate{NotBefore: time.Unix(0, 0), NotAfter: time.Unix(86400, 0), DNSNames: []string{"other.example"}}
	for want, err := range map[string]error{
		"it is for other names; -sni":                   x509.HostnameError{Certificate: cert, Host: "host.example"},
		"its authority is unknown on this machine":      x509.UnknownAuthorityError{Cert: cert},
		"it is valid from 1970-01-01 to 1970-01-02":     x509.CertificateInvalidError{Cert: cert, Reason: x509.Expired},
		"certificate is not authorized to sign":         x509.CertificateInvalidError{Cert: cert, Reason: x509.NotAuthorizedToSign},
		"x509: certificate signed by unknown authority": errors.New("x509: certificate signed by unknown authority\x1b"),
	} {
		f := p.diagnose(d, fail(err))
		if f.kind != faultUntrusted || !strings.Contains(f.says, want) || !strings.HasSuffix(f.says, "-insecure goes on all the same") || strings.Contains(f.says, "\x1b") {
			t.Errorf("%v: %s, %q; want %q", err, f.kind, f.says, want)
		}
	}
}

func TestProbeSaysWhyANameHasNoAddress(t *testing.T) {
	p := &prober{ctx: t.Context()}
	for want, err := range map[string]error{
		`the name "a.example" has no address`:        &net.DNSError{IsNotFound: true},
		"no answer within 10s":                       &net.DNSError{IsTimeout: true},
		`cannot find the address of "a.example": lo`: &net.DNSError{Err: "server misbehaving", Name: "a.example"},
	} {
		if f := p.diagnoseLookup("a.example", err); f.kind != faultLookup || !strings.Contains(f.says, want) {
			t.Errorf("%v: %q; want %q", err, f.says, want)
		}
	}
}

// answering returns a TLS server for the first n handshakes, which then does something else.
func answering(t *testing.T, n int, then func(net.Conn)) (string, *identity) {
	t.Helper()
	id, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{id.leaf}}
	return startRaw(t, func(i int, c net.Conn) {
		if i > n {
			then(c)
			return
		}
		_, _ = tls.Server(c, cfg).Read(make([]byte, 1))
	}), id
}

func TestProbeTellsAServerThatStopsAnsweringFromOneThatDoesNotResume(t *testing.T) {
	hangUp := func(c net.Conn) { readHello(c) }
	for _, tt := range []struct {
		n, code int
		want    string
	}{
		{0, exitFailed, ""},
		{1, exitUnknown, "TLS 1.3: the server answered once, and then no more: the server closed the connection"},
		{2, exitUnknown, "TLS 1.3: the server answered, and then no more: the server closed the connection"}, // at the ticket
		{3, exitOK, "TLS 1.3: 2 handshakes failed: the server closed the connection"},
		{4, exitOK, "yes, 1 of 1"},
	} {
		addr, id := answering(t, tt.n, hangUp)
		out, errs, code := outcome(t, &prober{roots: id.roots, cfg: probeConfig{dials: 3}}, addr)
		if code != tt.code || !strings.Contains(out, tt.want) || (errs != "") != (tt.code == exitFailed) {
			t.Errorf("%d connections: exit status %d, error output %q; want %d and %q in\n%s", tt.n, code, errs, tt.code, tt.want, out)
		}
	}
}

func TestProbeEndsOnCtrlCWithWhatItKnows(t *testing.T) {
	for _, tt := range []struct {
		at   int32 // the handshake in which the signal comes
		code int
		want string
	}{
		{1, exitFailed, ": interrupted"},
		{2, exitUnknown, "Interrupted: this is what was known by then."},
		{3, exitUnknown, "TLS 1.3: interrupted before it could be told"},
		{4, exitOK, "yes, 1 of 1"},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		var hellos atomic.Int32
		addr, id := startProbed(t, func(cfg *tls.Config) {
			cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				if hellos.Add(1) == tt.at {
					interrupt()
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return nil, nil
			}
		})
		out, errs, code := outcome(t, &prober{ctx: ctx, roots: id.roots, cfg: probeConfig{dials: 3}}, addr)
		if code != tt.code || !strings.Contains(out+errs, tt.want) || strings.Contains(out, "no more") {
			t.Errorf("at handshake %d: exit status %d, output %q, error output %q; want %d and %q", tt.at, code, out, errs, tt.code, tt.want)
		}
	}
}

func TestProbeShowsProgressOnATerminalOnly(t *testing.T) {
	addr, id := startProbed(t, nil)
	for _, terminal := range []bool{true, false} {
		var row bytes.Buffer
		_, errs, code := outcome(t, &prober{roots: id.roots, progress: &progress{w: &row, terminal: terminal}}, addr)
		if code != exitOK || errs != "" {
			t.Errorf("exit status %d, error output %q; want 0 and none", code, errs)
		}
		if !terminal {
			if row.Len() > 0 {
				t.Errorf("wrote %q elsewhere than to a terminal; want nothing", &row)
			}
			continue
		}
		for _, want := range []string{"probe: connecting to " + addr, "probe: TLS 1.3: handshakes 1 of 2", "probe: TLS 1.2: handshakes 2 of 2"} {
			if !strings.Contains(row.String(), want) {
				t.Errorf("progress lacks %q: %q", want, &row)
			}
		}
		for _, line := range strings.Split(row.String(), "\r") {
			if len(line) > maxColumns || strings.Contains(line, "\n") {
				t.Errorf("line of %d columns %q; want at most %d", len(line), line, maxColumns)
			}
		}
		if !strings.HasSuffix(row.String(), " \r") {
			t.Errorf("progress %q; want it cleared in the end", &row)
		}
	}
}

func TestProbeTimeoutNamesItsUnitAndRange(t *testing.T) {
	for value, want := range map[string]string{
		"5":     "want a number with a unit, as in 500ms or 5s",
		"":      "want a number with a unit",
		"99ms":  "want 100ms to 10m0s",
		"0s":    "want 100ms to 10m0s",
		"-1s":   "want 100ms to 10m0s",
		"601s":  "want 100ms to 10m0s",
		"100ms": "",
		"10m":   "",
	} {
		var cfg probeConfig
		cmd := &cobra.Command{Use: "probe"}
		declare(cmd, cfg.flags)
		err := cmd.ParseFlags([]string{"--timeout", value})
		if err != nil {
			err = flagError(cmd, err)
		}
		if want == "" && (err != nil || cfg.timeout.String() != (map[string]string{"100ms": "100ms", "10m": "10m0s"})[value]) {
			t.Errorf("-timeout %s: %v, error %v; want it", value, cfg.timeout, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), "-timeout is "+strconv.Quote(value)+": "+want)) {
			t.Errorf("-timeout %s: error %v; want %q", value, err, want)
		}
	}
}
