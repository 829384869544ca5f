package interop

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/tlscache"
)

const serverName = "server.test"

// A foreignServer is a server that is not ours and answers GET / over TLS and closes.
type foreignServer struct {
	addr     string
	insecure *tls.Config // its certificate signs itself
}

// selfSigned writes a key and certificate for serverName with openssl.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", keyFile, "-out", certFile, "-days", "2", "-subj", "/CN="+serverName, "-addext", "subjectAltName=DNS:"+serverName).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl req: %v\n%s", err, out)
	}
	return certFile, keyFile
}

// freePort returns a port that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startForeign runs a program until the test ends, and returns when its port answers.
func startForeign(t *testing.T, port, name string, args ...string) *foreignServer {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe() // openssl ends with its input
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start %s, which scripts/tools.sh installs: %v", name, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			t.Logf("%s said:\n%s", name, &out)
		}
	})
	s := &foreignServer{addr: "127.0.0.1:" + port}
	s.insecure = &tls.Config{ServerName: serverName, InsecureSkipVerify: true}
	for {
		select {
		case <-exited:
			t.Fatalf("%s has exited", name)
		case <-time.After(10 * time.Millisecond): // between two attempts to connect
		}
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			conn.Close()
			return s
		}
	}
}

func startOpenSSL(t *testing.T, flags ...string) *foreignServer {
	t.Helper()
	cert, key := selfSigned(t)
	port := freePort(t)
	args := append([]string{"s_server", "-accept", port, "-cert", cert, "-key", key, "-quiet"}, flags...)
	return startForeign(t, port, "openssl", args...)
}

func startNginx(t *testing.T, protocols string) *foreignServer {
	t.Helper()
	cert, key := selfSigned(t)
	port, dir := freePort(t), t.TempDir()
	config := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_timeout 0;
	client_body_temp_path %[1]s/a;
	proxy_temp_path %[1]s/b;
	fastcgi_temp_path %[1]s/c;
	uwsgi_temp_path %[1]s/d;
	scgi_temp_path %[1]s/e;
	server {
		listen 127.0.0.1:%[2]s ssl backlog=1024;
		ssl_certificate %[3]s;
		ssl_certificate_key %[4]s;
		ssl_protocols %[5]s;
		ssl_session_timeout 1h;
		location / { return 200 "ok"; }
	}
}
`, dir, port, cert, key, protocols)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	name := "nginx"
	if _, err := exec.LookPath(name); err != nil {
		name = "/usr/sbin/nginx" // where Debian has it, and not everybody's PATH
	}
	return startForeign(t, port, name, "-p", dir, "-c", file)
}

// open does the handshake of one connection. It notes the tickets that it offers on the wire.
func (s *foreignServer) open(cfg *tls.Config, offers *wireOffers) (*tls.Conn, error) {
	raw, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(time.Minute))
	conn := tls.Client(&helloTap{Conn: raw, offers: offers}, cfg)
	if err := conn.Handshake(); err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// get sends a request, reads the answer, with which tickets come, and ends the connection.
func get(conn *tls.Conn) (resumed bool, err error) {
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return false, err
	}
	answer, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // s_server says no goodbye
		return false, err
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.") {
		return false, fmt.Errorf("got %q; want an answer in HTTP", answer)
	}
	return conn.ConnectionState().DidResume, nil
}

func newClient(t *testing.T, cfg tlscache.ClientConfig) *tlscache.Client {
	t.Helper()
	c, err := tlscache.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// installed returns a Config for the server with the Client installed.
func (s *foreignServer) installed(t *testing.T, c *tlscache.Client, version uint16) *tls.Config {
	t.Helper()
	cfg := s.insecure.Clone()
	cfg.MinVersion, cfg.MaxVersion = version, version
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// wireOffers counts tickets as they go over the wire.
type wireOffers struct {
	mu   sync.Mutex
	seen map[string]int
}

func (o *wireOffers) note(ticket []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == nil {
		o.seen = map[string]int{}
	}
	o.seen[string(ticket)]++
}

// count returns how many tickets were offered, and how many of them more than once.
func (o *wireOffers) count() (offered, twice int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.seen {
		offered += n
		if n > 1 {
			twice++
		}
	}
	return offered, twice
}

// A helloTap reads the ticket in a TLS 1.3 ClientHello, the first that is written.
type helloTap struct {
	net.Conn
	offers *wireOffers
	done   bool
}

func (h *helloTap) Write(p []byte) (int, error) {
	if !h.done && h.offers != nil {
		h.done = true
		if ticket := offeredTicket(p); ticket != nil {
			h.offers.note(ticket)
		}
	}
	return h.Conn.Write(p)
}

// offeredTicket returns the first identity of the pre_shared_key extension, which is the last
// of a ClientHello (RFC 9846 section 4.3.11).
func offeredTicket(record []byte) []byte {
	r := reader(record)
	r.skip(5 + 4 + 2 + 32) // headers, version, random
	r.skip(r.length(1))    // session id
	r.skip(r.length(2))    // cipher suites
	r.skip(r.length(1))    // compression
	for r.length(2); len(r) >= 4; {
		kind, n := r.length(2), r.length(2)
		if kind == 41 {
			r.skip(2)
			return r.skip(r.length(2))
		}
		r.skip(n)
	}
	return nil
}

// A reader takes a message apart; past its end everything is empty.
type reader []byte

func (r *reader) skip(n int) []byte {
	if n > len(*r) {
		n = len(*r)
	}
	head := (*r)[:n]
	*r = (*r)[n:]
	return head
}

func (r *reader) length(size int) int {
	var b [4]byte
	copy(b[4-size:], r.skip(size))
	return int(binary.BigEndian.Uint32(b[:]))
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
