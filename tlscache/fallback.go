package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"math"

	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// ticketHeader is what precedes the sealed record in a fallback ticket.
const ticketHeader = 1 + sealing.TagSize + sealing.TagSize + sealing.NameSize

// maxTicket bounds fallback tickets. Clients send them in every ClientHello, and Go's refuse
// handshake messages of more than 64 KiB.
const maxTicket = 16 << 10

// sealTicket returns a record as a ticket, for a client to keep.
//
//	format(1) scope(8) server(8) id(16) sealed record
//
// The tags tell a ticket of another scope or server name from a forged one. Both are bound
// to the sealed record as well.
func sealTicketRecord(r *sealing.Record, k *sealing.Keys, scope, server sealing.Tag, id [sealing.NameSize]byte) ([]byte, error) {
	sealed, err := r.Seal(k, id)
	if err != nil {
		return nil, err
	}
	t := make([]byte, 0, ticketHeader+len(sealed))
	t = append(t, sealing.FormatRecord)
	t = append(t, scope[:]...)
	t = append(t, server[:]...)
	t = append(t, id[:]...)
	return append(t, sealed...), nil
}

// fromTicket returns the record that a fallback ticket contains.
func (o *offer) fromTicket(ticket []byte) (*sealing.Record, MissReason) {
	s := o.s
	if len(ticket) < ticketHeader || len(ticket) > maxTicket {
		return nil, MissMalformed
	}
	k, err := s.keyring.keys().SealedUnder(ticket[ticketHeader:])
	if err != nil {
		return nil, missOf(err)
	}
	o.use(k)
	id := [sealing.NameSize]byte(ticket[1+2*sealing.TagSize:])
	switch {
	case s.cfg.SingleUse || s.cfg.NoFallback:
		return nil, MissMalformed
	case o.unstable || sealing.Tag(ticket[1:]) != o.tag(k):
		return nil, MissScope
	case sealing.Tag(ticket[1+sealing.TagSize:]) != o.name.Tag():
		return nil, MissServerName
	}
	r, err := s.keyring.keys().OpenRecord(ticket[ticketHeader:], id, o.scope, o.server)
	if err != nil {
		return nil, missOf(err)
	}
	if reason := o.refuse(r); reason != 0 {
		return nil, reason
	}
	answered, reason := o.vouch(r)
	if reason != 0 {
		return nil, reason
	}
	if !answered {
		o.resumesUnanswered(r)
	}
	if r.Flags&sealing.FlagVouched != 0 || s.store == nil {
		s.counts.foundSealed.Add(1)
	} else {
		s.counts.foundFallback.Add(1)
	}
	o.resumes(r, resumed12{})
	return r, 0
}

// vouch returns why a ticket that is a sealed record may not be resumed: a watermark covers it, or the
// Store may have lost one. A fallback ticket resumes as well where the Store does not answer, since that is the outage
// that it is for. The revocations that this process knows count in any case.
func (o *offer) vouch(r *sealing.Record) (answered bool, _ MissReason) {
	s := o.s
	switch {
	case s.keyring.marks.covers(r):
		return false, MissRevoked
	case s.isAlone() && r.Flags&sealing.FlagVouched != 0:
		return false, MissGone // another Store vouches for it
	case s.isAlone():
		return true, 0
	}
	b := guard.Grant(s.cfg.Budget / 2)
	defer b.End()
	k := s.keyring.find(r.Witness.Secret)
	if k == nil {
		k = o.keys // the ids differ
	}
	before := s.standing()[k.ID]
	asked := guard.Start(b, s.guard, guard.MayProbe, func(ctx context.Context) (witness, error) { return s.lookupWitness(ctx, k) })
	marks, markErr := s.askWatermarks(b, o.marks(o.handleOf(r)))
	seen, err := asked.Wait(b)
	if s.revoked(r, marks, markErr) {
		return false, MissRevoked
	}
	if err = errors.Join(err, markErr); err != nil {
		if r.Flags&sealing.FlagVouched != 0 {
			return false, missOf(err)
		}
		return false, 0
	}
	s.noteWitness(k, before, seen, o.at.Wall)
	if !seen.stands() || seen.id != r.Witness.ID {
		return true, MissGone
	}
	return true, 0
}

// handleOf returns what a handle of the record would say of its principal.
func (o *offer) handleOf(r *sealing.Record) sealing.Handle {
	if r.Principal == (sealing.PrincipalID{}) {
		return sealing.Handle{}
	}
	return sealing.Handle{Flags: sealing.FlagGroup, Group: o.keys.Name(sealing.OfPrincipal, r.Principal[:])}
}

// foreign asks the hook that the Config had before. Never with SingleUse: it may not keep to it.
func (s *Server) foreign(unwrap unwrapFunc, identity []byte, cs tls.ConnectionState) *tls.SessionState {
	if unwrap == nil || s.cfg.SingleUse {
		return nil
	}
	var state *tls.SessionState
	var err error
	if guard.Protect(func() error { state, err = unwrap(identity, cs); return nil }) != nil {
		s.counts.panics.Add(1)
		return nil
	}
	if err != nil {
		return nil
	}
	return state
}

// wrapForeign is the second fallback: a ticket of the hook that the Config had before, or nil.
func (s *Server) wrapForeign(wrap wrapFunc, cs tls.ConnectionState, ss *tls.SessionState) []byte {
	if wrap == nil || s.cfg.SingleUse {
		return nil
	}
	var ticket []byte
	var err error
	if guard.Protect(func() error { ticket, err = wrap(cs, ss); return nil }) != nil {
		s.counts.panics.Add(1)
		return nil
	}
	if err != nil || len(ticket) == 0 || len(ticket) > math.MaxUint16 { // longer ones abort the handshake
		return nil
	}
	s.counts.foreign.Add(1)
	return ticket
}
