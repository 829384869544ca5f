package main

import (
	"bytes"
	"cmp"
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

	// A connection with its handshake takes this long at most, unless -timeout says otherwise.
	defaultTimeout = 10 * time.Second
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
	version   uint16
	fault     *fault // why there was no handshake, or none that the server was content with; nil: fine
	connected bool
	asked     bool // for a certificate of ours
	shown     bool // and given one
	offered   bool
	received  int // bytes
	state     tls.ConnectionState
	took      time.Duration // the handshake, without the connection to TCP
	bytes     int           // of the handshake, both ways
	sessions  []*probeSession
	tickets   []ticketInfo // what is known of them; may lack some
	hello     serverHello
	hungUp    bool // the server ended the connection while we waited for tickets
}

// timeout is how long a connection with its handshake may take.
func (p *prober) timeout() time.Duration { return cmp.Or(p.cfg.timeout, defaultTimeout) }

// dialOnce connects to an address and offers a session, if there is one. It waits for tickets
// for so long, and not at all in TLS 1.2, where they come with the handshake.
func (p *prober) dialOnce(addr string, version uint16, offer *probeSession, wait time.Duration) *probeDial {
	d := &probeDial{version: version}
	ctx, cancel := context.WithTimeout(p.ctx, p.timeout())
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		d.fault = p.diagnose(d, err)
		return d
	}
	defer raw.Close()
	d.connected = true
	var keys keyLog
	tap := &wiretap{Conn: raw}
	cache := &probeCache{offer: offer}
	conn := tls.Client(tap, p.config(d, cache, &keys))
	begin := time.Now()
	err = conn.HandshakeContext(ctx)
	d.took = time.Since(begin)
	d.state = conn.ConnectionState()
	d.bytes = tap.sent.Len() + tap.received.Len()
	if err == nil {
		defer conn.Close() // with a goodbye: servers forget sessions of connections that were cut
		if version == tls.VersionTLS13 && wait > 0 {
			err = p.waitForTickets(conn, cache, wait)
			d.hungUp = err != nil
		}
	}
	d.offered, d.sessions, d.received = cache.taken, cache.got, tap.received.Len()
	d.hello, d.tickets = parseStream(tap.received.Bytes(), &keys)
	if err != nil && !(d.hungUp && d.mayHangUp(err)) {
		d.fault = p.diagnose(d, err)
	}
	return d
}

// mayHangUp reports whether the end of a connection after its handshake is the server's good
// right. It is not where the server asked for a certificate: in TLS 1.3 a client hears after the
// handshake only that it should have shown one.
func (d *probeDial) mayHangUp(err error) bool {
	_, _, isAlert := alertOf(err)
	return len(d.sessions) > 0 || !d.asked && !isAlert
}

// config is the client's, for one dial.
func (p *prober) config(d *probeDial, cache *probeCache, keys *keyLog) *tls.Config {
	return &tls.Config{
		ServerName:         p.cfg.sni,
		NextProtos:         p.cfg.alpn,
		RootCAs:            p.roots,
		MinVersion:         d.version,
		MaxVersion:         d.version,
		InsecureSkipVerify: p.cfg.insecure,
		ClientSessionCache: cache,
		KeyLogWriter:       keys, // stays in this process: how else to see what tickets say
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			d.asked = true
			if p.cfg.certificate != nil {
				d.shown = true
				return p.cfg.certificate, nil
			}
			return new(tls.Certificate), nil
		},
	}
}

// waitForTickets reads until no ticket has come for a while. An error is the one by which the
// server ended the connection. What else it sends is dropped.
func (p *prober) waitForTickets(conn *tls.Conn, cache *probeCache, wait time.Duration) error {
	begin := time.Now()
	buf := make([]byte, 4096)
	for p.ctx.Err() == nil {
		before := len(cache.got)
		if err := conn.SetReadDeadline(time.Now().Add(ticketPause)); err != nil {
			return err
		}
		_, err := conn.Read(buf)
		late := time.Since(begin) >= wait
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if len(cache.got) == before && (before > 0 || late) {
				return nil
			}
		case err != nil:
			return err
		case late:
			return nil // it talks and talks
		}
	}
	return nil
}
