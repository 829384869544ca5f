package tlscache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// anonymousSlices is into how many partial keys the sessions of one server name are spread that have
// no principal: all in one would make their writers wait for one lock.
const anonymousSlices = 16

// wrap is the WrapSession of a connection: it stores a session and returns its handle as the ticket. It
// never returns an error, which would abort the handshake, nor an empty ticket, which TLS 1.3
// clients do not forgive: a session that is not to be resumed gets a dead handle. crypto/tls
// calls it before a TLS 1.3 client without certificate has proved anything.
func (c *connection) wrap(cs tls.ConnectionState, ss *tls.SessionState) (ticket []byte, _ error) {
	if ss == &question.state {
		return nil, c.layer
	}
	s := c.s
	s.counts.handshake(cs.DidResume)
	defer func() {
		if recover() != nil { // a Local Store's
			s.counts.panics.Add(1)
			ticket = s.dead(MissStoreError)
		}
	}()
	if s.closed.Load() {
		return s.second(c.before.wrap, cs, ss, MissGone), nil
	}
	if c.unstable {
		s.counts.unstable.Add(1)
		return s.second(c.before.wrap, cs, ss, MissScope), nil
	}
	i := issue{connection: c, cs: cs, ss: ss, now: time.Now(), at: s.keyring.clock.Read(), server: hostname.Normal(cs.ServerName)}
	return i.ticket(), nil
}

// second returns the second fallback's ticket, or a dead handle.
func (s *Server) second(wrap wrapFunc, cs tls.ConnectionState, ss *tls.SessionState, reason MissReason) []byte {
	if t := s.wrapForeign(wrap, cs, ss); t != nil {
		return t
	}
	return s.dead(reason)
}

// dead returns a handle that leads nowhere, and says why when it is offered.
func (s *Server) dead(reason MissReason) []byte {
	s.counts.dead.Add(1)
	h := sealing.Handle{Flags: sealing.FlagDead, Expires: uint32(time.Now().Add(session.MaxTTL).Unix())}
	h.ID[0] = byte(reason)
	return h.Seal(s.keyring.active())
}

func deadReason(h sealing.Handle) MissReason {
	if r := MissReason(h.ID[0]); r > 0 && int(r) < missReasons {
		return r
	}
	return MissGone // a newer version's
}

// An issue is a session about to get its ticket.
type issue struct {
	*connection
	cs        tls.ConnectionState
	ss        *tls.SessionState
	now       time.Time
	at        clock.Stamp // the same
	server    string      // hostname.Normal
	principal sealing.PrincipalID
	lineage   [sha256.Size]byte // TLS 1.2
}

func (i *issue) tls13() bool { return i.cs.Version >= tls.VersionTLS13 }

// ticket returns the ticket: of the session that is stored now, or of the TLS 1.2 session that this
// connection resumed.
func (i *issue) ticket() []byte {
	s := i.s
	var known bool
	if i.principal, known = s.principal(i.cs); !known {
		return s.dead(MissAuthAge) // no revocation would reach it
	}
	if i.cs.DidResume && !i.tls13() {
		return i.again()
	}
	if !i.tls13() && !i.readLineage() {
		return i.second(MissMalformed)
	}
	auth, ok := i.authenticated()
	if !ok {
		return s.dead(MissAuthAge)
	}
	return i.store(auth, i.at.Plus(s.cfg.TTL))
}

// second returns the second fallback's ticket, or a dead handle.
func (i *issue) second(reason MissReason) []byte {
	return i.s.second(i.before.wrap, i.cs, i.ss, reason)
}

// readLineage sets the lineage of a TLS 1.2 session, if its encoding is what we know.
func (i *issue) readLineage() bool {
	l := sealing.Lineage(i.ss)
	i.lineage = sha256.Sum256(l)
	return l != nil
}

// authenticated returns when the client proved who it is; not ok if that is not known.
func (i *issue) authenticated() (auth clock.Stamp, ok bool) {
	if !i.cs.DidResume {
		return i.begun, true
	}
	f := i.resumed()
	return f.inherits(i.principal, i.bounded())
}

