package tlscache

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// A view is the tls.ClientSessionCache of one scope. Any number of connections share it, so
// it does not know which of them offered which ticket.
type view struct {
	client    *Client
	scope     string
	installed bool             // VerifyConnection tells what became of the offers
	time      func() time.Time // the Config's; nil: the machine's, or not known

	verifies verifyFunc     // the user's VerifyConnection, nil if none
	peer     verifyPeerFunc // the user's VerifyPeerCertificate, nil if none or it is not to run on resumption
	refused  atomic.Int64   // resumptions that it refused whose key is not known yet
	open     atomic.Int64   // offers that were not accepted: only so many can be
	ech      echWatch       // of an installed one
}

type verifyFunc = func(tls.ConnectionState) error

// Get hands out a ticket for a server name. It never returns a nil state and true.
func (v *view) Get(sessionKey string) (*tls.ClientSessionState, bool) {
	if v.client.isZero() {
		return nil, false
	}
	key := v.key(sessionKey)
	l, why := tickets.Loan(nil), MissScope
	if v.ech.mayOffer() {
		var err error
		l, err = v.client.pool.Take(key, v.client.now(v.time))
		why = missOf(err)
	}
	if v.installed {
		v.client.trouble.begin(key, l != nil)
		v.begin(key, l, why)
	}
	cs := v.client.offer(l, why)
	if cs != nil {
		v.open.Add(1)
	}
	return cs, cs != nil
}

// Put stores a ticket. With nil, a handshake has failed that offered one, or crypto/tls
// refuses to offer it.
func (v *view) Put(sessionKey string, cs *tls.ClientSessionState) {
	if v.client.isZero() {
		return
	}
	key := v.key(sessionKey)
	if cs == nil {
		v.client.stats.failed.Add(1)
		if takeOne(&v.refused) {
			v.client.purge(key)
		}
		v.client.attempts.end(key, attempt.offered)
		v.client.pool.Strike(key)
		if v.installed {
			v.client.trouble.strike(key, false)
		}
		return
	}
	if !v.ech.mayStore(v.client, cs) {
		v.client.stats.refused.Add(1)
		return
	}
	if t, ok := v.client.accept(key, cs, v.client.now(v.time)); ok {
		v.client.pool.Put(key, t)
	}
}

func (v *view) key(sessionKey string) string { return tickets.Key(v.scope, sessionKey) }

// verify is the VerifyConnection of an installed Config: the user's function, if there is one, and the
// accounting.
func (v *view) verify(cs tls.ConnectionState) error {
	if isViewQuestion(&cs) {
		return &viewAnswer{v}
	}
	v.ech.observe(v.client, cs) // also where the user then refuses the connection: its ClientHello was sent
	if err := v.asksUser(cs); err != nil {
		return err
	}
	if handshakeRole() != roleServer { // the Config may be a server's as well
		v.observe(cs)
		v.client.report(cs, func() Outcome { return v.outcome(cs) })
	}
	return nil
}

// asksUser asks the user's functions what crypto/tls would.
func (v *view) asksUser(cs tls.ConnectionState) error {
	if cs.DidResume && v.peer != nil && handshakeRole() != roleServer {
		if err := verifyPeerAgain(v.peer, cs, func() { v.endRefused(cs.ServerName) }); err != nil {
			return err
		}
	}
	if v.verifies == nil {
		return nil
	}
	return v.verifies(cs)
}

// accepted reports whether a resumed connection can have resumed what this view offered. It did not where the
// user put another cache over ours.
func (v *view) accepted() bool { return takeOne(&v.open) }

// endRefused removes the tickets of a server that VerifyPeerCertificate refused. The name is what was sent: none for an
// IP address, whose key comes with the failure of the handshake.
func (v *view) endRefused(sent string) {
	v.client.stats.peersRefused.Add(1)
	if sent == "" {
		v.refused.Add(1)
		return
	}
	v.client.purge(v.key(sent))
}

// takeOne takes one from a count unless it is 0.
func takeOne(count *atomic.Int64) bool {
	for n := count.Load(); n > 0; n = count.Load() {
		if count.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// observe notes what the server did with what we offered, if we did.
func (v *view) observe(cs tls.ConnectionState) {
	if cs.DidResume {
		if !v.accepted() {
			return
		}
		v.client.stats.accepted.Add(1)
	}
	if cs.ServerName == "" {
		return // what was sent: none for an IP address, whose tickets stay until fresh ones come
	}
	key := v.key(cs.ServerName)
	if cs.DidResume {
		v.client.trouble.over(key)
		return
	}
	// A full handshake, so what this connection offered was declined, if it offered anything.
	// It need not be the one that did; then a good ticket goes, and the next one comes with
	// the connection that used it.
	if !v.client.trouble.wasMiss(key) && !v.client.trouble.excuse(key) {
		v.client.pool.Drop(key)
	}
}

// offer turns what a pool gave into what crypto/tls takes, or nil, and counts.
func (c *Client) offer(l tickets.Loan, why MissReason) *tls.ClientSessionState {
	if l == nil {
		c.stats.misses[why].Add(1)
		return nil
	}
	cs, err := l.Lent().Offer()
	if err != nil {
		c.stats.misses[MissMalformed].Add(1)
		return nil
	}
	c.stats.offered.Add(1)
	return cs
}

// accept returns the ticket that a server sent, which is not ok if it is not to be stored.
func (c *Client) accept(key string, cs *tls.ClientSessionState, now clock.Stamp) (t tickets.Ticket, ok bool) {
	t, bytes, ok := tickets.New(cs, now, c.cfg.MaxAge, c.families)
	if ok && bytes > tickets.MaxTicketBytes {
		c.stats.tooLarge.Add(1)
		return t, false
	}
	if !ok || c.trouble.refuses(key) {
		c.stats.refused.Add(1)
		return t, false
	}
	c.stats.stored.Add(1)
	return t, true
}

// purge removes the tickets of a key: those that were handed out, and then the others.
func (c *Client) purge(key string) {
	c.pool.Strike(key)
	c.pool.Strike(key)
}

// now returns the present time for a connection whose Config has its own idea of the wall clock, or none. crypto/tls
// compares with that, too.
func (c *Client) now(wall func() time.Time) clock.Stamp {
	now := c.clock.Read()
	if wall != nil {
		now.Wall = wall().UnixNano()
	}
	return now
}
