package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
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
	if reason != 0 && reason <= MissForged && !c.s.keyring.marks.endedForeign(identity) { // not ours
		if state = c.s.foreign(c.before.unwrap, identity, cs); state != nil {
			c.resumesForeign(identity)
			counts.foundForeign.Add(1)
			reason = 0
		}
	}
	if reason != 0 {
		c.missed(reason)
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
	at     clock.Stamp // the same
	server string      // hostname.Normal
	keys   *sealing.Keys
	name   sealing.Name // of the server name under keys
	single bool         // the session is taken
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
	o := offer{connection: c, cs: cs, now: time.Now(), at: c.s.keyring.clock.Read(), server: hostname.Normal(cs.ServerName)}
	var r *sealing.Record
	switch {
	case s.closed.Load():
		return nil, MissMalformed // as unknown as the hook before finds it
	case identity[0] == sealing.FormatRecord:
		r, reason = o.fromTicket(identity)
	default:
		r, reason = o.fromHandle(identity)
	}
	if reason != 0 {
		return nil, reason
	}
	state = r.State // parsed for this connection alone
	if s.local != nil {
		state = tlsstate.Private(state)
	}
	if !o.single || s.cfg.NoEarlyData {
		state.EarlyData = false // it could be replayed
	}
	return state, 0
}

