package tlscache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// RevokePrincipal ends the sessions of a principal, as ServerConfig.Principal names it: the stored ones,
// those being stored, all that descend from them, and tickets that are sealed records. When it returns, this
// process resumes none of them. With a Store that is not Local, no process that shares it does whose
// lookups begin later; one that had read the watermarks from the Store already may. While the
// Server lives, it looks once a minute whether the Store still has the revocation and writes it again.
// Live connections stay open, and tickets of hooks that the configuration had before are not
// known to the Server. First deny the principal a full handshake, then revoke.
//
// Its cost does not depend on how many were revoked before. A process remembers 1<<20 revocations; of
// more within a week, the oldest end all sessions that are as old.
//
// It returns when ctx is done, also if the Store ignores that. An error says that the Store did not take it, as
// far as is known: this process heeds it nevertheless, others once it could be written.
func (s *Server) RevokePrincipal(ctx context.Context, principal string) error {
	if principal == "" {
		return errors.New("tlscache: RevokePrincipal of an empty principal; RevokeAll ends all sessions")
	}
	id := identify(principal)
	return s.revoke(ctx, watermark{sealing.OfPrincipal, string(id[:])})
}

// RevokeServerName ends the sessions that were established under a server name, in the manner of
// RevokePrincipal. It may be spelled as for Client.FlushHost. An empty name stands for clients that sent none.
func (s *Server) RevokeServerName(ctx context.Context, serverName string) error {
	return s.revoke(ctx, watermark{sealing.OfServerName, hostname.Normal(serverName)})
}

// RevokeAll ends all sessions, in the manner of RevokePrincipal.
func (s *Server) RevokeAll(ctx context.Context) error { return s.revoke(ctx, everything) }

// revoke sets a watermark, in the Store under every name that it has or will be looked up by.
func (s *Server) revoke(ctx context.Context, w watermark) error {
	if s.isZero() {
		return errZeroServer
	}
	if s.closed.Load() {
		return errServerClosed
	}
	marks := s.keyring.marks
	marks.raise(w, s.keyring.clock.Stamp())
	set := s.keyring.keys()
	swept, err := s.tell(ctx, w, set)
	if err != nil {
		set = nil
	}
	s.log.say(slog.LevelInfo, "tlscache: sessions were revoked", slog.String("of", w.kind), slog.Bool("reached the Store", err == nil))
	s.keyring.publishers.each(func(other *Server) {
		if other == s {
			s.publish(w, set)
		} else {
			other.publish(w, nil)
		}
	})
	// Once more, and last, for what was being stored while the Store was asked: it is not to resume either.
	marks.raise(w, s.keyring.clock.Stamp(), swept...)
	return err
}

// maxRevoking bounds the revocations under way that wait for a Store, or were given up on and still call it.
const maxRevoking = 256

// tell writes a watermark to the Store and frees the sessions that it covers. It returns when ctx is done, though
// the Store may ignore that.
func (s *Server) tell(ctx context.Context, w watermark, set *sealing.Set) (swept []sealing.Name, err error) {
	if s.local != nil {
		return s.sweep(ctx, w), nil // in memory: it blocks on nothing
	}
	if s.store == nil {
		s.counts.revokedHere.Add(1)
		return nil, nil
	}
	if s.revoking.Add(1) > maxRevoking {
		s.revoking.Add(-1)
		return nil, fmt.Errorf("tlscache: the store has %d revocations to answer; this one was not written", maxRevoking)
	}
	type answer struct {
		swept []sealing.Name
		err   error
	}
	answers := make(chan answer, 1) // a late answer finds a place, so its goroutine ends
	go func() {
		defer s.revoking.Add(-1)
		var a answer
		a.err = s.writeAll(ctx, w, set)
		a.swept = s.sweep(ctx, w)
		answers <- a
	}()
	select {
	case a := <-answers:
		swept, err = a.swept, a.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("tlscache: the store did not take the revocation: %w", err)
	}
	return swept, err
}

// writeAll writes a watermark to the Store under each of its names, where other processes look it up.
func (s *Server) writeAll(ctx context.Context, w watermark, set *sealing.Set) error {
	var errs []error
	for _, under := range set.Namings() {
		// Another process, whose clock is ahead, may have set a higher one. If the Store does not tell, it is written
		// in any case.
		there, err := guard.Do(unhurried, s.guard, guard.MayProbe, func(context.Context) (told, error) { return s.lookupWatermark(ctx, w.name(under.Namer)) })
		t := s.keyring.marks.writeOver(w, there, errors.Is(err, sealing.ErrMalformed))
		errs = append(errs, guard.Protect(func() error { return s.write(ctx, w, under, t, session.MaxTTL) }))
	}
	return errors.Join(errs...)
}

// write writes a watermark to the Store under one name.
func (s *Server) write(ctx context.Context, w watermark, under sealing.Naming, t told, ttl time.Duration) error {
	n := w.name(under.Namer)
	sealed, err := t.seal(under.Keys, n)
	if err != nil {
		return err
	}
	if err := s.store.Update(ctx, watermarkKey(n), sealed, ttl); err != nil {
		return err
	}
	s.keyring.marks.note(w, func(at *markTimes) { at.taken = max(at.taken, t.at) })
	return nil
}

// sweep gives back the memory of revoked sessions at once where the Store can find them. The
// watermark has ended them already, so nothing depends on it. It returns the names by which handles
// know the principal.
func (s *Server) sweep(ctx context.Context, w watermark) (principals []sealing.Name) {
	indexed, ok := s.store.(session.Indexed)
	if !ok {
		return nil
	}
	var partials []string
	for _, k := range s.keyring.keys().All {
		switch n := w.name(k.Namer); w.kind {
		case sealing.OfPrincipal:
			partials = append(partials, string(n[:]))
			principals = append(principals, n)
		case sealing.OfServerName:
			for slice := range anonymousSlices {
				partials = append(partials, anonymousPartial(n.Tag(), byte(slice)))
			}
		}
	}
	for _, p := range partials {
		err := guard.Protect(func() error { _, err := indexed.DeletePartial(ctx, p); return err })
		if err != nil {
			break
		}
	}
	return principals
}
