package session

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

const (
	// DefaultMaxSessionSize is the largest session that Memory stores unless it is told
	// otherwise, in bytes. Sealed, a server's session with one client certificate has about 450;
	// alive it takes about 3700, and 10000 with a chain of three.
	DefaultMaxSessionSize = 16 << 10

	// DefaultMaxTTL is the longest life that Memory gives a session unless it is told
	// otherwise: RFC 5246 F.1.4.
	DefaultMaxTTL = 24 * time.Hour

	// MaxTTL is the longest life of any session: RFC 8446 4.6.1.
	MaxTTL = 7 * 24 * time.Hour
)

// Errors that callers compare with errors.Is. Stores may wrap them.
var (
	// ErrNotFound is returned by Lookup, Take and TakeNewest when there is no such session:
	// never stored, removed, evicted or expired.
	ErrNotFound = errors.New("session: not found")

	// ErrClosed is returned by every method but Close after Close.
	ErrClosed = errors.New("session: store is closed")

	// ErrBadTTL is returned by Update when the TTL is zero or negative.
	ErrBadTTL = errors.New("session: TTL is not positive")

	// ErrKeyTooLong is returned by Update when a part of the key is longer than the Store
	// can hold, which is no less than fastcache.MaxKeyPart, 64 KiB.
	ErrKeyTooLong = errors.New("session: part of the key is too long")

	// ErrTooLarge is returned by Update when the session is larger than the Store accepts.
	ErrTooLarge = errors.New("session: session is too large")

	// ErrLive is returned by whatever returns bytes, for a session that a Local Store keeps alive
	// and whose Live form is no Encoder: it has no bytes.
	ErrLive = errors.New("session: session is live and its owner gives no bytes of it")
)

// A Key names one session: OTP's {partial_key(), session_id()}. Each part may be any bytes,
// none included.
type Key = fastcache.Key

// An Entry is one session as the methods of Indexed return it. It is the caller's.
type Entry struct {
	Key     Key       // with OTP: {partial_key(), session_id()}
	Session []byte    // a copy
	Expires time.Time // when its TTL ends; the Store may be later by what its Update took
}

// A Store keeps sessions by key until their time is over. Every method is safe for concurrent
// use. Lookup, Take, Update and Delete are linearizable per key: once Update has returned,
// the session is found by all, and once Take or Delete has returned, by none.
//
// What holds of every method, and of those of Indexed:
//
//   - A context that is done before the call makes it return the context's error and do nothing.
//     One that ends during the call may do so too; then a change may or may not have been made.
//   - After Close it returns ErrClosed (or the context's error). A call that Close overtakes
//     returns what it would have returned, or ErrClosed.
//   - Byte slices are never shared: what is passed in is copied, what is returned is the caller's.
//   - Any other error says that the Store could not do it (a network failed, a disk is full).
//
// A Store may drop any session at any time, to make room or because it restarts. A TLS server
// then does a full handshake.
type Store interface {
	// Lookup returns the session of a key: OTP's lookup/2. It never returns one whose TTL
	// is over. ErrNotFound says that there is none.
	Lookup(ctx context.Context, key Key) ([]byte, error)

	// Take returns the session of a key and removes it in one step: of any number of
	// concurrent callers at most one gets it. The others get ErrNotFound.
	Take(ctx context.Context, key Key) ([]byte, error)

	// Update stores a session, in place of the one that the key had: OTP's update/3. Its
	// life begins anew and ends after ttl; a Store may cap that. A session may be empty.
	// ErrBadTTL, ErrKeyTooLong and ErrTooLarge say why it was refused; the key then keeps
	// what it had.
	Update(ctx context.Context, key Key, s []byte, ttl time.Duration) error

	// Delete removes the session of a key, if it has one: OTP's delete/2. A key without
	// one is no error.
	Delete(ctx context.Context, key Key) error

	// Close ends the Store and releases what it holds: OTP's terminate/1. It may be called
	// twice, and while other calls are under way. Whether sessions outlive it is the Store's
	// choice. Further calls return nil.
	Close() error
}

