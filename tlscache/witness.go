package tlscache

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"maps"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// A witness is a note in a Store, one for each secret, that shows that the Store has lost nothing since the note was
// first written. Sealed records outlive what a Store forgets, because clients keep them. So each names the witness
// that stood when its client last proved who it is, and resumes only while that one stands: a Store that was
// emptied since, or cuts lives short, has lost that too, and perhaps a watermark. The witness
// that is written next has another id. No clock has a say in it.
type witness struct {
	id    sealing.WitnessID
	wrote int64 // when it was last written, by the wall
}

const (
	// witnessAge is how old a witness gets before it is written again, with the same id. So a Store that
	// cuts lives to less shows it, one that cuts them to more does not.
	witnessAge = session.MaxTTL / 2

	// witnessEvery is how often a process that issues handles alone looks for the witness.
	witnessEvery = 5 * time.Minute
)

func newWitness() (w witness) {
	rand.Read(w.id[:]) // never fails
	return w
}

func (w witness) stands() bool { return w.id != sealing.WitnessID{} }

// isDue reports whether a witness is to be written again. One from the future was stamped by a wrong clock.
func (w witness) isDue(now int64) bool {
	return now-w.wrote >= int64(witnessAge) || w.wrote > now+int64(clock.MaxSkew)
}

func witnessName(k *sealing.Keys) sealing.Name { return k.Name(sealing.KindWitness) }

// seal returns a witness as a Store keeps it, bound to its name.
//
//	sealed{id(8) wrote(8)}
func (w witness) seal(k *sealing.Keys, n sealing.Name) ([]byte, error) {
	return k.Seal(sealing.KindWitness, n[:], nil, binary.BigEndian.AppendUint64(w.id[:], uint64(w.wrote)))
}

func openWitness(set *sealing.Set, sealed []byte, n sealing.Name) (w witness, ok bool) {
	b, err := set.Open(sealing.KindWitness, n[:], nil, sealed)
	if err != nil || len(b) != 16 {
		return witness{}, false
	}
	return witness{sealing.WitnessID(b), int64(binary.BigEndian.Uint64(b[8:]))}, true
}

// lookupWitness returns the witness in the Store. One that cannot be read is none.
func (s *Server) lookupWitness(ctx context.Context, k *sealing.Keys) (witness, error) {
	n := witnessName(k)
	sealed, err := s.store.Lookup(ctx, watermarkKey(n))
	if errors.Is(err, session.ErrNotFound) {
		return witness{}, nil
	}
	if err != nil {
		return witness{}, err
	}
	w, _ := openWitness(s.keyring.keys(), sealed, n)
	return w, nil
}

// askWitness is lookupWitness within a budget.
func (s *Server) askWitness(b *guard.Budget, k *sealing.Keys) (witness, error) {
	return guard.Start(b, s.guard, guard.MayProbe, func(ctx context.Context) (witness, error) { return s.lookupWitness(ctx, k) }).Wait(b)
}

// attest sees to it that there is a witness in the Store at now, and returns it. An error says that the
// Store did not answer.
func (s *Server) attest(b *guard.Budget, k *sealing.Keys, now int64) (sealing.WitnessRef, error) {
	before := s.standing()[k.ID]
	w, err := s.askWitness(b, k)
	if err != nil {
		return sealing.WitnessRef{}, err
	}
	s.noteWitness(k, before, w, now)
	switch {
	case !w.stands():
		w = newWitness()
	case !w.isDue(now):
		return sealing.WitnessRef{Secret: k.ID, ID: w.id}, nil
	}
	w.wrote = now
	written, err := guard.Start(b, s.guard, guard.NoProbe, func(ctx context.Context) (witness, error) {
		return s.writeWitness(ctx, k, before, w)
	}).Wait(b)
	return sealing.WitnessRef{Secret: k.ID, ID: written.id}, err
}