// again returns the ticket of a TLS 1.2 session that was resumed: crypto/tls issues one on each
// resumption, and a thousand of them are one session.
func (i *issue) again() []byte {
	s, f := i.s, i.resumed()
	auth, ok := f.inherits(i.principal, i.bounded())
	if !ok || f.ours+f.foreign > 1 { // a ClientHello has one ticket: the Config serves several connections
		return s.dead(MissAuthAge)
	}
	if f.foreign > 0 {
		if !i.readLineage() {
			return i.second(MissMalformed)
		}
		return i.store(auth, i.at.Plus(s.cfg.TTL))
	}
	r := f.tls12
	// Under a secret that is being rotated out it is stored once more, to outlive the secret.
	if r.stored && r.keys == s.keyring.active() && !s.cfg.Stateless {
		s.attestSometimes(r.keys, i.at.Wall)
		s.counts.reissued.Add(1)
		return r.handle.Seal(r.keys)
	}
	i.lineage = r.lineage
	return i.store(auth, r.expires)
}

// bounded reports whether MaxAuthAge bounds this client's resumptions.
func (i *issue) bounded() bool {
	return len(i.cs.PeerCertificates) > 0 || i.principal != (sealing.PrincipalID{})
}

// store stores the session and returns its handle, or what there is in its place.
func (i *issue) store(auth, expires clock.Stamp) []byte {
	s := i.s
	k := s.keyring.active()
	if i.ring.Find(k.ID) != k {
		// A revocation since this connection began may have been written under the secrets of that
		// time alone. Who gives all processes a secret before it is made active loses nothing.
		return s.dead(MissUnknownKey)
	}
	s.sealsUnder(k)
	live := &liveRecord{keyring: s.keyring}
	r := &live.Record
	h := i.describe(r, k, auth, expires)
	ttl := -r.Expires.Since(i.at)
	if ttl <= 0 {
		if h.Flags&sealing.FlagAge != 0 {
			return s.dead(MissAuthAge)
		}
		return s.dead(MissExpired)
	}
	var answered bool
	if r.Witness, answered = i.witness(k); !answered {
		return i.fallback(k, h, r, MissStoreError)
	}
	if s.cfg.Stateless {
		return i.stateless(k, h, r)
	}
	confirmed := i.confirmed()
	if s.local == nil && !confirmed {
		if t := i.withoutPlace(k, h, r); t != nil {
			return t
		}
	}
	if err := s.put(k, h, live, confirmed, ttl); err != nil {
		return i.fallback(k, h, r, missOf(err))
	}
	s.counts.stored.Add(1)
	return h.Seal(k)
}

// describe fills in the record of the session, but for the witness, and returns a handle of it.
func (i *issue) describe(r *sealing.Record, k *sealing.Keys, auth, expires clock.Stamp) sealing.Handle {
	s := i.s
	*r = sealing.Record{Auth: auth, Expires: expires, Principal: i.principal, Scope: i.scope, Server: i.server, Lineage: i.lineage}
	h := sealing.Handle{Scope: i.tag(k), Server: s.serverName(k, i.server).Tag(), ID: i.newID(k)}
	r.ID = h.ID
	i.issues(r.ID)
	if i.tls13() {
		r.Flags |= sealing.FlagTLS13
	}
	if i.bounded() {
		r.Flags |= sealing.FlagBounded
		if until := auth.Plus(s.cfg.MaxAuthAge); until.Since(expires) > 0 {
			r.Expires, h.Flags = expires.Earlier(until), sealing.FlagAge
		}
	}
	r.State = tlsstate.Own(i.ss)
	if s.cfg.NoEarlyData || s.cfg.Stateless { // nothing would notice a replay
		r.State.EarlyData = false
	}
	if s.cfg.SingleUse || r.State.EarlyData {
		r.Flags |= sealing.FlagSingle
	}
	if i.principal != (sealing.PrincipalID{}) {
		h.Flags |= sealing.FlagGroup
		h.Group = k.Name(sealing.OfPrincipal, i.principal[:])
	}
	h.Flags |= r.Flags & (sealing.FlagTLS13 | sealing.FlagSingle)
	h.Expires = uint32((r.Expires.Wall + int64(time.Second) - 1) / int64(time.Second))
	return h
}

