package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A broken Store is a Memory with one fault.
type broken struct {
	*session.Memory
	fault string

	mu      sync.Mutex
	entries map[session.Key]session.Entry // the last Update of each key
	updates int
	closed  bool

	iterating atomic.Bool
}

func openBroken(fault string) func(testing.TB) session.Store {
	return func(t testing.TB) session.Store {
		m, err := session.NewMemory(session.MemoryConfig{MaxSessionSize: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return &broken{Memory: m, fault: fault, entries: map[session.Key]session.Entry{}}
	}
}

// is reports whether the Store has a fault.
func (b *broken) is(fault string) bool { return b.fault == fault }

// last returns what the last Update of a key stored.
func (b *broken) last(key session.Key) (session.Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.entries[key]
	return e, ok
}

// updated returns how many Updates there were.
func (b *broken) updated() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.updates
}

// context returns one that the fault lets through.
func (b *broken) context(ctx context.Context) context.Context {
	b.delay()
	if b.is("ignores contexts") {
		return context.Background()
	}
	return ctx
}

// delay is what a network does to a call.
func (b *broken) delay() {
	if b.is("is slow, which is no fault") {
		time.Sleep(rand.N(200 * time.Millisecond))
	}
}

// key returns the key that the fault makes of one.
func (b *broken) key(key session.Key) session.Key {
	if b.is("cuts ids at NUL") {
		key.ID, _, _ = strings.Cut(key.ID, "\x00")
	}
	return key
}

func (b *broken) Lookup(ctx context.Context, key session.Key) ([]byte, error) {
	defer b.delay()
	if b.is("live sessions are empty") && ctx.Err() == nil {
		item, err := b.Memory.LookupLocal(key)
		return bytes.Clone(item.Bytes), err
	}
	if b.is("shares what it returns") && ctx.Err() == nil {
		item, err := b.Memory.LookupLocal(key)
		return item.Bytes, err
	}
	s, err := b.Memory.Lookup(b.context(ctx), b.key(key))
	if errors.Is(err, session.ErrNotFound) {
		switch e, ok := b.last(key); {
		case b.is("absent is nil") && !ok:
			return nil, nil
		case b.is("returns expired") && ok && !time.Now().Before(e.Expires):
			return e.Session, nil
		case b.is("brings back deleted ones when busy") && ok && b.updated() > 80:
			return e.Session, nil
		}
	}
	return s, err
}

func (b *broken) Take(ctx context.Context, key session.Key) ([]byte, error) {
	if b.is("take is two steps") {
		s, err := b.Memory.Lookup(ctx, key)
		if err == nil {
			time.Sleep(time.Nanosecond) // everybody looks, then everybody deletes
			err = b.Memory.Delete(ctx, key)
		}
		return s, err
	}
	if b.is("take is lookup") {
		return b.Memory.Lookup(ctx, key)
	}
	s, err := b.Memory.Take(b.context(ctx), b.key(key))
	if b.is("take returns expired") && errors.Is(err, session.ErrNotFound) {
		if e, ok := b.last(key); ok && !time.Now().Before(e.Expires) {
			return e.Session, nil
		}
	}
	return s, err
}

func (b *broken) Update(ctx context.Context, key session.Key, s []byte, life time.Duration) error {
	defer b.delay()
	now := time.Now()
	old, exists := b.last(key)
	switch {
	case b.is("keeps the caller's slice") && life > 0 && ctx.Err() == nil:
		return b.Memory.UpdateLocal(key, session.Item{Bytes: s, Confirmed: true}, life)
	case b.is("a TTL of 0 is for ever") && life <= 0:
		life = ttl
	case b.is("adds TTLs without a look") && life > math.MaxInt64/4:
		life = -1 // it has wrapped
	case b.is("refuses 16 KiB") && len(s) >= 16<<10:
		return session.ErrTooLarge
	case b.is("update keeps the deadline") && exists && life > 0:
		life = max(old.Expires.Sub(now), 1)
	case b.is("rounds TTLs to a tenth of a second"):
		life -= life % (100 * time.Millisecond)
		life -= 200 * time.Millisecond * time.Duration(min(life/short, 1)%2)
	case b.is("is read-only within all") && b.iterating.Load():
		return errors.New("busy")
	case b.is("update inserts") && exists:
		return errors.New("key exists")
	}
	err := b.Memory.Update(b.context(ctx), b.key(key), s, life)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.updates++
		b.entries[key] = session.Entry{Key: key, Session: bytes.Clone(s), Expires: now.Add(life)}
	}
	return err
}

