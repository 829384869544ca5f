package fastcache

import (
	"errors"
	"io"
)

// A snapshot is the sessions of a cache in a file: for a restart that begins warm. docs/snapshots.md has its format, and
// how to replace a file so that a crash leaves the old one. It is written partial key by partial key, the newest session
// first, in blocks of which each carries the checksum of all that is before its end. So it is written and read with
// the memory of one block.

// Errors that callers of ReadSnapshot and WriteSnapshot compare with errors.Is. None contains a key or a value.
var (
	// ErrBadSnapshot is returned by ReadSnapshot for what is not a snapshot, or one that was cut short or changed. The
	// cache is as it was.
	ErrBadSnapshot = errors.New("fastcache: bad snapshot")

	// ErrSnapshotVersion is returned by ReadSnapshot for a snapshot of a newer format than this package knows. The
	// cache is as it was.
	ErrSnapshotVersion = errors.New("fastcache: snapshot of a newer format")

	// ErrSnapshotChanged is returned by ReadSnapshot if what it reads the second time is not what it has verified.
	// Sessions of blocks that were whole may have been stored.
	ErrSnapshotChanged = errors.New("fastcache: the snapshot changed while it was read")

	// ErrSkipSession is for the functions that encode and decode values: a session for which they return it is left out.
	ErrSkipSession = errors.New("fastcache: leave this session out")
)

// Restored counts what became of the sessions of a snapshot.
type Restored struct {
	Stored  int // are in the cache now, or were until it lost them by the same rules as others
	Present int // the cache had a session with that key, which stays
	Removed int // their key or partial key was removed from the cache while the snapshot was read
	Expired int // their time was over
	NoRoom  int // the cache's bounds leave no room for them, or that of their partial key
	Skipped int // decode returned ErrSkipSession
}

// WriteSnapshot writes all sessions to w and returns how many those are. encode appends the value of a session to dst,
// which is empty, and returns the result, so it need not allocate. For a value that is bytes already it may return those, without
// appending. It may return ErrSkipSession to leave the session out, as it should for sessions that are to be used once.
// It runs in the caller's goroutine, outside all locks. The key aliases the cache's memory.
//
// The sessions are written with their keys, values and deadlines in clear. encode may seal the values, and bind each to its key.
//
// A snapshot holds every session that lives throughout the call and is not replaced. One that is replaced is in it in
// either version, or in none if that happens while its own partial key is written. A session that is removed or expires before
// its turn is not in it. Nothing counts as a use.
//
// It takes the lock of one shard for each session, for a few instructions, and one block of memory: 64 KiB, or what
// the largest value takes. w is called once per block, of at most 256 sessions. It is safe for concurrent use, and several may run.
//
// Errors: those of w and of encode; a value of more than 16 MiB; ErrNotMade; ErrClosed, so that no snapshot is replaced by an
// empty one. What was written before an error is no snapshot, and ReadSnapshot says so.
func (c *Cache[V]) WriteSnapshot(w io.Writer, encode func(dst []byte, key Key, value V) ([]byte, error)) (sessions int, err error) {
	switch {
	case len(c.shards) == 0:
		return 0, ErrNotMade
	case c.closing.Load():
		return 0, ErrClosed
	}
	sw := newSnapshotWriter(c, w, encode)
	if c.index == nil {
		c.scan(sw.add)
	} else {
		for walk := range c.index.Walks() {
			for n := walk.Newest(); n != nil && sw.add(n); n = walk.Next(n) {
			}
			if sw.err != nil {
				break
			}
		}
	}
	err = sw.end()
	if err == nil && c.closing.Load() {
		err = ErrClosed // Close has removed sessions before their turn
	}
	return sw.sessions, err
}

// ReadSnapshot stores the sessions of a snapshot that WriteSnapshot has written, by this cache or another, from where r
// stands to its end. The other cache may have another layout, hash and bounds. decode is the inverse of encode; data
// and key alias a buffer that is used again, so it keeps neither. It may return ErrSkipSession.
//
// It reads r twice. The first time it verifies everything and has decode try every value. An error then leaves the cache
// as it was: ErrBadSnapshot, ErrSnapshotVersion, an error of r, of decode or of Weigh. The second time it stores, and verifies each
// block again before it stores any of it. Only where r returns other bytes then, which is ErrSnapshotChanged, or where r, decode or
// Weigh fail that did not before, are some sessions stored and others not. ErrNotMade, ErrClosed and ErrForeignClock are as for Update.
//
// Each session keeps what was left of its life when it was written, less the time that has passed since by the wall
// clock. A clock that was set back prolongs no life beyond what was left at the writing; one that was set forward ends
// sessions early. With IdleTTL, idle deadlines are kept likewise, and are at most IdleTTL away.
//
// What the cache has is newer than what is read, and wins: a session with a key that is present is not stored; those of a
// partial key are older than all that it has; and no session makes room. If there is not room for all, those stay out
// that the eviction policy valued least: demoted ones and those on probation, then those with the least time left; of a
// partial key at its quota, the oldest. OnRemove is told of none that was not stored.
//
// Others may use the cache meanwhile. A session that they remove does not come back: from the beginning of
// the call on, a key that Delete or Take was called for, or whose session left the cache, and a partial key that
// DeletePartial was called for, are passed over, whether they were there or not; so is everything after a Clear. Others
// are passed over by mistake, partial keys too: one in 10^7 after 10 000 such removals, one in 1000 after 100 000. What was removed before the call is not known to it:
// see docs/snapshots.md for what that means to single use and to revocation.
//
// It takes the lock of one shard for each session, and costs what two calls of decode and an Update do; 0.5 MB beside the sessions,
// and one block. decode must not wait for another goroutine that needs r.
func (c *Cache[V]) ReadSnapshot(r io.ReadSeeker, decode func(key Key, data []byte) (V, error)) (Restored, error) {
	switch {
	case len(c.shards) == 0:
		return Restored{}, ErrNotMade
	case c.closing.Load():
		return Restored{}, ErrClosed
	case c.now() < 0:
		return Restored{}, ErrForeignClock
	}
	removed, end := c.watchRemovals()
	defer end()
	return newLoader(c, decode, removed).load(r)
}