// An Indexed Store also finds sessions by their partial key, and lists them: OTP's optional
// callbacks, and what an index adds to them. Use a type assertion to learn whether a Store is
// Indexed.
//
// SelectSession, All and Size are weakly consistent: what lives throughout the call is seen once;
// what is stored, replaced or removed meanwhile may be seen or not, a replaced one also twice.
type Indexed interface {
	Store

	// SelectSession returns the sessions of a partial key, newest Update first, at most
	// limit if that is positive: OTP's select_session/2. None is no error.
	SelectSession(ctx context.Context, partial string, limit int) ([]Entry, error)

	// TakeNewest returns the newest session of a partial key and removes it in one step; no
	// two callers get the same. With keepLast a session that is the only one left of its
	// partial key is returned and stays. ErrNotFound says that there is none.
	TakeNewest(ctx context.Context, partial string, keepLast bool) (Entry, error)

	// DeletePartial removes all sessions of a partial key and returns how many there were.
	// Every session whose Update returned before the call is gone when it returns.
	DeletePartial(ctx context.Context, partial string) (int, error)

	// All yields every session, in no particular order: OTP's foldl/3. An error is yielded
	// last, with an empty Entry. The loop's body may call every method but Close.
	All(ctx context.Context) iter.Seq2[Entry, error]

	// Size returns the number of sessions: OTP's size/1. It may count some whose TTL was over
	// a moment ago.
	Size(ctx context.Context) (int, error)
}

// Local is implemented by Stores that keep sessions in this process's memory, as Memory does.
// Its methods do not block on anything but short locks, so they take no context; they share
// what is in an Item instead of copying it. Their errors are those of the methods of Store.
type Local interface {
	Store

	// UpdateLocal is Update of an Item. An Item that is not Confirmed gives way before those
	// that are, while these hold less than half of the Store's bound.
	UpdateLocal(key Key, s Item, ttl time.Duration) error

	// LookupLocal is Lookup of an Item.
	LookupLocal(key Key) (Item, error)

	// TakeLocal is Take of an Item.
	TakeLocal(key Key) (Item, error)

	// Demote marks a session as one that will hardly be used again: it is still served, but
	// goes first when the Store is full. An Update of its key undoes it. Demote reports
	// whether there was such a session.
	Demote(key Key) bool
}

// An Item is a session as a Local Store keeps it. What it refers to is shared by the Store and
// all who look it up, so it must not be written to once it was passed to UpdateLocal.
type Item struct {
	// Bytes is the session as the methods of Store know it. A session without any that has a
	// Live form is that: its bytes are made when they are asked for, see Encoder.
	Bytes []byte

	// Live is the same session in a form that its owner can use at once, such as a
	// *tls.SessionState; nil if it has none, as after Update.
	Live any

	// LiveBytes is the memory that Live keeps in use, in bytes. Together with the length of
	// Bytes it is the size of the session, which counts for the Store's bounds. What Live
	// shares with other sessions is best counted in each: any may be the last to hold it.
	LiveBytes int

	// Confirmed says that the client that began the session has proved to be a client worth
	// keeping it for. A session stored by Update is confirmed.
	Confirmed bool
}

// An Encoder is a Live form that makes the session's bytes when they are asked for, so that a session
// which is not asked for costs nothing. With it the methods of Store and Indexed find sessions that were
// stored by UpdateLocal without Bytes: a Store can be dumped, and the dump be stored elsewhere by Update.
// It must be safe for concurrent use.
type Encoder interface {
	// SessionBytes returns the bytes of the session that is stored under a key. They are the
	// caller's. ErrNotFound says that its owner has ended the session, though the Store has it still;
	// the Store then says so too. Any other error says that there are no bytes.
	SessionBytes(key Key) ([]byte, error)
}

// SessionBytes returns the bytes of a session that is stored under a key, for a Local Store to
// return: a copy of Bytes, or else what Live makes of itself. ErrLive says that Live is no Encoder.
func (s Item) SessionBytes(key Key) ([]byte, error) {
	if len(s.Bytes) > 0 || s.Live == nil {
		return bytes.Clone(s.Bytes), nil
	}
	e, ok := s.Live.(Encoder)
	if !ok {
		return nil, ErrLive
	}
	return e.SessionBytes(key)
}

// size returns what counts for MaxSessionSize.
func (s Item) size() int64 { return int64(len(s.Bytes)) + int64(s.LiveBytes) }
