package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

const (
	// ticketWait is how long to wait for a ticket after a TLS 1.3 handshake, which servers
	// send when they like, and ticketPause how long for another one after the last.
	ticketWait  = 2 * time.Second
	ticketPause = 150 * time.Millisecond

	dialTimeout = 10 * time.Second
)

// A session is what a server gave one connection to resume with.
type probeSession struct {
	state *tls.ClientSessionState
	used  bool
}

// probeCache is the tls.ClientSessionCache of one dial: it offers what it is told, and notes
// what comes. Its fields belong to the goroutine of the dial.
type probeCache struct {
	offer *probeSession
	got   []*probeSession
	taken bool // crypto/tls asked for the offer
}

// Get hands out a copy, for NewResumptionState writes into what it is given.
func (c *probeCache) Get(string) (*tls.ClientSessionState, bool) {
	if c.offer == nil {
		return nil, false
	}
	ticket, state, err := c.offer.state.ResumptionState()
	if err != nil {
		return nil, false
	}
	own := *state
	cs, err := tls.NewResumptionState(ticket, &own)
	c.taken, c.offer.used = true, true
	return cs, err == nil
}

func (c *probeCache) Put(_ string, cs *tls.ClientSessionState) {
	if cs != nil {
		c.got = append(c.got, &probeSession{state: cs})
	}
}

// A wiretap counts and keeps what a connection carries.
type wiretap struct {
	net.Conn
	sent, received bytes.Buffer
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.received.Write(p[:n])
	return n, err
}

func (w *wiretap) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.sent.Write(p[:n])
	return n, err
}

// A probeDial is what one connection showed.
type probeDial struct {
	state    tls.ConnectionState
	took     time.Duration // the handshake, without the connection to TCP
	bytes    int           // of the handshake, both ways
	sessions []*probeSession
	tickets  []ticketInfo // what is known of them; may lack some
	hello    serverHello
	offered  bool
	hungUp   bool // the server ended the connection while we waited for tickets
}

// dialOnce connects to an address and offers a session, if there is one. It waits for tickets
// for so long, and not at all in TLS 1.2, where they come with the handshake.
func (p *prober) dialOnce(addr string, version uint16, offer *probeSession, wait time.Duration) (*probeDial, error) {
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	var keys keyLog
	tap := &wiretap{Conn: raw}
	cache := &probeCache{offer: offer}
	conn := tls.Client(tap, &tls.Config{
		ServerName:         p.cfg.sni,
		RootCAs:            p.roots,
		MinVersion:         version,
		MaxVersion:         version,
		InsecureSkipVerify: p.cfg.insecure,
		ClientSessionCache: cache,
		KeyLogWriter:       &keys, // stays in this process: how else to see what tickets say
	})
	begin := time.Now()
	if err := conn.HandshakeContext(ctx); err != nil {
		return &probeDial{offered: cache.taken}, err
	}
	defer conn.Close() // with a goodbye: servers forget sessions of connections that were cut
	d := &probeDial{state: conn.ConnectionState(), took: time.Since(begin), offered: cache.taken}
	d.bytes = tap.sent.Len() + tap.received.Len()
	if version == tls.VersionTLS13 && wait > 0 {
		d.hungUp = waitForTickets(conn, cache, wait)
	}
	d.sessions = cache.got
	d.hello, d.tickets = parseStream(tap.received.Bytes(), &keys)
	return d, nil
}

// waitForTickets reads until no ticket has come for a while, and reports whether the server
// ended the connection. What else it sends is dropped.
func waitForTickets(conn *tls.Conn, cache *probeCache, wait time.Duration) (hungUp bool) {
	begin := time.Now()
	buf := make([]byte, 4096)
	for {
		before := len(cache.got)
		if err := conn.SetReadDeadline(time.Now().Add(ticketPause)); err != nil {
			return true
		}
		_, err := conn.Read(buf)
		late := time.Since(begin) >= wait
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if len(cache.got) == before && (before > 0 || late) {
				return false
			}
		case err != nil:
			return true
		case late:
			return false // it talks and talks
		}
	}
}