// sealsUnder says so where another secret seals than before.
func (s *Server) sealsUnder(k *sealing.Keys) {
	if s.sealsBy.Load() == k {
		return
	}
	if last := s.sealsBy.Swap(k); last != nil && last.ID != k.ID {
		s.log.say(slog.LevelInfo, "tlscache: another secret seals sessions", slog.Uint64("secret", uint64(k.ID)))
	}
}

// witness returns the witness that a session under a secret names. Not answered: the Store did not say that
// the session which is resumed is not revoked. So what succeeds it is a sealed record again, which the Store has to
// answer for, and lies in no Store where none asks.
func (i *issue) witness(k *sealing.Keys) (stood sealing.WitnessRef, answered bool) {
	if f := i.resumed(); i.cs.DidResume && f.unanswered {
		return f.witness, false
	}
	return i.stood.under(k, i.ring), true
}

// newID returns the id of a session to be stored. A TLS 1.2 session has one for life, so that it is
// one session in the Store however often it is stored, but with SingleUse: there a handle that
// was used must not come to life again.
func (i *issue) newID(k *sealing.Keys) (id [sealing.NameSize]byte) {
	if !i.tls13() && !i.s.cfg.SingleUse {
		return k.Name("lineage", i.lineage[:])
	}
	rand.Read(id[:]) // never fails
	return id
}

// put stores a record.
func (s *Server) put(k *sealing.Keys, h sealing.Handle, r *liveRecord, confirmed bool, ttl time.Duration) error {
	key := s.storeKey(h, k)
	if s.local != nil {
		return s.local.UpdateLocal(key, r.localItem(confirmed), ttl)
	}
	sealed, err := r.Seal(k, h.ID)
	if err != nil {
		return err
	}
	b := guard.Grant(s.cfg.Budget / 2)
	defer b.End()
	stored := guard.Start(b, s.guard, guard.MayProbe, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.store.Update(ctx, key, sealed, ttl)
	})
	if confirmed {
		s.attestSometimes(k, s.keyring.clock.Read().Wall)
	} else if oldest, full := s.places.add(key, s.cfg.MaxUnconfirmed); full {
		_, _ = guard.Start(b, s.guard, guard.NoProbe, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.store.Delete(ctx, oldest)
		}).Wait(b)
	}
	_, err = stored.Wait(b)
	return err
}

// fallback returns a ticket for a session that the Store did not take.
func (i *issue) fallback(k *sealing.Keys, h sealing.Handle, r *sealing.Record, reason MissReason) []byte {
	s := i.s
	if reason == MissTooLarge {
		s.counts.tooLarge.Add(1)
	}
	if s.cfg.NoFallback || s.cfg.SingleUse {
		return i.second(reason)
	}
	r.Flags &^= sealing.FlagSingle
	r.State.EarlyData = false // a replay would go unnoticed
	t, err := sealTicketRecord(r, k, h.Scope, h.Server, h.ID)
	if err != nil || len(t) > maxTicket {
		return i.second(reason)
	}
	s.counts.fallback.Add(1)
	return t
}

// storeKey returns the key of a handle's session. The partial key is its principal or, without one,
// a slice of those of its server name. Where the Store is not this process's memory, the id is
// an HMAC: who reads the Store learns no handle.
func (s *Server) storeKey(h sealing.Handle, k *sealing.Keys) session.Key {
	key := session.Key{Partial: anonymousPartial(h.Server, h.ID[0]%anonymousSlices), ID: string(h.ID[:])}
	if h.Flags&sealing.FlagGroup != 0 {
		key.Partial = string(h.Group[:])
	}
	if s.local == nil {
		n := k.Name("handle", h.ID[:])
		key.ID = string(n[:])
	}
	return key
}

func anonymousPartial(server sealing.Tag, slice byte) string {
	return string(append(server[:], slice))
}
