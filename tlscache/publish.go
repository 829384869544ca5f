package tlscache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

const (
	// lookAgain is how long after it was written a watermark is looked for in the Store and written again. A
	// Store that cuts lives shorter than that is found out, and has lost it for a while.
	lookAgain = time.Minute

	// publishPause is between two passes where more is due than one may do, publishCalls names, and longPause
	// where the Store fails.
	publishPause = time.Second
	publishCalls = 256
	longPause    = 10 * time.Second
)

// A publisher keeps the watermarks of this process in a Store that is not Local, for as long as they matter: it
// writes them again before they expire, after the Store lost them or did not take them, and under
// secrets that came later. It sleeps while there are none. The zero value is ready; it is safe for
// concurrent use.
type publisher struct {
	mu struct {
		sync.Mutex
		urgent  []*publication             // the Store may not have them
		queue   []*publication             // the one that was written the longest ago first
		of      map[watermark]*publication // of those queued twice, the one that counts
		timer   *time.Timer
		passing bool
		again   bool // something was added since the pass began
		closed  bool
	}
}

// A publication is a watermark that a publisher keeps in its Store. Only a pass changes it.
type publication struct {
	watermark
	at  int64        // when it was written last, by the clock's order
	set *sealing.Set // under whose names; nil: the Store may not have it

	restored bool // the Store had it, and did not tell of it
}

// publish adds a watermark, which has been written under the names of a set; nil: it has not.
func (s *Server) publish(w watermark, set *sealing.Set) { s.add(&publication{watermark: w, set: set}) }

// restore writes a watermark again if this process knows it, or a higher one than a Store told: the Store has lost
// it, and the process that set it may be gone.
func (s *Server) restore(w watermark, there told) {
	if !s.keyring.marks.isIn(w, there) {
		s.add(&publication{watermark: w, restored: true})
	}
}

func (s *Server) add(added *publication) {
	p := &s.publisher
	w, set := added.watermark, added.set
	added.at = s.keyring.clock.Read().Order
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.of == nil {
		p.mu.of = make(map[watermark]*publication)
	}
	known, ok := p.mu.of[w]
	if ok && (set != nil || known.set == nil) {
		return // it is looked for in its turn
	}
	p.mu.of[w] = added
	p.queueLocked(added)
	if len(p.mu.queue) > s.keyring.marks.limit { // that many are not known in this process either
		p.forgetLocked(p.mu.queue[0])
		p.mu.queue = p.mu.queue[1:]
	}
	s.wakeLocked(set == nil)
}

func (p *publisher) queueLocked(pub *publication) {
	switch {
	case p.mu.of[pub.watermark] != pub: // another counts
	case pub.set == nil:
		p.mu.urgent = append(p.mu.urgent, pub)
	default:
		p.mu.queue = append(p.mu.queue, pub)
	}
}

func (p *publisher) forgetLocked(pub *publication) {
	if p.mu.of[pub.watermark] == pub {
		delete(p.mu.of, pub.watermark)
	}
}

// secretsChanged lets the watermarks be written under the names of secrets that are new.
func (s *Server) secretsChanged() {
	s.publisher.mu.Lock()
	defer s.publisher.mu.Unlock()
	if len(s.publisher.mu.of) > 0 {
		s.wakeLocked(true)
	}
}

// wakeLocked sees to it that a pass comes, at once or when the first publication is due.
func (s *Server) wakeLocked(atOnce bool) {
	p := &s.publisher
	switch {
	case p.mu.closed:
	case p.mu.passing:
		p.mu.again = p.mu.again || atOnce
	case p.mu.timer == nil:
		itself := weak.Make(s) // a Server that is garbage publishes nothing
		p.mu.timer = time.AfterFunc(map[bool]time.Duration{false: lookAgain}[atOnce], func() {
			if s := itself.Value(); s != nil {
				s.pass()
			}
		})
	case atOnce:
		p.mu.timer.Reset(0)
	}
}

