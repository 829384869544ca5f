package tlscache

import (
	"github.com/sessioncache/sessioncache/internal/faults"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// addStatelessFaults adds what a Server that stores no session cannot do.
func (cfg ServerConfig) addStatelessFaults(wrong *faults.List) {
	if !cfg.Stateless {
		return
	}
	if cfg.SingleUse {
		wrong.Add("SingleUse is set with Stateless, whose tickets are copies of sessions that clients can use again; want one of the two")
	}
	if cfg.NoFallback {
		wrong.Add("NoFallback is set with Stateless, whose tickets are all sealed records; want one of the two")
	}
	if cfg.MaxUnconfirmed > 0 {
		wrong.Add("MaxUnconfirmed is %d with Stateless, which stores no sessions; want 0", cfg.MaxUnconfirmed)
	}
	if _, local := cfg.Store.(session.Local); local {
		wrong.Add("Store is session.Local with Stateless, which keeps there what it knows itself; want one that other processes share, or none")
	}
}

// stateless returns the ticket of a session that is stored nowhere: the sealed record. With a Store, that has to
// answer for it, as for that of a client which takes no place there; without one, this process's revocations count.
func (i *issue) stateless(k *sealing.Keys, h sealing.Handle, r *sealing.Record) []byte {
	s := i.s
	if s.store != nil {
		if t := i.withoutPlace(k, h, r); t != nil {
			return t
		}
	} else if t, err := sealTicketRecord(r, k, h.Scope, h.Server, h.ID); err == nil && len(t) <= maxTicket {
		s.counts.sealed.Add(1)
		return t
	}
	s.counts.tooLarge.Add(1)
	return i.second(MissTooLarge)
}

// isAlone reports whether no Store elsewhere is asked for what revokes sessions: they are in this process, or there is none.
func (s *Server) isAlone() bool { return s.local != nil || s.store == nil }
