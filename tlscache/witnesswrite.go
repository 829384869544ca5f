package tlscache

import (
	"context"
	"sync"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// A witnessWriting is a witness on its way into the Store.
type witnessWriting struct {
	ctx  context.Context // nothing waits for the Store's answer once this is done
	done chan struct{}

	witness // valid once done is closed, like err and givenUp
	err     error
	givenUp bool // the Store had no time left to answer: that says nothing of it
}

func (w *witnessWriting) isDone() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// witnessWritings are those under way, by the ids of their secrets. The zero value is ready; it is safe for
// concurrent use.
type witnessWritings struct {
	mu struct {
		sync.Mutex
		of map[uint32]*witnessWriting
	}
}

// writeWitness writes a witness into the Store, and returns it or the one that another handshake of this process wrote since
// before. If each wrote its own, the last would replace the others, and tickets that name those would not resume.
func (s *Server) writeWitness(ctx context.Context, k *sealing.Keys, before seenWitness, w witness) (witness, error) {
	own := &witnessWriting{ctx: ctx, done: make(chan struct{}), err: guard.ErrPanicked} // unless the Store returns
	for {
		other := s.writings.begin(k, own)
		if other == nil {
			break
		}
		select {
		case <-other.done:
		case <-other.ctx.Done(): // which also comes soon after done
			s.writings.end(k, other)
		case <-ctx.Done():
			return witness{}, ctx.Err()
		}
		if other.isDone() && !other.givenUp {
			return other.witness, other.err
		}
	}
	defer close(own.done)
	defer s.writings.end(k, own)
	if last := s.standing()[k.ID]; last.wroteSince(before) {
		own.witness, own.err = last.witness, nil
		return own.witness, own.err
	}
	n := witnessName(k)
	sealed, err := w.seal(k, n)
	if err == nil {
		err = s.store.Update(ctx, watermarkKey(n), sealed, session.MaxTTL)
	}
	if own.err, own.givenUp = err, err != nil && ctx.Err() != nil; err == nil {
		own.witness = w
		s.see(k, func(seenWitness) seenWitness { return seenWitness{witness: w, at: w.wrote, unread: true} })
	}
	return own.witness, own.err
}

// begin returns the writing under way under a secret, or nil: it is the caller's own from now on.
func (ws *witnessWritings) begin(k *sealing.Keys, own *witnessWriting) (other *witnessWriting) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if other = ws.mu.of[k.ID]; other != nil {
		return other
	}
	if ws.mu.of == nil {
		ws.mu.of = make(map[uint32]*witnessWriting)
	}
	ws.mu.of[k.ID] = own
	return nil
}

// end lets others write.
func (ws *witnessWritings) end(k *sealing.Keys, w *witnessWriting) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.mu.of[k.ID] == w {
		delete(ws.mu.of, k.ID)
	}
}
