package tlscache

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// watermarkPartial is the partial key of watermarks in a Store.
const watermarkPartial = "revoked"

const (
	// markLife is how long a watermark matters: no session that it covers lives longer, by clocks that
	// agree within clock.MaxSkew.
	markLife = session.MaxTTL + 2*clock.MaxSkew

	// maxMarks bounds the watermarks that a process knows. Each takes about 300 bytes.
	maxMarks = 1 << 20
)

// A watermark revokes what was authenticated at or before its time. So it ends stored sessions,
// those being stored, and all that descend from them, without knowing a single one. This is what it
// is of. In the process watermarks are found by that: names hang on secrets, which rotate.
type watermark struct {
	kind  string
	thing string // a principalID, a hostname.Normal, or nothing
}

var everything = watermark{kind: sealing.OfEverything}

// ofSession is the kind of the watermark of one session, by its id: see endRefused. It stays in this process.
const ofSession = "session"

func (w watermark) name(k sealing.Namer) sealing.Name { return k.Name(w.kind, []byte(w.thing)) }

// watermarks are the revocations that this process knows, safe for concurrent use.
type watermarks struct {
	clock *clock.Clock
	limit int         // of how many there are: maxMarks, but for tests
	some  atomic.Bool // whether any was ever set: until then none is looked for
	of    *xsync.MapOf[watermark, *mark]
	named *xsync.MapOf[sealing.Name, *mark] // those whose sessions were swept out of a Store

	folded atomic.Uint64 // how many are part of that of everything, since there were too many
	mu     struct {
		sync.Mutex
		// In order of when they were last raised.
		oldest, newest *mark
		n              int
	}
}

// A mark is one watermark as this process knows it.
type mark struct {
	watermark
	at atomic.Pointer[markTimes]

	// owner: watermarks, under mu.
	raised       int64 // by the clock's order
	older, newer *mark
	names        []sealing.Name // in named
}

// markTimes are the times of a mark. Immutable.
type markTimes struct {
	own  clock.Stamp // of the revocations in this process; zero: none
	told int64       // of those that a Store told of, by the wall; 0: none

	// wrote is what this process wrote to a Store last, by its clock as it was then, and taken what a Store
	// has taken of that.
	wrote, taken int64

	// disbelieved is what a Store told that lies ahead: the clock was wrong where it was stamped. It
	// counted as of now, once.
	disbelieved int64
}

func newWatermarks(c *clock.Clock) *watermarks {
	return &watermarks{clock: c, limit: maxMarks, of: xsync.NewMapOf[watermark, *mark](), named: xsync.NewMapOf[sealing.Name, *mark]()}
}

// raise sets a watermark of this process unless it stands higher already, and lets names lead to it.
func (w *watermarks) raise(of watermark, to clock.Stamp, names ...sealing.Name) {
	w.change(of, names, func(t markTimes) markTimes {
		if to.Order > t.own.Order {
			t.own = to
		}
		return t
	})
}

// adopt sets a watermark to what a Store told of it, unless it stands higher already. So it stays
// known here when it is lost there.
func (w *watermarks) adopt(of watermark, t told) {
	w.clock.Distrust(t.wrong)
	if m, ok := w.of.Load(of); ok {
		if at := m.at.Load(); t.at <= at.told || t.at == at.wrote || t.at == at.disbelieved {
			return
		}
	}
	believed := t.at <= w.clock.Read().Wall+int64(clock.MaxSkew)
	now := w.clock.Stamp()
	w.change(of, nil, func(at markTimes) markTimes {
		switch {
		case believed:
			at.told = max(at.told, t.at)
		case at.disbelieved != t.at:
			at.own, at.disbelieved = now, t.at
		}
		return at
	})
}

// writeOver returns what to write to a Store of a watermark, and notes it. It is no lower than what is there already,
// which is of a time before now where it is unreadable.
func (w *watermarks) writeOver(of watermark, there told, unreadable bool) told {
	if there.at != 0 {
		w.adopt(of, there)
	}
	t := told{at: w.height(of), wrong: w.clock.Wrongs()}
	if unreadable {
		t.at = max(t.at, w.clock.Read().Wall)
	}
	w.note(of, func(at *markTimes) { at.wrote = t.at })
	return t
}

// note changes the times of a mark, if it is known, and not its place in the order.
func (w *watermarks) note(of watermark, f func(*markTimes)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m, ok := w.of.Load(of); ok {
		next := *m.at.Load()
		f(&next)
		m.at.Store(&next)
	}
}

