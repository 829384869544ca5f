package tlscache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// The kinds of names that watermarks have.
const (
	ofPrincipal  = "principal"
	ofServerName = "server name"
	ofEverything = "everything"
)

// watermarkPartial is the partial key of watermarks in a Store.
const watermarkPartial = "revoked"

// A watermark revokes whatever was authenticated at or before its time. So it ends stored sessions,
// those being stored, and all that descend from them, without knowing a single one.
type watermark struct {
	kind  string
	thing []byte
}

func (w watermark) name(k *keys) name { return k.name(w.kind, w.thing) }

// watermarks are the revocations that this process knows. The zero value is ready; it is safe
// for concurrent use.
type watermarks struct {
	some      atomic.Bool // whether any was ever set: until then nobody computes a name
	notBefore sync.Map    // name -> int64
}

// raise sets a watermark unless it stands higher already.
func (w *watermarks) raise(n name, to int64) {
	w.some.Store(true)
	for {
		old, loaded := w.notBefore.LoadOrStore(n, to)
		if !loaded || old.(int64) >= to || w.notBefore.CompareAndSwap(n, old, to) {
			return
		}
	}
}

// revoked reports whether a watermark covers what was authenticated at a time.
func (w *watermarks) revoked(n name, auth int64) bool {
	mark, ok := w.notBefore.Load(n)
	return ok && auth <= mark.(int64)
}

// prune forgets watermarks older than any session can be.
func (w *watermarks) prune(now int64) {
	w.notBefore.Range(func(n, mark any) bool {
		if mark.(int64) < now-int64(session.MaxTTL) {
			w.notBefore.CompareAndDelete(n, mark)
		}
		return true
	})
}

// RevokePrincipal ends the sessions of a principal, as ServerConfig.Principal names it: the stored ones,
// those being stored, whatever descends from them, and fallback tickets. When it returns, this
// process resumes none of them; with a Store that is not Local, no process that shares it does.
// Live connections stay open, and tickets of hooks that the configuration had before are not
// known to the Server. First deny the principal a full handshake, then revoke.
//
// An error says that the Store did not take it: this process heeds it nevertheless, others do not.
func (s *Server) RevokePrincipal(ctx context.Context, principal string) error {
	if principal == "" {
		return errors.New("tlscache: RevokePrincipal of an empty principal; RevokeAll ends all sessions")
	}
	id := identify(principal)
	return s.revoke(ctx, watermark{ofPrincipal, id[:]})
}

// RevokeServerName ends the sessions that were established under a server name, in the manner of
// RevokePrincipal. An empty name stands for clients that sent none.
func (s *Server) RevokeServerName(ctx context.Context, serverName string) error {
	return s.revoke(ctx, watermark{ofServerName, []byte(normalName(serverName))})
}

// RevokeAll ends all sessions, in the manner of RevokePrincipal.
func (s *Server) RevokeAll(ctx context.Context) error {
	return s.revoke(ctx, watermark{ofEverything, nil})
}

// revoke sets a watermark under every secret of the keyring, for sessions have names under theirs.
func (s *Server) revoke(ctx context.Context, w watermark) error {
	if s.isZero() {
		return errZeroServer
	}
	if s.closed.Load() {
		return errServerClosed
	}
	begin := s.keyring.clock.stamp()
	s.keyring.marks.prune(begin)
	var errs []error
	ring := s.keyring.set.Load().all
	for _, k := range ring {
		n := w.name(k)
		s.keyring.marks.raise(n, begin)
		if s.local == nil {
			errs = append(errs, s.publish(ctx, k, n, begin))
		}
	}
	s.sweep(ctx, w, ring)
	// Once more, for what was being stored while the Store was asked: it is not to resume either.
	end := s.keyring.clock.stamp()
	for _, k := range ring {
		s.keyring.marks.raise(w.name(k), end)
	}
	return errors.Join(errs...)
}

// publish writes a watermark to the Store, where other processes look it up.
func (s *Server) publish(ctx context.Context, k *keys, n name, at int64) error {
	sealed, err := k.sealAs(sealWatermark, n[:], nil, binary.BigEndian.AppendUint64(nil, uint64(at)))
	if err == nil {
		err = protected(func() error {
			return s.store.Update(ctx, watermarkKey(n), sealed, session.MaxTTL)
		})
	}
	if err != nil {
		return fmt.Errorf("tlscache: the store did not take the revocation: %w", err)
	}
	return nil
}

// sweep gives back the memory of revoked sessions at once where the Store can find them. The
// watermark has ended them already, so nothing depends on it.
func (s *Server) sweep(ctx context.Context, w watermark, ring []*keys) {
	indexed, ok := s.store.(session.Indexed)
	if !ok {
		return
	}
	var partials []string
	for _, k := range ring {
		switch n := w.name(k); w.kind {
		case ofPrincipal:
			partials = append(partials, string(n[:]))
		case ofServerName:
			for slice := range anonymousSlices {
				partials = append(partials, anonymousPartial(n.tag(), byte(slice)))
			}
		}
	}
	for _, p := range partials {
		err := protected(func() error { _, err := indexed.DeletePartial(ctx, p); return err })
		if err != nil {
			return
		}
	}
}

func watermarkKey(n name) session.Key {
	return session.Key{Partial: watermarkPartial, ID: string(n[:])}
}

// lookupWatermark returns the time of a watermark in the Store, 0 if there is none. One that cannot
// be read is an error, and what it might cover a miss.
func (s *Server) lookupWatermark(ctx context.Context, n name) (int64, error) {
	sealed, err := s.store.Lookup(ctx, watermarkKey(n))
	if errors.Is(err, session.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	b, err := s.keyring.openAs(sealWatermark, n[:], nil, sealed)
	if err != nil || len(b) != 8 {
		return 0, errors.Join(errMalformed, err)
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// A clock gives authentication times and those of revocations: the wall clock, because processes
// compare them, but never the same time twice and never an earlier one, so that within a
// process what comes later is later. The zero value is ready.
type clock struct{ last atomic.Int64 }

func (c *clock) stamp() int64 {
	for {
		last := c.last.Load()
		now := max(time.Now().UnixNano(), last+1)
		if c.last.CompareAndSwap(last, now) {
			return now
		}
	}
}
