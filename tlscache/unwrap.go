package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// unwrap is the UnwrapSession of a connection: it returns the session of a ticket, or nil, which makes the
// handshake a full one. It never returns an error, which would abort the handshake. The identity
// is whatever the client sent: empty in every TLS 1.2 ClientHello without a ticket, of any
// size, up to five in one ClientHello, all before the client proved that it knows the session.
func (c *connection) unwrap(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	if len(identity) == 0 {
		return nil, nil
	}
	if isQuestion(identity) {
		return nil, c.layer
	}
	counts := &c.s.counts
	counts.offered.Add(1)
	state, reason := c.find(identity, cs)
	if reason != 0 && reason <= MissForged { // not ours
		if state = c.s.foreign(c.before.unwrap, identity, cs); state != nil {
			c.resumesForeign()
			counts.foundForeign.Add(1)
			reason = 0
		}
	}
	if reason != 0 {
		counts.misses[reason].Add(1)
		return nil, nil
	}
	counts.found.Add(1)
	return state, nil
}

// An offer is a ticket of ours and the connection that it was offered on.
type offer struct {
	*connection
	cs     tls.ConnectionState
	now    time.Time
	server string // normalName
	keys   *keys
	name   name // of the server name under keys
	single bool // the session is taken
}

// find returns the session of a ticket of ours.
func (c *connection) find(identity []byte, cs tls.ConnectionState) (state *tls.SessionState, reason MissReason) {
	s := c.s
	defer func() {
		if recover() != nil { // a Local Store's
			s.counts.panics.Add(1)
			state, reason = nil, MissStoreError
		}
	}()
	o := offer{connection: c, cs: cs, now: time.Now(), server: normalName(cs.ServerName)}
	var r *record
	switch {
	case s.closed.Load():
		return nil, MissMalformed // as unknown as the hook before finds it
	case identity[0] == formatRecord:
		r, reason = o.fromTicket(identity)
	default:
		r, reason = o.fromHandle(identity)
	}
	if reason != 0 {
		return nil, reason
	}
	state = r.state // parsed for this connection alone
	if s.local != nil {
		state = privateState(state)
	}
	if !o.single || s.cfg.NoEarlyData {
		state.EarlyData = false // it could be replayed
	}
	return state, 0
}

// fromHandle returns the record that a handle names.
func (o *offer) fromHandle(ticket []byte) (*record, MissReason) {
	s := o.s
	h, k, err := s.keyring.openHandle(ticket)
	if err != nil {
		return nil, missOf(err)
	}
	o.use(k)
	switch {
	case h.flags&flagDead != 0:
		return nil, deadReason(h)
	case o.now.Unix() >= int64(h.expires):
		if h.flags&flagAge != 0 {
			return nil, MissAuthAge
		}
		return nil, MissExpired
	case o.unstable || h.scope != o.tag(k):
		return nil, MissScope
	case h.server != o.name.tag():
		return nil, MissServerName
	case (h.flags&flagTLS13 != 0) != (o.cs.Version >= tls.VersionTLS13):
		return nil, MissDeclined // crypto/tls would; so do not take it
	}
	o.single = h.flags&flagSingle != 0 || s.cfg.SingleUse
	r, reason := o.lookup(h)
	if reason != 0 {
		return nil, reason
	}
	if reason := o.refuse(r); reason != 0 {
		return nil, reason
	}
	o.resumes(r, resumed12{handle: h, keys: o.keys, stored: !o.single})
	return r, 0
}

// use sets the keys that the ticket was sealed under.
func (o *offer) use(k *keys) {
	o.keys, o.name = k, o.s.serverName(k, o.server)
}