// change changes a mark, makes it the newest, and keeps the bounds. Its cost does not depend on how many
// there are.
func (w *watermarks) change(of watermark, names []sealing.Name, f func(markTimes) markTimes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.of.Load(of)
	if ok {
		w.unlinkLocked(m)
	} else {
		m = &mark{watermark: of}
		m.at.Store(new(markTimes))
	}
	next := f(*m.at.Load())
	m.at.Store(&next)
	for _, n := range names {
		if old, ok := w.named.Load(n); !ok || old != m {
			w.named.Store(n, m)
			m.names = append(m.names, n)
		}
	}
	m.raised = w.clock.Read().Order
	w.linkLocked(m)
	w.some.Store(true) // before the mark: another that finds it here and returns must not be told that there is none
	w.of.Store(of, m)  // publishes: its times are set
	w.pruneLocked(m.raised)
}

// pruneLocked forgets the marks that are older than any session can be and, where there are too many,
// makes the oldest part of that of everything, which is the safe side.
func (w *watermarks) pruneLocked(now int64) {
	for m := w.mu.oldest; m != nil && m.raised < now-int64(markLife); m = w.mu.oldest {
		w.forgetLocked(m)
	}
	for w.mu.n > w.limit {
		m := w.mu.oldest
		if m.watermark == everything {
			m = m.newer
		}
		at := m.at.Load()
		all, ok := w.of.Load(everything)
		if !ok {
			all = &mark{watermark: everything}
			all.at.Store(new(markTimes))
			w.linkLocked(all)
		} else {
			w.unlinkLocked(all)
			w.linkLocked(all)
		}
		all.raised = now
		sum := *all.at.Load()
		if at.own.Order > sum.own.Order {
			sum.own = at.own
		}
		sum.told = max(sum.told, at.told)
		all.at.Store(&sum)
		w.of.Store(everything, all) // before the other goes
		w.folded.Add(1)
		w.forgetLocked(m)
	}
}

func (w *watermarks) linkLocked(m *mark) {
	m.older, m.newer = w.mu.newest, nil
	if m.older != nil {
		m.older.newer = m
	} else {
		w.mu.oldest = m
	}
	w.mu.newest = m
	w.mu.n++
}

func (w *watermarks) unlinkLocked(m *mark) {
	if m.older != nil {
		m.older.newer = m.newer
	} else {
		w.mu.oldest = m.newer
	}
	if m.newer != nil {
		m.newer.older = m.older
	} else {
		w.mu.newest = m.older
	}
	m.older, m.newer = nil, nil
	w.mu.n--
}

func (w *watermarks) forgetLocked(m *mark) {
	w.unlinkLocked(m)
	w.of.Delete(m.watermark)
	for _, n := range m.names {
		w.named.Delete(n)
	}
}

// covers reports whether a watermark revokes a record.
func (w *watermarks) covers(r *sealing.Record) bool {
	if !w.some.Load() {
		return false
	}
	for _, of := range watermarksOf(r) {
		if m, ok := w.of.Load(of); ok && w.reaches(m, r.Auth) {
			return true
		}
	}
	m, ok := w.of.Load(watermark{ofSession, string(r.ID[:])})
	return ok && w.reaches(m, r.Auth)
}

// endedForeign reports whether the session of a ticket of the hook before was ended: see endRefused.
func (w *watermarks) endedForeign(ticket []byte) bool {
	if !w.some.Load() {
		return false
	}
	id := foreignID(ticket)
	_, ok := w.of.Load(watermark{ofSession, string(id[:])})
	return ok
}

func (w *watermarks) reaches(m *mark, auth clock.Stamp) bool {
	at := m.at.Load()
	switch {
	case auth.Wall <= at.told:
		return true
	case at.own == clock.Stamp{}:
		return false
	case auth.Order != 0:
		return auth.Order <= at.own.Order
	}
	return auth.Wall <= w.clock.Corrected(at.own)
}

// isIn reports whether a Store that told this of a watermark has all that it is known to have had.
func (w *watermarks) isIn(of watermark, there told) bool {
	if !w.some.Load() {
		return true
	}
	m, ok := w.of.Load(of)
	if !ok {
		return true
	}
	at := m.at.Load()
	return there.at >= max(at.told, at.taken)
}