// pass looks for the watermarks that are due, up to a bound, and sets the timer for the next pass.
func (s *Server) pass() {
	p := &s.publisher
	p.mu.Lock()
	if p.mu.closed || p.mu.passing {
		p.mu.Unlock()
		return
	}
	p.mu.passing, p.mu.again = true, false
	p.mu.Unlock()

	failed := false
	set := s.keyring.keys()
	names := set.Namings()
	for calls := 0; calls < publishCalls && !failed; calls += len(names) {
		pub := p.due(s.keyring.clock.Read().Order, set)
		if pub == nil {
			break
		}
		left := s.keyring.marks.left(pub.watermark)
		written := set
		if left > 0 && s.renew(pub, names, left) != nil {
			failed, written = true, nil
		}
		if written != nil && !s.keyring.marks.setHere(pub.watermark) {
			left = 0 // a Store told of it, and has it again: the process that set it sees to it
		}
		p.done(pub, written, s.keyring.clock.Read().Order, left)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.passing = false
	switch {
	case p.mu.closed:
	case len(p.mu.of) == 0:
		p.mu.timer, p.mu.urgent, p.mu.queue = nil, nil, nil
	case failed:
		p.mu.timer.Reset(longPause)
	case p.mu.again || len(p.mu.urgent) > 0 || p.mu.queue[0].set != s.keyring.keys():
		p.mu.timer.Reset(publishPause)
	default:
		in := p.mu.queue[0].at + int64(lookAgain) - s.keyring.clock.Read().Order
		p.mu.timer.Reset(max(publishPause, time.Duration(in)))
	}
}

// due takes the first publication that is due out of its queue.
func (p *publisher) due(now int64, set *sealing.Set) *publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return nil
	}
	for _, queue := range []*[]*publication{&p.mu.urgent, &p.mu.queue} {
		for len(*queue) > 0 {
			first := (*queue)[0]
			counts := p.mu.of[first.watermark] == first
			if counts && first.set == set && now-first.at < int64(lookAgain) {
				break
			}
			if *queue = (*queue)[1:]; counts {
				return first
			}
		}
	}
	return nil
}

// done puts a publication back, or forgets it if nothing is left of its life.
func (p *publisher) done(pub *publication, set *sealing.Set, at int64, left time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pub.at, pub.set = at, set
	if left <= 0 {
		p.forgetLocked(pub)
		return
	}
	p.queueLocked(pub)
}

// renew writes a watermark under each of its names, and never a lower one than the Store has: that
// is another process's. Between the two calls that process may write a higher one. It finds that out
// when it looks again.
//
// A watermark that cannot be read is sealed under a secret that this process lacks. Once it stands over one of ours it is
// no lower, for its process could not read that either.
func (s *Server) renew(pub *publication, names []sealing.Naming, left time.Duration) error {
	lost := pub.restored // unless it is found now under one of its names
	for _, under := range names {
		n := pub.name(under.Namer)
		there, err := guard.Do(unhurried, s.guard, guard.MayProbe, func(ctx context.Context) (told, error) { return s.lookupWatermark(ctx, n) })
		unreadable := errors.Is(err, sealing.ErrMalformed)
		switch {
		case err != nil && !unreadable:
			return err
		case unreadable && pub.has(under):
			lost = false
			continue
		case err == nil && there.at == 0 && pub.has(under):
			s.lose()
		}
		lost = lost && err == nil && there.at == 0
		t := s.keyring.marks.writeOver(pub.watermark, there, unreadable)
		_, err = guard.Do(unhurried, s.guard, guard.NoProbe, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, s.write(ctx, pub.watermark, under, t, left)
		})
		if err != nil {
			return err
		}
	}
	if pub.restored = false; lost {
		s.lose()
	}
	return nil
}

// has reports whether the watermark has been written under a name.
func (pub *publication) has(under sealing.Naming) bool {
	return pub.set != nil && slices.ContainsFunc(pub.set.Namings(), func(n sealing.Naming) bool { return n.Namer == under.Namer })
}

// close ends the passes.
func (p *publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.closed = true
	if p.mu.timer != nil {
		p.mu.timer.Stop()
	}
}

// left returns how long a watermark matters still, at most as long as a Store keeps anything; 0: it
// is not known, or not any more.
func (w *watermarks) left(of watermark) time.Duration {
	now := w.clock.Read().Order
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.of.Load(of)
	if !ok {
		return 0
	}
	return max(0, min(session.MaxTTL, time.Duration(m.raised+int64(markLife)-now)))
}

// ours returns the watermarks that this process set, and that others may need.
func (w *watermarks) ours() (of []watermark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m := w.mu.oldest; m != nil; m = m.newer {
		if m.at.Load().own != (clock.Stamp{}) && m.kind != ofSession {
			of = append(of, m.watermark)
		}
	}
	return of
}

// publishers are the Servers with a Keyring whose Store is not Local. The zero value is ready; it is safe
// for concurrent use.
type publishers struct {
	mu struct {
		sync.Mutex
		of []weak.Pointer[Server]
	}
}

// add adds a Server, and forgets those that are garbage.
func (p *publishers) add(s *Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.of = slices.DeleteFunc(p.mu.of, func(w weak.Pointer[Server]) bool { return w.Value() == nil })
	p.mu.of = append(p.mu.of, weak.Make(s))
}

func (p *publishers) remove(s *Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.of = slices.DeleteFunc(p.mu.of, func(w weak.Pointer[Server]) bool { return w == weak.Make(s) })
}

// each calls f for each Server.
func (p *publishers) each(f func(*Server)) {
	p.mu.Lock()
	of := slices.Clone(p.mu.of)
	p.mu.Unlock()
	for _, w := range of {
		if s := w.Value(); s != nil {
			f(s)
		}
	}
}