// lookup gets the record from the Store, and finds out whether it was revoked.
func (o *offer) lookup(h handle) (*record, MissReason) {
	s := o.s
	if s.local == nil {
		return o.fetch(h)
	}
	get := s.local.LookupLocal
	if o.single {
		get = s.local.TakeLocal
	}
	key := s.storeKey(h, o.keys)
	item, err := get(key)
	if err != nil {
		return nil, missOf(err)
	}
	r, ok := item.Live.(*record)
	if !ok || r.scope != o.scope || r.server != o.server {
		return nil, MissMalformed // not what we stored
	}
	if s.keyring.marks.some.Load() && s.keyring.marks.covers(o.marks(h), r.auth) {
		if !o.single {
			_ = s.store.Delete(context.Background(), key) // it only takes up room
		}
		return nil, MissRevoked
	}
	if !o.single && r.flags&flagTLS13 != 0 {
		s.local.Demote(key) // its client gets a newer one now
	}
	return r, 0
}

// marks returns the names of the watermarks that may cover the session of a handle.
func (o *offer) marks(h handle) []name {
	names := append(make([]name, 0, 3), o.keys.everything, o.name)
	if h.flags&flagGroup != 0 {
		names = append(names, h.group)
	}
	return names
}

// covers reports whether one of some watermarks revokes what was authenticated at a time.
func (w *watermarks) covers(names []name, auth int64) bool {
	for _, n := range names {
		if w.revoked(n, auth) {
			return true
		}
	}
	return false
}

// fetch is lookup in a Store that is not Local. The session and what might revoke it are asked for
// at once: none can be trusted to answer soon.
func (o *offer) fetch(h handle) (*record, MissReason) {
	s := o.s
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Budget/2)
	defer cancel()
	key, single := s.storeKey(h, o.keys), o.single
	asked := start(ctx, s.guard, !single, func(ctx context.Context) ([]byte, error) {
		if single {
			return s.store.Take(ctx, key)
		}
		return s.store.Lookup(ctx, key)
	})
	names := o.marks(h)
	mark, markErr := s.highest(ctx, names)
	sealed, err := asked.wait(ctx)
	if err = errors.Join(err, markErr); err != nil {
		return nil, missOf(err)
	}
	r, err := s.keyring.openRecord(sealed, h.id, o.scope, o.server)
	if err != nil {
		return nil, MissMalformed // left where it is: the fault may be ours
	}
	if r.auth <= mark || s.keyring.marks.covers(names, r.auth) {
		return nil, MissRevoked
	}
	return r, 0
}

// highest returns the highest of some watermarks in the Store.
func (s *Server) highest(ctx context.Context, names []name) (int64, error) {
	var asked [3]pending[int64]
	for i, n := range names {
		asked[i] = start(ctx, s.guard, mayProbe, func(ctx context.Context) (int64, error) { return s.lookupWatermark(ctx, n) })
	}
	var highest int64
	var errs error
	for i := range names {
		mark, err := asked[i].wait(ctx)
		highest, errs = max(highest, mark), errors.Join(errs, err)
	}
	return highest, errs
}

// refuse returns why a record may not be resumed now.
func (o *offer) refuse(r *record) MissReason {
	now := max(o.now.UnixNano(), o.s.keyring.clock.last.Load()) // the wall clock may have stepped back
	switch {
	case r.flags&flagBounded != 0 && now-r.auth >= int64(o.s.cfg.MaxAuthAge):
		return MissAuthAge
	case now >= r.expires:
		return MissExpired
	}
	return 0
}

// missOf returns the reason that an error stands for.
func missOf(err error) MissReason {
	switch {
	case errors.Is(err, errTimeout):
		return MissStoreTimeout
	case errors.Is(err, errUnknownKey):
		return MissUnknownKey
	case errors.Is(err, errForged):
		return MissForged
	case errors.Is(err, errMalformed), errors.Is(err, errVersion):
		return MissMalformed
	case errors.Is(err, session.ErrNotFound):
		return MissGone
	case errors.Is(err, session.ErrTooLarge):
		return MissTooLarge
	}
	return MissStoreError
}
