package tlscache

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
)

// A witness is a note in a Store, one for each secret, that says since when the Store has lost nothing that
// a process wrote to it. Sealed records outlive what a Store forgets, because clients keep them. So
// one resumes only if a witness from before its time still stands: a Store that was emptied since, or
// cuts lives short, has lost that too, and perhaps a watermark.
type witness struct {
	since int64 // by the wall; 0: there is none
	wrote int64 // when it was last written
}

const (
	// witnessAge is how old a witness gets before it is written again, with the same since. So a Store that
	// cuts lives to less shows it, one that cuts them to more does not.
	witnessAge = session.MaxTTL / 2

	// witnessEvery is how often a process that issues handles alone looks for the witness.
	witnessEvery = maxSkew
)

// covers reports whether a Store with this witness has whatever was written since the time issued.
// A witness may be younger by as much as clocks may differ.
func (w witness) covers(issued int64) bool { return w.since != 0 && w.since <= issued+int64(maxSkew) }

func witnessName(k *keys) name { return k.name(sealWitness) }

// seal returns a witness as a Store keeps it, bound to its name.
//
//	sealed{since(8) wrote(8)}
func (w witness) seal(k *keys, n name) ([]byte, error) {
	b := binary.BigEndian.AppendUint64(nil, uint64(w.since))
	return k.sealAs(sealWitness, n[:], nil, binary.BigEndian.AppendUint64(b, uint64(w.wrote)))
}

func (k *Keyring) openWitness(sealed []byte, n name) (w witness, ok bool) {
	b, err := k.openAs(sealWitness, n[:], nil, sealed)
	if err != nil || len(b) != 16 {
		return witness{}, false
	}
	return witness{int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))}, true
}

// lookupWitness returns the witness in the Store. One that cannot be read is none.
func (s *Server) lookupWitness(ctx context.Context, k *keys) (witness, error) {
	n := witnessName(k)
	sealed, err := s.store.Lookup(ctx, watermarkKey(n))
	if errors.Is(err, session.ErrNotFound) {
		return witness{}, nil
	}
	if err != nil {
		return witness{}, err
	}
	w, _ := s.keyring.openWitness(sealed, n)
	return w, nil
}

// attest sees to it that there is a witness in the Store at now, and returns an error if it did not answer.
func (s *Server) attest(b *guard.Budget, k *keys, now int64) error {
	w, err := guard.Start(b, s.guard, guard.MayProbe, func(ctx context.Context) (witness, error) { return s.lookupWitness(ctx, k) }).Wait(b)
	if err != nil {
		return err
	}
	s.noteWitness(k, w, now)
	switch {
	case w.since == 0 || w.since > now+int64(maxSkew): // a clock was wrong there
		w = witness{since: now, wrote: now}
	case now-w.wrote >= int64(witnessAge):
		w.wrote = now
	default:
		return nil
	}
	n := witnessName(k)
	sealed, err := w.seal(k, n)
	if err != nil {
		return err
	}
	_, err = guard.Start(b, s.guard, guard.NoProbe, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.store.Update(ctx, watermarkKey(n), sealed, session.MaxTTL)
	}).Wait(b)
	if err == nil {
		s.seen.Store(&seenWitness{k.id, w, now})
	}
	return err
}

// A seenWitness is what a process saw of a witness last.
type seenWitness struct {
	key uint32
	witness
	at int64
}

// noteWitness notes what the Store had, and counts it if that shows a loss.
func (s *Server) noteWitness(k *keys, w witness, now int64) {
	last, next := s.seen.Load(), &seenWitness{k.id, w, now}
	if w.since == 0 {
		next.at = 0 // write it on the next occasion
	}
	known := last != nil && last.key == k.id && last.since != 0 && now-last.wrote < int64(session.MaxTTL)
	lost := known && (w.since == 0 || w.since > last.since+int64(maxSkew)) // others write at the same time
	if s.seen.CompareAndSwap(last, next) && lost {
		s.counts.lost.Add(1)
	}
}

// attestSometimes is attest where no handshake needs the answer: on one that gets a handle. Were there no
// witness by the time the Store fails, the fallback tickets of then would not resume afterwards.
func (s *Server) attestSometimes(k *keys, now int64) {
	if s.local != nil || s.cfg.SingleUse || s.cfg.NoFallback {
		return // no sealed records, or no Store to vouch for them
	}
	last := s.seen.Load()
	known := last != nil && last.key == k.id
	if known && now >= last.at && now-last.at < int64(witnessEvery) {
		return
	}
	next := &seenWitness{key: k.id, at: now}
	if known {
		next.witness = last.witness
	}
	if !s.seen.CompareAndSwap(last, next) || !known {
		return // another does, or the process has just begun
	}
	go func() {
		b := guard.Grant(unhurried)
		defer b.End()
		_ = s.attest(b, k, now)
	}()
}

// unhurried is how long calls of a Store may take that no handshake waits for.
const unhurried = time.Second