// sameWitness returns a witness that stands now in place of one that stood before under another secret, if that stands still:
// secrets rotate, and the former is dropped some day.
func (s *Server) sameWitness(b *guard.Budget, before, now sealing.WitnessRef) (sealing.WitnessRef, error) {
	k := s.keyring.find(before.Secret)
	if before.ID == (sealing.WitnessID{}) || k == nil {
		return now, nil // this process has just begun, or has dropped that secret
	}
	if w, err := s.askWitness(b, k); err != nil || w.id != before.ID {
		return before, err
	}
	return now, nil
}

// seenWitnesses are the witnesses that a process saw last, by the ids of their secrets. Immutable.
type seenWitnesses map[uint32]seenWitness

type seenWitness struct {
	witness
	at     int64 // when it was looked for
	unread bool  // written by this process; another may have written its own at the same time
}

// wroteSince reports whether this process wrote another witness since it saw one.
func (w seenWitness) wroteSince(before seenWitness) bool { return w.unread && w.id != before.id }

// under returns the witness that stood under a secret or, if none was seen there, under another of a set.
func (seen seenWitnesses) under(k *sealing.Keys, set *sealing.Set) sealing.WitnessRef {
	if w := seen[k.ID]; w.stands() {
		return sealing.WitnessRef{Secret: k.ID, ID: w.id}
	}
	for secret, w := range seen {
		if w.stands() && set.Find(secret) != nil {
			return sealing.WitnessRef{Secret: secret, ID: w.id}
		}
	}
	return sealing.WitnessRef{}
}

func (s *Server) standing() seenWitnesses {
	if seen := s.seen.Load(); seen != nil {
		return *seen
	}
	return nil
}

// see changes what is known of the witness under a secret, and returns what was known before. It forgets those of
// secrets that were dropped.
func (s *Server) see(k *sealing.Keys, f func(seenWitness) seenWitness) (before seenWitness) {
	for {
		last := s.seen.Load()
		next := seenWitnesses{}
		if last != nil {
			next = maps.Clone(*last)
			maps.DeleteFunc(next, func(secret uint32, _ seenWitness) bool { return s.keyring.find(secret) == nil })
		}
		before = next[k.ID]
		if next[k.ID] = f(before); next[k.ID] == before || s.seen.CompareAndSwap(last, &next) {
			return before
		}
	}
}

// noteWitness notes what the Store had, and counts it if that shows a loss. Asked is what was known when the Store was
// asked: its answer says nothing of what this process wrote meanwhile.
func (s *Server) noteWitness(k *sealing.Keys, asked seenWitness, w witness, now int64) {
	before := s.see(k, func(last seenWitness) seenWitness {
		next := seenWitness{witness: w, at: now}
		switch {
		case !w.stands() && last.wroteSince(asked):
			return last
		case !w.stands():
			next.at = 0 // write it on the next occasion
		case w == last.witness && !last.unread && now >= last.at && now-last.at < int64(witnessEvery)/5:
			return last
		}
		return next
	})
	if !w.stands() && before.wroteSince(asked) {
		return
	}
	known := before.stands() && now-before.wrote < int64(session.MaxTTL)
	if known && w.id != before.id && !(before.unread && w.stands()) {
		s.lose()
	}
}

// attestSometimes is attest where no handshake needs the answer: on one that gets a handle. Were there no
// witness by the time the Store fails, the fallback tickets of then would not resume afterwards.
func (s *Server) attestSometimes(k *sealing.Keys, now int64) {
	if s.isAlone() || s.cfg.SingleUse || s.cfg.NoFallback {
		return // no sealed records, or no Store to vouch for them
	}
	due := func(last seenWitness) bool {
		return last.at == 0 || now < last.at || now-last.at >= int64(witnessEvery)
	}
	if !due(s.standing()[k.ID]) {
		return
	}
	before := s.see(k, func(last seenWitness) seenWitness {
		if due(last) {
			last.at = now
		}
		return last
	})
	if !due(before) {
		return // another does
	}
	s.attesting.Go(func() {
		b := guard.Grant(unhurried)
		defer b.End()
		_, _ = s.attest(b, k, now)
	})
}

// unhurried is how long calls of a Store may take that no handshake waits for.
const unhurried = time.Second
