package redisstore

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A kind is a program that the tests run.
type kind struct{ name, program string }

var kinds = []kind{{"redis", "redis-server"}, {"valkey", "valkey-server"}}

// need returns the program, or skips the test with a line that says why: SKIP names it, as in SKIP="redis valkey", or it is
// not installed.
func (k kind) need(t testing.TB) string {
	t.Helper()
	if slices.Contains(strings.FieldsFunc(os.Getenv("SKIP"), func(c rune) bool { return strings.ContainsRune(", \t\n", c) }), k.name) {
		t.Skipf("SKIP leaves out %s", k.name)
	}
	path, err := exec.LookPath(k.program)
	if err != nil {
		t.Skipf("%s is not installed: nothing here is tested on it (make tools installs what Debian has)", k.program)
	}
	return path
}

// A server is a process of one.
type server struct {
	addr string // host:port, or the path of a socket
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  string
}

// start starts a server and waits until it accepts connections. It ends with the test, or with stop.
func (k kind) start(t testing.TB, addr string, args ...string) *server {
	t.Helper()
	s, err := k.launch(k.need(t), t.TempDir(), addr, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

// launch is start for what outlives a test.
func (k kind) launch(program, dir, addr string, args ...string) (*server, error) {
	s := &server{addr: addr, done: make(chan struct{}), log: filepath.Join(dir, "log")}
	all := []string{}
	if len(args) > 0 && strings.HasSuffix(args[0], ".conf") {
		all, args = args[:1], args[1:]
	}
	if isUnix(addr) {
		all = append(all, "--port", "0", "--unixsocket", addr)
	} else {
		_, port, _ := net.SplitHostPort(addr)
		all = append(all, "--port", port, "--bind", "127.0.0.1")
	}
	all = append(all, "--dir", dir, "--save", "", "--logfile", s.log, "--daemonize", "no")
	s.cmd = exec.Command(program, append(all, args...)...)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // killed, as a rule
	}()
	return s, s.accepts()
}

// accepts waits until the server accepts connections.
func (s *server) accepts() error {
	for {
		c, err := net.Dial(network(s.addr), s.addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.done:
			text, _ := os.ReadFile(s.log)
			return fmt.Errorf("%s has ended: %s", s.cmd.Path, text)
		case <-time.After(5 * time.Millisecond): // until the next try
		}
	}
}

// stop kills the server.
func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func network(addr string) string {
	if isUnix(addr) {
		return "unix"
	}
	return "tcp"
}

// socket returns a path for a unix socket, which must be short.
func socket(t testing.TB) string {
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// freeAddr returns an address that nobody listens on, as far as can be. The second port of a cluster's node is
// 10000 higher.
func freeAddr() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port < 50000 {
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("no free port below 50000")
}

// prefixes makes a Prefix for each Store, so that they can share a server.
var prefixes atomic.Int64

// open returns a Store with a Prefix of its own, once it is connected.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s := openUnready(t, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatalf("Ready() = %v", err)
	}
	return s
}

func openUnready(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Prefix == "" {
		cfg.Prefix = fmt.Sprintf("t%d:", prefixes.Add(1))
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 20 * time.Second // a busy machine is no fault of the server
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// shared are the deployments that a package's tests start once.
var shared struct {
	sync.Mutex
	started map[string]func() (*deployment, error)
	stops   []func()
}

// A deployment is several servers, and how to reach them.
type deployment struct {
	cfg     Config
	servers []*server
}

// once returns a deployment that all tests share.
func once(t testing.TB, name string, start func() (*deployment, error)) *deployment {
	t.Helper()
	shared.Lock()
	if shared.started == nil {
		shared.started = map[string]func() (*deployment, error){}
	}
	if shared.started[name] == nil {
		shared.started[name] = sync.OnceValues(start)
	}
	get := shared.started[name]
	shared.Unlock()
	d, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// stopAtEnd ends a server with the package's tests.
func stopAtEnd(stop func()) {
	shared.Lock()
	defer shared.Unlock()
	shared.stops = append(shared.stops, stop)
}

func TestMain(m *testing.M) {
	code := m.Run()
	shared.Lock()
	for _, stop := range shared.stops {
		stop()
	}
	os.Exit(code)
}

// standalone returns one server that all tests share, on a unix socket.
func standalone(t testing.TB, k kind) Config {
	t.Helper()
	program := k.need(t)
	return once(t, k.name, func() (*deployment, error) {
		dir, err := os.MkdirTemp("", "rs")
		if err != nil {
			return nil, err
		}
		stopAtEnd(func() { os.RemoveAll(dir) })
		s, err := k.launch(program, dir, filepath.Join(dir, "s"))
		if err != nil {
			return nil, err
		}
		stopAtEnd(s.stop)
		return &deployment{cfg: Config{Addrs: []string{s.addr}}, servers: []*server{s}}, nil
	}).cfg
}
