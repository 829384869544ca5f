package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// DialTLSContext connects to addr, which is host:port, and does the handshake with
// ClientConfig.TLS, verified for the host unless that names a ServerName. It is made to be
// an http.Transport's DialTLSContext, with ForceAttemptHTTP2 if NextProtos offers h2. (A
// Transport does not use it through a proxy; Install reaches there.)
//
// It offers a ticket of the very address that answered, so that servers behind one name that
// share no ticket keys each resume their own; where it has none for the address, a copy of
// the name's newest one (never with SingleUse). A dial that is cancelled costs no ticket. The
// net.Conn is a *tls.Conn. ClientConfig.HandshakeTimeout bounds the handshake.
func (c *Client) DialTLSContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.isZero() {
		return nil, errZeroClient
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		why := new(net.AddrError)
		errors.As(err, &why)
		return nil, fmt.Errorf("tlscache: DialTLSContext: addr is not host:port, as in example.com:443 or [::1]:443: %s", why.Err)
	}
	raw, err := c.cfg.DialContext(ctx, network, addr)
	if err == nil && isNil(raw) {
		err = errors.New("tlscache: DialTLSContext: ClientConfig.DialContext returned no connection and no error")
	}
	if err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if !done { // failed, or a function of the user's panicked: the caller has nothing to close
			raw.Close()
		}
	}()
	cfg := c.dial.config.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	d := c.newDialView(cfg.ServerName, raw.RemoteAddr())
	if !cfg.SessionTicketsDisabled {
		cfg.ClientSessionCache = d
	}
	cfg.VerifyConnection = d.verifyConnection(cfg)
	conn := tls.Client(raw, cfg)
	limited, cancel := context.WithTimeout(ctx, c.cfg.HandshakeTimeout)
	defer cancel()
	err = conn.HandshakeContext(limited)
	d.done(ctx, err)
	if err != nil {
		return nil, err
	}
	done = true
	return conn, nil
}

// A dialView is the tls.ClientSessionCache of one connection, so it knows what that offered. Its
// changing fields belong to the goroutine of the handshake.
type dialView struct {
	client         *Client
	name, endpoint string // keys

	offered     tickets.Loan
	key         string // of the offered ticket: name or endpoint
	flushes     uint64 // of the Client, before it was taken
	attempt     attempt
	struck      bool // crypto/tls has refused it, or the handshake failed
	established bool // the peer was verified
	resumed     bool
}

func (c *Client) newDialView(serverName string, addr net.Addr) *dialView {
	name, address := tickets.Key(c.dial.scope, serverName), ""
	if addr != nil {
		address = addr.String()
	}
	return &dialView{client: c, name: name, endpoint: tickets.EndpointKey(name, address)}
}

// Get hands out a ticket for this connection.
func (d *dialView) Get(string) (*tls.ClientSessionState, bool) {
	now := d.client.now(d.client.dial.config.Time)
	d.flushes = d.client.flushes.Load()
	l, err := d.client.pool.Take(d.endpoint, now)
	d.key = d.endpoint
	if l == nil && !d.client.cfg.SingleUse {
		d.key = d.name
		if l, err = d.client.pool.Peek(d.name, now); l != nil && d.client.trouble.declined(d.endpoint, l.Lent().Identity()) {
			l, err = nil, session.ErrNotFound
		}
	}
	cs := d.client.offer(l, missOf(err))
	d.attempt = attempt{miss: missOf(err)}
	if cs != nil {
		d.offered, d.attempt = l, attempt{created: l.Lent().Facts.Created}
	}
	return cs, cs != nil
}

// Put stores a ticket of this connection's endpoint, and a mirror of it for the name, from
// which endpoints that have none yet start.
func (d *dialView) Put(_ string, cs *tls.ClientSessionState) {
	if cs == nil {
		d.struck = true // done looks at why
		return
	}
	t, ok := d.client.accept(d.endpoint, cs, d.client.now(d.client.dial.config.Time))
	if !ok {
		return
	}
	d.client.pool.Put(d.endpoint, t)
	if !d.client.cfg.SingleUse {
		d.client.pool.Mirror(d.name, t)
	}
}

func (d *dialView) verifyConnection(cfg *tls.Config) verifyFunc {
	peer, users := cfg.VerifyPeerCertificate, cfg.VerifyConnection
	if !d.client.cfg.VerifyPeerOnResume {
		peer = nil
	}
	return func(cs tls.ConnectionState) error {
		if cs.DidResume && peer != nil {
			if err := verifyPeerAgain(peer, cs, d.endRefused); err != nil {
				return err
			}
		}
		if users != nil {
			if err := users(cs); err != nil {
				return err
			}
		}
		d.established, d.resumed = true, cs.DidResume
		if cs.DidResume {
			d.client.stats.accepted.Add(1)
		}
		d.client.report(cs, func() Outcome { return d.attempt.outcome(cs, d.client.now(d.client.dial.config.Time)) })
		return nil
	}
}

// endRefused removes the tickets of a server that VerifyPeerCertificate refused, also those of its name: they come from the
// same address or were verified by what is refused now.
func (d *dialView) endRefused() {
	d.client.stats.peersRefused.Add(1)
	d.client.purge(d.endpoint)
	d.client.purge(d.name)
}

// done draws the conclusions once the handshake is over.
func (d *dialView) done(ctx context.Context, err error) {
	c := d.client
	switch {
	case d.offered == nil:
		return
	case d.struck && errors.Is(ctx.Err(), context.Canceled) && c.pool.Cancelled(d.key, d.offered) <= tickets.MaxCancelled:
		// The caller gave up: that says little about the ticket. Offered again it would
		// be recognised, though, and what single use promises is that it is not.
		c.stats.failed.Add(1)
		if !c.cfg.SingleUse && d.key == d.endpoint {
			c.pool.GiveBack(d.key, d.offered, func() bool { return c.flushes.Load() == d.flushes })
		}
	case d.struck && err == nil:
		// No handshake failed: crypto/tls did not offer it, and never will.
		c.stats.failed.Add(1)
		c.pool.Drop(d.key)
		c.trouble.decline(d.endpoint, d.offered.Lent().Identity())
	case d.struck:
		c.stats.failed.Add(1)
		c.pool.Strike(d.key)
		c.trouble.decline(d.endpoint, d.offered.Lent().Identity())
		if !d.established {
			c.trouble.strike(d.endpoint, isAlert(err))
		}
	case d.resumed:
		c.trouble.over(d.endpoint)
	default:
		// The name may still have it, for other endpoints: this one is not offered it again.
		c.trouble.decline(d.endpoint, d.offered.Lent().Identity())
		if d.key == d.endpoint {
			c.pool.Drop(d.key)
		}
	}
}

// isAlert reports whether one side ended a handshake for what the other side sent.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}
