package tlscache

import (
	"crypto/sha256"
	"crypto/tls"
	"sync"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// A connection is what the hooks of one connection share: crypto/tls gives them no link to each other,
// but the gate made a Config for it alone, and its hooks are methods of this.
type connection struct {
	*layer
	*scoped
	beginning

	mu struct {
		sync.Mutex // a Config that the user keeps and returns again serves several connections at once
		found
	}
}

// A beginning is what there was when a connection's ClientHello came, before any of the user's functions.
type beginning struct {
	// begun is the time, and what a full handshake counts as the time at which its
	// client proved who it is. All that decides about the client comes later: a client that the user
	// denies before a revocation has been denied here, or is revoked. However long a client
	// holds its handshake open, no later time is taken.
	begun clock.Stamp
	ring  *sealing.Set  // of the Keyring
	stood seenWitnesses // a witness written later says nothing of a revocation since then
}

func (s *Server) begin() beginning {
	return beginning{stood: s.standing(), ring: s.keyring.keys(), begun: s.keyring.clock.Stamp()}
}

// beginBy is begin of a connection that began for another Server.
func (s *Server) beginBy(other beginning) beginning {
	b := s.begin()
	b.begun = b.begun.BackTo(other.begun)
	return b
}

// connect returns a connection whose Config has a layer.
func (s *Server) connect(hello *tls.ClientHelloInfo, cfg *tls.Config, l *layer, begin beginning) *connection {
	if len(l.others) > 0 {
		l = l.besideOthers(hello, cfg, begin)
	}
	sc, err := s.scopeOf(hello, cfg)
	if err != nil {
		sc = &scoped{unstable: true} // ScopeOf panicked
	}
	s.noteScope(sc)
	return &connection{layer: l, scoped: sc, beginning: begin}
}

// besideOthers returns the layer with the hooks of the other Servers, on the same connection, in the
// place of what it is over.
func (l *layer) besideOthers(hello *tls.ClientHelloInfo, cfg *tls.Config, begin beginning) *layer {
	own := *l
	for i := len(l.others) - 1; i >= 0; i-- {
		at := l.others[i].beginBy(begin)
		o := l.others[i].connect(hello, cfg, &layer{s: l.others[i], before: own.before}, at)
		own.before.wrap, own.before.unwrap = o.wrap, o.unwrap
	}
	return &own
}

// clone returns a copy of a Config that has hooks.
func (c *connection) clone(cfg *tls.Config, wrap wrapFunc, unwrap unwrapFunc) *tls.Config {
	ours := cfg.Clone()
	ours.WrapSession, ours.UnwrapSession, ours.VerifyConnection = wrap, unwrap, c.verifyConnection(cfg)
	return ours
}

// wrapThrough returns a user's WrapSession, which calls ours or does not.
func (c *connection) wrapThrough(f wrapFunc) wrapFunc {
	return func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) { return f(withPassenger(cs, c), ss) }
}

// unwrapThrough returns a user's UnwrapSession, which calls ours or does not.
func (c *connection) unwrapThrough(f unwrapFunc) unwrapFunc {
	return func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		return f(identity, withPassenger(cs, c))
	}
}

// found is what UnwrapSession has returned on a connection: crypto/tls resumes one of them or none, and
// does not say which.
type found struct {
	ours, foreign int
	auth          clock.Stamp         // the earliest
	principal     sealing.PrincipalID // of ours
	miss          MissReason          // why the first ticket that was not found was not
	mixed         bool                // ours are of several principals
	id            [sealing.NameSize]byte
	issued        [sealing.NameSize]byte // of the session whose ticket this connection got
	unanswered    bool                   // one is a fallback ticket, and the Store did not answer for it
	witness       sealing.WitnessRef     // of that
	tls12         resumed12
}

// A resumed12 is a TLS 1.2 session that a connection resumes: the next ticket leads to it again.
type resumed12 struct {
	handle  sealing.Handle
	keys    *sealing.Keys
	stored  bool // handle, sealed under keys, leads to it still
	lineage [sha256.Size]byte
	expires clock.Stamp
}

// resumes notes that a session of ours is about to be resumed.
func (c *connection) resumes(r *sealing.Record, tls12 resumed12) {
	tls12.lineage, tls12.expires = r.Lineage, r.Expires
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.mu.found
	f.mixed = f.mixed || f.ours > 0 && f.principal != r.Principal
	f.since(r.Auth)
	f.principal, f.tls12, f.id = r.Principal, tls12, r.ID
	f.ours++
}

// resumesUnanswered notes that the Store did not answer for a session that is about to be resumed.
func (c *connection) resumesUnanswered(r *sealing.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.mu.found
	if f.unanswered && f.witness != r.Witness {
		f.witness = sealing.WitnessRef{}
	} else {
		f.witness = r.Witness
	}
	f.unanswered = true
}

// resumesForeign notes that the session of a ticket of the hook before is about to be resumed: a chain of
// resumptions begins here.
func (c *connection) resumesForeign(ticket []byte) {
	id := foreignID(ticket)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.mu.found
	f.since(c.begun)
	f.id = id
	f.foreign++
}

// foreignID returns what stands for the session of a ticket of the hook before.
func foreignID(ticket []byte) [sealing.NameSize]byte {
	sum := sha256.Sum256(ticket)
	return [sealing.NameSize]byte(sum[:])
}

// since notes an authentication time, of which the earliest counts.
func (f *found) since(auth clock.Stamp) {
	if f.ours+f.foreign == 0 || auth.Compare(f.auth) < 0 {
		f.auth = auth
	}
}

// issues notes the session that the connection gets a ticket of.
func (c *connection) issues(id [sealing.NameSize]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.issued = id
}

func (c *connection) resumed() found {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.found
}

// inherits returns the authentication time of the session that a resumed connection issues: that of the
// one it resumed, or an earlier one. Not ok if it is not known: the session belongs to another
// principal than the one resumed, whose revocation would not reach it, or comes from a hook that
// keeps no such time, and MaxAuthAge bounds it.
func (f *found) inherits(p sealing.PrincipalID, bounded bool) (auth clock.Stamp, ok bool) {
	switch {
	case f.ours+f.foreign == 0, f.foreign > 0 && bounded:
		return clock.Stamp{}, false
	case f.mixed, f.ours > 0 && f.principal != p:
		return clock.Stamp{}, false
	}
	return f.auth, true
}
