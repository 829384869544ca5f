package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// errNoDial is what a caller gets instead of a connection: see calling.
var errNoDial = errors.New("redisstore: callers do not connect")

// dial connects to a node. It ends with Timeout, and with Close.
func (s *Store) dial(ctx context.Context, addr string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	if ctx.Value(callerKey{}) != nil {
		return nil, errNoDial
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	s.counts.dials.Add(1)
	var inner net.Conn
	var err error
	switch {
	case isUnix(addr):
		inner, err = dialer.DialContext(ctx, "unix", addr)
	case config != nil:
		inner, err = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", addr)
	default:
		inner, err = dialer.DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, of: &s.conns, addr: addr, in: framer{strict: true}}
	if !s.conns.add(c) {
		_ = inner.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// conns are all connections, so that the keeper can end those to a node that has stopped to answer: the client
// library then ends all that waits for it.
type conns struct {
	mu struct {
		sync.Mutex
		open   map[*conn]struct{}
		closed bool
	}
}

// add reports whether the connection may be used.
func (cs *conns) add(c *conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.mu.closed {
		return false
	}
	if cs.mu.open == nil {
		cs.mu.open = map[*conn]struct{}{}
	}
	cs.mu.open[c] = struct{}{}
	return true
}

func (cs *conns) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.mu.open, c)
}

// close ends the connections to an address; all and those to come, if all is set.
func (cs *conns) close(addr string, all bool) {
	cs.mu.Lock()
	var ours []*conn
	for c := range cs.mu.open {
		if all || c.addr == addr {
			ours = append(ours, c)
		}
	}
	cs.mu.closed = cs.mu.closed || all
	cs.mu.Unlock()
	for _, c := range ours { // outside the lock, which Close takes
		_ = c.Close()
	}
}

func (cs *conns) closeTo(addr string) { cs.close(addr, false) }

// closeAll ends all connections, and those that come.
func (cs *conns) closeAll() { cs.close("", true) }

// A conn is a connection that is watched. One goroutine reads it and one writes, as the client library does.
type conn struct {
	net.Conn
	of      *conns
	addr    string
	in, out framer
	sent    atomic.Uint64 // commands
	broken  bool          // the reader's
}

func (c *conn) Read(p []byte) (int, error) {
	if c.broken {
		return 0, errFrame
	}
	n, err := c.Conn.Read(p)
	if fault := c.in.feed(p[:n]); fault != nil || c.in.values > c.sent.Load() {
		c.broken = true
		return 0, errFrame
	}
	return n, err
}

// Write counts the commands first: their answers may come before it returns.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.out.feed(p); err != nil {
		return 0, err
	}
	c.sent.Store(c.out.values)
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.of.remove(c)
	return c.Conn.Close()
}
