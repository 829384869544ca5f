package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// ioTimeout bounds one connection. Loopback needs milliseconds; a connection that takes
// this long is a failure to be reported.
const ioTimeout = 10 * time.Second

// greeting is the application data of every connection. A TLS 1.3 client must read to
// receive its session.
const greeting = "hello\n"

// A server accepts TLS connections for all hosts and keeps their sessions in a cache, one
// per handshake. Its methods are safe for concurrent use, but for stop, close and
// bytesPerSession, which follow each other.
type server struct {
	listener net.Listener
	base     *tls.Config // cloned for each connection, whose hooks differ
	hosts    map[string]*host
	sessions *fastcache.Cache[*tls.SessionState]
	conns    sync.WaitGroup

	full, resumed atomic.Uint64 // handshakes that completed
	storeErrors   atomic.Uint64 // sessions that the cache refused
}

// startServer listens on a free port of the loopback interface and serves.
func startServer(leaf tls.Certificate, hosts []*host, ttl time.Duration) (*server, error) {
	sessions, err := fastcache.New(fastcache.Config[*tls.SessionState]{TTL: ttl})
	if err != nil {
		return nil, fmt.Errorf("cannot make the server's cache: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		sessions.Close()
		return nil, fmt.Errorf("cannot listen on loopback: %w", err)
	}
	s := &server{
		listener: listener,
		base:     &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12},
		hosts:    make(map[string]*host, len(hosts)),
		sessions: sessions,
	}
	for _, h := range hosts {
		s.hosts[h.name] = h
	}
	s.conns.Go(s.accept)
	return s, nil
}

func (s *server) addr() string { return s.listener.Addr().String() }

func (s *server) accept() {
	for {
		raw, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(5 * time.Millisecond) // out of file descriptors, perhaps; others will close
			continue
		}
		s.conns.Go(func() { s.serve(raw) })
	}
}

// serve does one handshake and greets the client.
func (s *server) serve(raw net.Conn) {
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		return
	}
	h := &hooks{server: s}
	cfg := s.base.Clone()
	cfg.WrapSession, cfg.UnwrapSession = h.wrap, h.unwrap
	conn := tls.Server(raw, cfg)
	if err := conn.Handshake(); err != nil {
		// Wrap stored a session before the client had proved anything. The client counts
		// and reports the failure.
		s.sessions.Delete(h.issued)
		return
	}
	if conn.ConnectionState().DidResume {
		s.resumed.Add(1)
		s.sessions.Demote(h.used) // its client holds a newer one
	} else {
		s.full.Add(1)
	}
	if _, err := conn.Write([]byte(greeting)); err == nil {
		conn.Close()
	}
}

// revoke ends all sessions of some hosts and returns how many those were. One goroutine
// revokes.
func (s *server) revoke(hosts []*host) int {
	n := 0
	for _, h := range hosts {
		h.started.Add(1)
		n += s.sessions.DeletePartial(h.name)
		h.finished.Add(1)
	}
	return n
}

// stop ends accepting and waits for the connections that are open.
func (s *server) stop() {
	s.listener.Close()
	s.conns.Wait()
}

// close stops the server and closes its cache.
func (s *server) close() {
	s.stop()
	if s.sessions != nil {
		s.sessions.Close()
	}
}

// bytesPerSession measures what a session costs: the heap with the cache, less the heap
// after the cache was closed and released, by the sessions held. That counts the session's
// state and secret, its key, its entry, its place in the index, and its share of the
// cache's tables. The server is stopped, and holds no cache afterwards.
func (s *server) bytesPerSession() float64 {
	with := heapInUse()
	n := s.sessions.Size()
	s.sessions.Close()
	s.sessions = nil
	without := heapInUse()
	if n == 0 || with <= without {
		return 0
	}
	return float64(with-without) / float64(n)
}

// heapInUse returns the bytes of reachable objects.
func heapInUse() uint64 {
	for range 3 { // sync.Pool drops what it holds, and cleanups run, in the second and third
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
