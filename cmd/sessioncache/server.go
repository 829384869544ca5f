package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

// ioTimeout bounds one connection. Loopback needs milliseconds; a connection that takes
// this long is a failure to be reported.
const ioTimeout = 10 * time.Second

// greeting is the application data of every connection. A TLS 1.3 client must read to
// receive its session.
const greeting = "hello\n"

// maxStoreBytes is more than a run fills; with a bound, the store says what its sessions take.
const maxStoreBytes = 256 << 20

// A server accepts TLS connections for all hosts and keeps their sessions in one store. Its
// methods are safe for concurrent use, but for stop and close, which follow each other. That of stock
// crypto/tls has no hosts and no store.
type server struct {
	listener     net.Listener
	config       *tls.Config
	hosts        map[string]*host
	sessions     *session.Memory
	usual, brief *tlscache.Server // of the hosts whose sessions live as usual, and shorter
	conns        sync.WaitGroup

	full, resumed atomic.Uint64 // handshakes that completed
}

// startServer listens on a free port of the loopback interface and serves.
func startServer(leaf tls.Certificate, hosts []*host, ttl time.Duration) (*server, error) {
	s := &server{hosts: make(map[string]*host, len(hosts))}
	shorter := ttl
	for _, h := range hosts {
		s.hosts[h.name] = h
		if h.ttl > 0 {
			shorter = h.ttl
		}
	}
	var err error
	if s.sessions, err = session.NewMemory(session.MemoryConfig{MaxBytes: maxStoreBytes}); err != nil {
		return nil, fmt.Errorf("cannot make the server's store: %w", err)
	}
	if err = s.install(leaf, ttl, shorter); err == nil {
		s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		s.sessions.Close()
		return nil, fmt.Errorf("cannot start the server: %w", err)
	}
	s.conns.Go(s.accept)
	return s, nil
}

// install makes the configuration: one for all hosts, and one for those whose sessions live shorter,
// as a program would have it that serves several tenants.
func (s *server) install(leaf tls.Certificate, ttl, shorter time.Duration) (err error) {
	if s.usual, err = tlscache.NewServer(tlscache.ServerConfig{Store: s.sessions, TTL: ttl}); err != nil {
		return err
	}
	if s.brief, err = tlscache.NewServer(tlscache.ServerConfig{Store: s.sessions, TTL: shorter}); err != nil {
		return err
	}
	config := func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}
	}
	ofShort := config()
	if err := s.brief.Install(ofShort); err != nil {
		return err
	}
	s.config = config()
	s.config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if h := s.hosts[hello.ServerName]; h != nil && h.ttl > 0 {
			return ofShort, nil
		}
		return nil, nil // the configuration in use
	}
	return s.usual.Install(s.config) // last: it serves what the callback returns, too
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
	conn := tls.Server(raw, s.config)
	if err := conn.Handshake(); err != nil {
		return // the client counts and reports it
	}
	if conn.ConnectionState().DidResume {
		s.resumed.Add(1)
	} else {
		s.full.Add(1)
	}
	if _, err := conn.Write([]byte(greeting)); err == nil {
		conn.Close()
	}
}

// revoke ends all sessions of some hosts and returns how many those were. One goroutine
// revokes.
func (s *server) revoke(hosts []*host) (int, error) {
	before := s.sessions.Stats().Revoked
	for _, h := range hosts {
		of := s.usual
		if h.ttl > 0 {
			of = s.brief
		}
		h.started.Add(1)
		if err := of.RevokeServerName(context.Background(), h.name); err != nil {
			return 0, err
		}
		h.finished.Add(1)
	}
	return int(s.sessions.Stats().Revoked - before), nil
}

// refused returns how many sessions were not stored.
func (s *server) refused() uint64 {
	usual, brief := s.usual.Stats(), s.brief.Stats()
	return usual.Fallback + usual.Dead + brief.Fallback + brief.Dead
}

// stop ends accepting and waits for the connections that are open.
func (s *server) stop() {
	s.listener.Close()
	s.conns.Wait()
}

// close stops the server and closes its store.
func (s *server) close() {
	s.stop()
	if s.sessions != nil {
		s.release()
	}
}

// release closes the store and what refers to it.
func (s *server) release() {
	s.usual.Close()
	s.brief.Close()
	s.sessions.Close()
	s.config, s.usual, s.brief, s.sessions = nil, nil, nil, nil
}

// bytesPerSession is what a session takes of the store's MaxBytes: its state or record, its key and its entry.
func (s *server) bytesPerSession() float64 {
	st := s.sessions.Stats()
	if st.Sessions == 0 {
		return 0
	}
	return float64(st.Weight) / float64(st.Sessions)
}

// startStock serves the same on stock crypto/tls, with the tickets that it makes by itself.
func startStock(leaf tls.Certificate) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot start the stock server: %w", err)
	}
	s := &server{listener: l, config: &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12}}
	s.conns.Go(s.accept)
	return s, nil
}