func (b *broken) Delete(ctx context.Context, key session.Key) error {
	if b.is("delete of nothing fails") {
		if _, err := b.Memory.Lookup(ctx, key); err != nil {
			return err
		}
	}
	return b.Memory.Delete(b.context(ctx), b.key(key))
}

func (b *broken) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	twice := b.closed
	b.closed = true
	switch {
	case b.is("works after close"):
		return nil
	case b.is("cannot close twice") && twice:
		return session.ErrClosed
	}
	return b.Memory.Close()
}

func (b *broken) SelectSession(ctx context.Context, partial string, limit int) ([]session.Entry, error) {
	if b.is("ignores the limit") {
		limit = 0
	}
	entries, err := b.Memory.SelectSession(b.context(ctx), partial, limit)
	switch {
	case err != nil:
	case b.is("oldest first"):
		slices.Reverse(entries)
	case b.is("matches prefixes"):
		entries = nil
		for e := range b.Memory.All(ctx) {
			if strings.HasPrefix(e.Key.Partial, partial) {
				entries = append(entries, e)
			}
		}
		slices.SortFunc(entries, func(x, y session.Entry) int { return strings.Compare(string(y.Session), string(x.Session)) })
		if limit > 0 && limit < len(entries) {
			entries = entries[:limit]
		}
	case b.is("index forgets no one"):
		b.mu.Lock()
		defer b.mu.Unlock()
		for k, e := range b.entries {
			if k.Partial == partial && !slices.ContainsFunc(entries, func(o session.Entry) bool { return o.Key == k }) {
				entries = append(entries, e)
			}
		}
	case b.is("entries never expire"):
		for i := range entries {
			entries[i].Expires = time.Time{}
		}
	case b.is("returns ids for keys"):
		for i := range entries {
			entries[i].Key.Partial = ""
		}
	case b.is("shares entries"):
		for i, e := range entries {
			item, _ := b.Memory.LookupLocal(e.Key)
			entries[i].Session = item.Bytes
		}
	}
	return entries, err
}

func (b *broken) TakeNewest(ctx context.Context, partial string, keepLast bool) (session.Entry, error) {
	switch {
	case b.is("take newest is two steps"):
		entries, err := b.Memory.SelectSession(ctx, partial, 2)
		if err != nil || len(entries) == 0 {
			return session.Entry{}, errors.Join(err, session.ErrNotFound)
		}
		time.Sleep(time.Nanosecond)
		if len(entries) == 1 && keepLast {
			return entries[0], nil
		}
		return entries[0], b.Memory.Delete(ctx, entries[0].Key)
	case b.is("keeps none"):
		keepLast = false
	case b.is("takes the oldest"):
		entries, err := b.Memory.SelectSession(ctx, partial, 0)
		if n := len(entries); err == nil && n > 1 && !keepLast {
			_, err := b.Memory.Take(ctx, entries[n-1].Key)
			return entries[n-1], err
		}
	}
	return b.Memory.TakeNewest(b.context(ctx), partial, keepLast)
}

func (b *broken) DeletePartial(ctx context.Context, partial string) (int, error) {
	if b.is("revokes a batch") {
		entries, err := b.Memory.SelectSession(ctx, partial, 64)
		for _, e := range entries {
			err = errors.Join(err, b.Memory.Delete(ctx, e.Key))
		}
		return len(entries), err
	}
	return b.Memory.DeletePartial(b.context(ctx), partial)
}

func (b *broken) All(ctx context.Context) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) {
		b.iterating.Store(true)
		defer b.iterating.Store(false)
		for e, err := range b.Memory.All(b.context(ctx)) {
			if !yield(e, err) || b.is("all repeats itself") && err == nil && !yield(e, err) {
				return
			}
		}
	}
}

func (b *broken) Size(ctx context.Context) (int, error) {
	n, err := b.Memory.Size(b.context(ctx))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
	case b.is("counts updates"):
		n = b.updates
	case b.is("never counts down") && n < len(b.entries):
		n = len(b.entries)
	}
	return n, err
}

func (b *broken) UpdateLocal(key session.Key, s session.Item, life time.Duration) error {
	if b.is("drops live forms") {
		s.Live = nil
	}
	return b.Memory.UpdateLocal(key, s, life)
}
