package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// Memory is the Store in this process's memory: a fastcache.Cache of sessions. It is Indexed and
// Local. Its methods are safe for concurrent use and never wait for I/O: Lookup and SelectSession
// take no lock, the others short ones. The zero Memory is not usable; call NewMemory. A Memory
// must not be copied.
//
// A session that left Memory is left to the garbage collector, its secrets are not overwritten:
// others may be reading the same bytes, since lookups take no lock and LookupLocal returns them as
// they are. Count on a secret staying in the process's memory some time beyond its TTL, as
// it does in crypto/tls.
type Memory struct {
	cfg    MemoryConfig
	cache  *fastcache.Cache[record]
	birth  time.Time
	now    func() instant // the machine's clocks but in tests
	closed atomic.Bool    // set before the cache is closed: who misses looks here
}

var (
	_ Indexed = (*Memory)(nil)
	_ Local   = (*Memory)(nil)
)

// A record is a session as the cache has it. It is immutable, as is what it refers to.
type record struct {
	item  Item
	until time.Duration // since birth, by the monotonic clock: a wall clock that is set back prolongs no life
	wall  int64         // the same by the wall clock, in Unix nanoseconds: a suspended machine prolongs none either
}

// NewMemory returns an empty Memory: OTP's init/1. The error names every faulty field of cfg.
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	cache, err := fastcache.New(cfg.cache())
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	m := &Memory{cfg: cfg, cache: cache, birth: time.Now()}
	m.now = m.clocks
	return m, nil
}

// An instant is a time by both clocks.
type instant struct {
	time.Time               // by the wall clock
	age       time.Duration // since birth, by the monotonic clock
}

func (m *Memory) clocks() instant {
	now := time.Now()
	return instant{now, now.Sub(m.birth)}
}

// Lookup returns a copy of the session of a key. It allocates the copy and nothing else, but for a live
// session, whose Encoder is asked for the bytes. ErrLive says that it has none.
func (m *Memory) Lookup(ctx context.Context, key Key) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	item, err := m.LookupLocal(key)
	if err != nil {
		return nil, err
	}
	return item.SessionBytes(key)
}

// LookupLocal returns the session of a key. It allocates nothing and takes no lock.
func (m *Memory) LookupLocal(key Key) (Item, error) {
	if r, ok := m.cache.Lookup(key); ok && !r.over(m.now()) {
		return r.item, nil
	}
	return Item{}, m.missed()
}

// over reports whether a session that the cache has is over by the wall clock: the machine was suspended, when the
// monotonic clock, which the cache goes by, stands still. A wall clock that is set forward looks alike.
func (r record) over(now instant) bool { return now.UnixNano() >= r.wall }

// missed returns why a session was not found: a closed cache is empty.
func (m *Memory) missed() error {
	if m.closed.Load() {
		return ErrClosed
	}
	return ErrNotFound
}

// Take returns the session of a key and removes it in one step. A live one that has no bytes, as ErrLive
// says, is gone as well.
func (m *Memory) Take(ctx context.Context, key Key) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	item, err := m.TakeLocal(key)
	if err != nil {
		return nil, err
	}
	return item.SessionBytes(key) // a copy: a Lookup that was quicker may be reading it still
}

// TakeLocal returns the session of a key and removes it in one step. Others who looked it up
// before share what is in it.
func (m *Memory) TakeLocal(key Key) (Item, error) {
	if r, ok := m.cache.Take(key); ok && !r.over(m.now()) {
		return r.item, nil
	}
	return Item{}, m.missed()
}

// Update stores a copy of a session, which counts as confirmed.
func (m *Memory) Update(ctx context.Context, key Key, s []byte, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.refuse(int64(len(s)), ttl); err != nil { // before it is copied
		return err
	}
	return m.store(key, Item{Bytes: bytes.Clone(s), Confirmed: true}, ttl)
}

// UpdateLocal stores a session without copying what it refers to. A negative LiveBytes is an error.
func (m *Memory) UpdateLocal(key Key, s Item, ttl time.Duration) error {
	if s.LiveBytes < 0 {
		return fmt.Errorf("session: LiveBytes is %d; want at least 0", s.LiveBytes)
	}
	if err := m.refuse(s.size(), ttl); err != nil {
		return err
	}
	return m.store(key, s, ttl)
}

// refuse returns why a session cannot be stored, even in an empty Memory.
func (m *Memory) refuse(size int64, ttl time.Duration) error {
	switch {
	case m.closed.Load():
		return ErrClosed
	case ttl <= 0:
		return fmt.Errorf("%w: %v", ErrBadTTL, ttl)
	case size > int64(m.cfg.MaxSessionSize):
		return fmt.Errorf("%w: %d bytes; want at most %d", ErrTooLarge, size, m.cfg.MaxSessionSize)
	}
	return nil
}

func (m *Memory) store(key Key, item Item, ttl time.Duration) error {
	ttl = min(ttl, m.cfg.MaxTTL)
	now := m.now()
	r := record{item: item, until: now.age + ttl, wall: now.Add(ttl).UnixNano()}
	if item.Confirmed {
		return m.translate(m.cache.UpdateTTL(key, r, ttl), key, r)
	}
	return m.translate(m.cache.UpdateOnProbation(key, r, ttl), key, r)
}