// fromHandle returns the record that a handle names.
func (o *offer) fromHandle(ticket []byte) (*sealing.Record, MissReason) {
	s := o.s
	h, k, err := s.keyring.keys().OpenHandle(ticket)
	if err != nil {
		return nil, missOf(err)
	}
	o.use(k)
	switch {
	case h.Flags&sealing.FlagDead != 0:
		return nil, deadReason(h)
	case o.at.Wall >= int64(h.Expires)*int64(time.Second):
		if h.Flags&sealing.FlagAge != 0 {
			return nil, MissAuthAge
		}
		return nil, MissExpired
	case o.unstable || h.Scope != o.tag(k):
		return nil, MissScope
	case h.Server != o.name.Tag():
		return nil, MissServerName
	case (h.Flags&sealing.FlagTLS13 != 0) != (o.cs.Version >= tls.VersionTLS13):
		return nil, MissDeclined // crypto/tls would; so do not take it
	}
	o.single = h.Flags&sealing.FlagSingle != 0 || s.cfg.SingleUse
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
func (o *offer) use(k *sealing.Keys) {
	o.keys, o.name = k, o.s.serverName(k, o.server)
}

// lookup gets the record from the Store, and finds out whether it was revoked.
func (o *offer) lookup(h sealing.Handle) (*sealing.Record, MissReason) {
	s := o.s
	switch {
	case s.store == nil:
		return nil, MissGone // Stateless: another Server's
	case s.local == nil:
		return o.fetch(h)
	}
	get := s.local.LookupLocal
	if o.single {
		get = s.local.TakeLocal
	}
	key := s.storeKey(h, o.keys)
	item, err := get(key)
	if errors.Is(err, session.ErrNotFound) {
		return nil, o.absent(h, nil)
	}
	if err != nil {
		return nil, missOf(err)
	}
	r := o.recordOf(item, h)
	if r == nil {
		return nil, MissMalformed // not what we stored
	}
	if s.keyring.marks.covers(r) {
		if !o.single {
			_ = s.store.Delete(context.Background(), key) // it only takes up room
		}
		return nil, MissRevoked
	}
	if !o.single && r.Flags&sealing.FlagTLS13 != 0 {
		s.local.Demote(key) // its client gets a newer one now
	}
	return r, 0
}

// recordOf returns the record that a Local Store has for a handle, or nil if that is another's. One without a live
// form was dumped and stored again, here or elsewhere: it is opened as from any Store.
func (o *offer) recordOf(item session.Item, h sealing.Handle) *sealing.Record {
	var r *sealing.Record
	if live, ok := item.Live.(*liveRecord); ok && live != nil {
		r = &live.Record
	} else if item.Live == nil {
		r, _ = o.s.keyring.keys().OpenRecord(item.Bytes, h.ID, o.scope, o.server)
	}
	if r == nil || !r.IsOf(h) || r.Scope != o.scope || r.Server != o.server {
		return nil
	}
	return r
}

// marks returns the names of the watermarks that may cover the session of a handle.
func (o *offer) marks(h sealing.Handle) []sealing.Name {
	names := append(make([]sealing.Name, 0, 3), o.keys.Everything, o.name)
	if h.Flags&sealing.FlagGroup != 0 {
		names = append(names, h.Group)
	}
	return names
}

// fetch is lookup in a Store that is not Local. The session and what might revoke it are asked for
// at once: none can be trusted to answer soon.
func (o *offer) fetch(h sealing.Handle) (*sealing.Record, MissReason) {
	s := o.s
	b := guard.Grant(s.cfg.Budget / 2)
	defer b.End()
	key, single := s.storeKey(h, o.keys), o.single
	asked := guard.Start(b, s.guard, !single, func(ctx context.Context) ([]byte, error) {
		if single {
			return s.store.Take(ctx, key)
		}
		return s.store.Lookup(ctx, key)
	})
	marks, markErr := s.askWatermarks(b, o.marks(h))
	sealed, err := asked.Wait(b)
	if errors.Is(err, session.ErrNotFound) && markErr == nil {
		return nil, o.absent(h, marks)
	}
	if err = errors.Join(err, markErr); err != nil {
		return nil, missOf(err)
	}
	r, err := s.keyring.keys().OpenRecord(sealed, h.ID, o.scope, o.server)
	if err != nil || !r.IsOf(h) {
		return nil, MissMalformed // left where it is: the fault may be ours
	}
	if s.revoked(r, marks, nil) {
		return nil, MissRevoked
	}
	return r, 0
}

// askWatermarks returns some watermarks in the Store, in the order of their names.
func (s *Server) askWatermarks(b *guard.Budget, names []sealing.Name) ([]told, error) {
	var asked [3]guard.Call[told]
	for i, n := range names {
		asked[i] = guard.Start(b, s.guard, guard.MayProbe, func(ctx context.Context) (told, error) { return s.lookupWatermark(ctx, n) })
	}
	marks := make([]told, len(names))
	var errs error
	for i := range names {
		var err error
		marks[i], err = asked[i].Wait(b)
		errs = errors.Join(errs, err)
	}
	return marks, errs
}

// revoked reports whether a watermark covers a record: one that this process knows, or one of those
// that the Store told of, which it knows from now on. What the Store has lost of those is written again, if it
// told of all.
func (s *Server) revoked(r *sealing.Record, marks []told, err error) bool {
	for i, w := range watermarksOf(r) {
		if marks[i].at != 0 {
			s.keyring.marks.adopt(w, marks[i])
		}
		if err == nil {
			s.restore(w, marks[i])
		}
	}
	return s.keyring.marks.covers(r)
}

// refuse returns why a record may not be resumed now.
func (o *offer) refuse(r *sealing.Record) MissReason {
	switch {
	case r.Flags&sealing.FlagBounded != 0 && r.Auth.Since(o.at) >= o.s.cfg.MaxAuthAge:
		return MissAuthAge
	case r.Expires.Since(o.at) >= 0:
		return MissExpired
	case r.Expires.Order == 0 && !o.credible(r):
		return MissExpired
	}
	return 0
}

// credible reports whether the times of a record that was sealed can be true. If not, a clock was
// wrong, and it is not known what it is older than.
func (o *offer) credible(r *sealing.Record) bool {
	left := -r.Expires.Since(o.at)
	return left <= o.s.cfg.TTL+clock.MaxSkew && o.s.keyring.clock.Believes(r.Auth.Wall)
}

// missOf returns the reason that an error stands for.
func missOf(err error) MissReason {
	switch {
	case errors.Is(err, guard.ErrTimeout):
		return MissStoreTimeout
	case errors.Is(err, sealing.ErrUnknownKey):
		return MissUnknownKey
	case errors.Is(err, sealing.ErrForged):
		return MissForged
	case errors.Is(err, sealing.ErrMalformed), errors.Is(err, sealing.ErrVersion):
		return MissMalformed
	case errors.Is(err, session.ErrNotFound):
		return MissGone
	case errors.Is(err, session.ErrTooLarge):
		return MissTooLarge
	}
	return MissStoreError
}
