package redisstore

import (
	"net"
	"sync"
	"testing"
	"time"
)

// A proxy is a TCP network between a Store and a server that can be slow, silent and cut.
type proxy struct {
	addr, target string
	listener     net.Listener
	mu           struct {
		sync.Mutex
		delay time.Duration
		hole  chan struct{} // what is under way waits until it is closed; nil: nothing does
		cut   bool          // whoever connects is thrown out
		conns map[net.Conn]struct{}
	}
	ended sync.WaitGroup
}

// through returns a proxy in front of a server.
func through(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), target: target, listener: l}
	p.mu.conns = map[net.Conn]struct{}{}
	p.ended.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.heal() // lets go what waits
		p.ended.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial(network(p.target), p.target)
		if err != nil || !p.add(c, far) {
			_ = c.Close()
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		p.ended.Go(func() { p.pipe(far, c) })
		p.ended.Go(func() { p.pipe(c, far) })
	}
}

func (p *proxy) add(both ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range both {
		if !p.mu.cut {
			p.mu.conns[c] = struct{}{}
		}
	}
	return !p.mu.cut
}

// pipe carries bytes one way, as late as the proxy is told to be.
func (p *proxy) pipe(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		delay, hole := p.mu.delay, p.mu.hole
		p.mu.Unlock()
		time.Sleep(delay) // a distance, and no wait for anything
		if hole != nil {
			<-hole
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// slow makes each byte take so long, one way.
func (p *proxy) slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.delay = d
}

// freeze lets nothing through, and keeps all connections.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.hole == nil {
		p.mu.hole = make(chan struct{})
	}
}

// cut ends all connections, and those that come.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.cut = true
	for c := range p.mu.conns {
		_ = c.Close()
	}
	p.mu.conns = map[net.Conn]struct{}{}
}

// heal undoes freeze and cut.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.cut = false
	if p.mu.hole != nil {
		close(p.mu.hole)
		p.mu.hole = nil
	}
}