// setHere reports whether this process set a watermark, rather than a Store told of it.
func (w *watermarks) setHere(of watermark) bool {
	m, ok := w.of.Load(of)
	return ok && m.at.Load().own != (clock.Stamp{})
}

// height returns the time of a watermark by the wall clock, as far as this process knows; 0: none.
func (w *watermarks) height(of watermark) int64 {
	m, ok := w.of.Load(of)
	if !ok {
		return 0
	}
	at := m.at.Load()
	return max(at.told, w.clock.Corrected(at.own))
}

// watermarksOf returns what may revoke a record: of everything, its server name, and its principal.
func watermarksOf(r *sealing.Record) []watermark {
	of := append(make([]watermark, 0, 3), everything, watermark{sealing.OfServerName, r.Server})
	if r.Principal != (sealing.PrincipalID{}) {
		of = append(of, watermark{sealing.OfPrincipal, string(r.Principal[:])})
	}
	return of
}

func watermarkKey(n sealing.Name) session.Key {
	return session.Key{Partial: watermarkPartial, ID: string(n[:])}
}

// told is what a Store tells of a watermark.
type told struct {
	at    int64        // by the wall; 0: there is none, or no answer
	wrong []clock.Span // times that the clock of the process which wrote it was wrong
}

// seal returns a watermark as a Store keeps it, bound to its name.
//
//	sealed{time(8) [from(8) to(8)]…}
func (t told) seal(k *sealing.Keys, n sealing.Name) ([]byte, error) {
	b := binary.BigEndian.AppendUint64(nil, uint64(t.at))
	for _, s := range t.wrong {
		b = binary.BigEndian.AppendUint64(b, uint64(s.From))
		b = binary.BigEndian.AppendUint64(b, uint64(s.To))
	}
	return k.Seal(sealing.KindWatermark, n[:], nil, b)
}

// openTold is the reverse of seal.
func (k *Keyring) openTold(sealed []byte, n sealing.Name) (told, error) {
	b, err := k.keys().Open(sealing.KindWatermark, n[:], nil, sealed)
	if err != nil {
		return told{}, err
	}
	if len(b)%16 != 8 || len(b) > 8+16*clock.MaxSpans {
		return told{}, sealing.ErrMalformed
	}
	t := told{at: int64(binary.BigEndian.Uint64(b))}
	for b = b[8:]; len(b) > 0; b = b[16:] {
		t.wrong = append(t.wrong, clock.Span{From: int64(binary.BigEndian.Uint64(b)), To: int64(binary.BigEndian.Uint64(b[8:]))})
	}
	return t, nil
}

// lookupWatermark returns a watermark in the Store. One that cannot be read is an error, and what
// it might cover a miss.
func (s *Server) lookupWatermark(ctx context.Context, n sealing.Name) (told, error) {
	sealed, err := s.store.Lookup(ctx, watermarkKey(n))
	if errors.Is(err, session.ErrNotFound) {
		return told{}, nil
	}
	if err != nil {
		return told{}, err
	}
	t, err := s.keyring.openTold(sealed, n)
	if err != nil {
		return told{}, errors.Join(sealing.ErrMalformed, err)
	}
	return t, nil
}

// absent returns why there is no session in the Store that a handle names: as far as the handle and
// the watermarks tell, for sessions that were revoked are swept out, and those that expired are gone.
func (o *offer) absent(h sealing.Handle, marks []told) MissReason {
	// The handle tells when it expires, rounded up to a second, and so about when it was issued.
	expires := (int64(h.Expires) - 1) * int64(time.Second)
	switch {
	case o.revokedSince(expires-int64(o.s.cfg.TTL), h, marks):
		return MissRevoked
	case o.at.Wall < expires:
		return MissGone
	case h.Flags&sealing.FlagAge != 0:
		return MissAuthAge
	}
	return MissExpired
}

// revokedSince reports whether a watermark that may cover the session of a handle stands higher than
// a time by the wall clock.
func (o *offer) revokedSince(issued int64, h sealing.Handle, marks []told) bool {
	for _, t := range marks {
		if t.at > issued {
			return true
		}
	}
	w := o.s.keyring.marks
	if !w.some.Load() {
		return false
	}
	if max(w.height(everything), w.height(watermark{sealing.OfServerName, o.server})) > issued {
		return true
	}
	m, ok := w.named.Load(h.Group)
	return ok && h.Flags&sealing.FlagGroup != 0 && w.height(m.watermark) > issued
}