// translate returns our error for one of the cache.
func (m *Memory) translate(err error, key Key, r record) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fastcache.ErrClosed):
		return ErrClosed
	case errors.Is(err, fastcache.ErrKeyTooLong):
		longest := max(len(key.Partial), len(key.ID))
		return fmt.Errorf("%w: %d bytes; want at most %d", ErrKeyTooLong, longest, fastcache.MaxKeyPart)
	case errors.Is(err, fastcache.ErrTooHeavy):
		return fmt.Errorf("%w: with its key it takes %d bytes; want at most MaxBytes, %d", ErrTooLarge, weigh(key, r), m.cfg.MaxBytes)
	}
	return fmt.Errorf("session: %w", err)
}

// Delete removes the session of a key, if it has one.
func (m *Memory) Delete(ctx context.Context, key Key) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.cache.Delete(key)
	return nil
}

// ready returns why a call must do nothing, if so.
func (m *Memory) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.closed.Load() {
		return ErrClosed
	}
	return nil
}

// Demote marks a session as a next victim.
func (m *Memory) Demote(key Key) bool { return m.cache.Demote(key) }

// MemoryStats are a Memory's counters since its birth, and its present state.
type MemoryStats struct {
	// Stats are those of the cache: sessions, hits and misses (with RecordStats), and what
	// left it for which reason. Weight is what MaxBytes bounds; 0 without it.
	fastcache.Stats

	// Confirmed is how many sessions are; the others are OnProbation.
	Confirmed int
}

// Stats returns the counters and the present state, not all of one instant.
func (m *Memory) Stats() MemoryStats {
	st := m.cache.Stats()
	return MemoryStats{Stats: st, Confirmed: max(st.Sessions-st.OnProbation, 0)}
}

// Close removes all sessions and ends the Memory. It always returns nil.
func (m *Memory) Close() error {
	m.closed.Store(true)
	return m.cache.Close()
}

// SelectSession returns copies of the sessions of a partial key, newest first. ErrLive says that one of them
// has no bytes.
func (m *Memory) SelectSession(ctx context.Context, partial string, limit int) ([]Entry, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	var entries []Entry
	for key, r := range m.cache.SelectSession(partial) {
		if err := ctx.Err(); err != nil { // before any is passed over: those may be many
			return nil, err
		}
		e, err := m.entry(key, r)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		if len(entries) == limit {
			break
		}
	}
	if m.closed.Load() {
		return nil, ErrClosed // it may have cut the list short
	}
	return entries, nil
}

// entry returns a copy of a session that shares nothing with the cache, or ErrNotFound if the session is over.
func (m *Memory) entry(key Key, r record) (Entry, error) {
	now := m.now()
	if r.over(now) {
		return Entry{}, ErrNotFound
	}
	s, err := r.item.SessionBytes(key)
	if err != nil {
		return Entry{}, err
	}
	left := min(r.until-now.age, time.Duration(r.wall-now.UnixNano()))
	return Entry{
		Key:     Key{Partial: strings.Clone(key.Partial), ID: strings.Clone(key.ID)},
		Session: s,
		Expires: now.Add(left),
	}, nil
}

// TakeNewest returns the newest session of a partial key and removes it, or keeps it as the last. A live one that
// has no bytes, as ErrLive says, is gone as well.
func (m *Memory) TakeNewest(ctx context.Context, partial string, keepLast bool) (Entry, error) {
	if err := ctx.Err(); err != nil {
		return Entry{}, err
	}
	take := m.cache.TakeNewest
	if keepLast {
		take = m.cache.TakeNewestKeepLast
	}
	var met record
	var metKey Key
	for {
		key, r, ok := take(partial)
		if !ok {
			return Entry{}, m.missed()
		}
		e, err := m.entry(key, r)
		if !errors.Is(err, ErrNotFound) {
			return e, err
		}
		// Met again, it is the last, which stays. It is not deleted by its key, under which another may have
		// been stored by now; the cache drops it at its deadline. Others may have been stored at the same instant.
		if key == metKey && r.until == met.until && r.wall == met.wall {
			return Entry{}, m.missed()
		}
		met = r
		metKey = key
		if err := ctx.Err(); err != nil {
			return Entry{}, err
		}
	}
}

// DeletePartial removes all sessions of a partial key; one store revokes them all at once.
func (m *Memory) DeletePartial(ctx context.Context, partial string) (int, error) {
	if err := m.ready(ctx); err != nil {
		return 0, err
	}
	return m.cache.DeletePartial(partial), nil
}

// All yields copies of all sessions. Live ones that have no bytes are passed over, and ErrLive is yielded in
// the end: what came before is all that has.
func (m *Memory) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := m.ready(ctx); err != nil {
			yield(Entry{}, err)
			return
		}
		var without error // bytes: the first
		for key, r := range m.cache.All() {
			if err := ctx.Err(); err != nil {
				yield(Entry{}, err)
				return
			}
			e, err := m.entry(key, r)
			if err != nil {
				if without == nil && !errors.Is(err, ErrNotFound) {
					without = err
				}
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		switch {
		case m.closed.Load():
			yield(Entry{}, ErrClosed) // it may have cut the list short
		case without != nil:
			yield(Entry{}, without)
		}
	}
}

// Size returns the number of sessions. It costs one load.
func (m *Memory) Size(ctx context.Context) (int, error) {
	if err := m.ready(ctx); err != nil {
		return 0, err
	}
	return m.cache.Size(), nil
}
