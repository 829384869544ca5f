package fastcache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sessioncache/sessioncache/internal/eviction"
)

// A snapshotWriter is one WriteSnapshot under way. It gathers a batch of nodes, looks at each under its shard's lock, then reads
// the clock, and then encodes them: so a session that is in a block was stored before the block's instant, and the life that
// is written is no longer than what was left of it.
type snapshotWriter[V any] struct {
	cache    *Cache[V]
	w        io.Writer
	encode   func([]byte, Key, V) ([]byte, error)
	hash     xxhash.Digest
	sessions int
	err      error // the first

	batch [batchSessions]written[V]
	held  int // nodes in batch

	scratch []byte // what encode appends to
	block   []byte // frame and body, as far as they are
	inBlock int    // sessions in it
}

// written is a session as its shard's lock showed it.
type written[V any] struct {
	node     *node[V]
	until    int64
	deadline int64 // beyond until with IdleTTL
	flags    uint8
}

func newSnapshotWriter[V any](c *Cache[V], w io.Writer, encode func([]byte, Key, V) ([]byte, error)) *snapshotWriter[V] {
	sw := &snapshotWriter[V]{cache: c, w: w, encode: encode}
	sw.hash.Reset()
	head := newHead(rand.Uint64())
	sw.hash.Write(head)
	sw.put(head)
	sw.block = make([]byte, frameSize, 2*blockFull)
	sw.scratch = make([]byte, 0, 4096)
	return sw
}

// put writes bytes.
func (sw *snapshotWriter[V]) put(p []byte) {
	n, err := sw.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		sw.err = fmt.Errorf("fastcache: writing a snapshot: %w", err)
	}
}

// add takes a session into the batch. False says that there was an error.
func (sw *snapshotWriter[V]) add(n *node[V]) bool {
	if n.Item.until.Load() <= 0 {
		return sw.err == nil
	}
	sw.batch[sw.held].node = n
	if sw.held++; sw.held == len(sw.batch) {
		sw.flush()
	}
	return sw.err == nil
}

// end writes what is left, and the last block.
func (sw *snapshotWriter[V]) end() error {
	sw.flush()
	sw.block = binary.LittleEndian.AppendUint64(sw.block[:frameSize], uint64(sw.sessions))
	sw.finish(blockOfEnd, time.Now())
	return sw.err
}

// flush encodes the batch into blocks.
func (sw *snapshotWriter[V]) flush() {
	c, found := sw.cache, sw.batch[:0]
	for _, s := range sw.batch[:sw.held] {
		if now, ok := c.writtenOf(s.node); ok {
			found = append(found, now)
		}
	}
	wall := time.Now() // after all until were loaded
	for i := range found {
		if sw.err == nil {
			sw.encodeOne(&found[i], wall)
		}
		if len(sw.block) >= blockFull {
			sw.finish(blockOfSessions, wall)
		}
	}
	if sw.inBlock > 0 {
		sw.finish(blockOfSessions, wall)
	}
	clear(sw.batch[:sw.held]) // keeps no session alive
	sw.held = 0
}

// writtenOf looks at a session, or at the one that has replaced it. False says that it is gone.
func (c *Cache[V]) writtenOf(n *node[V]) (w written[V], ok bool) {
	key := keyOf(n)
	digest := c.digest(key)
	s := c.shardOf(digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.residesLocked(n) {
		if n = find(s.table.Load(), uint32(digest), key); n == nil {
			return w, false
		}
	}
	slot := n.Item.slot
	until := n.Item.until.Load()
	w = written[V]{node: n, until: until, deadline: until, flags: uint8(n.Item.meta.Load() & useMask)}
	if c.cfg.IdleTTL > 0 {
		w.deadline = extraOf(n).deadline.Load()
		w.flags |= flagIdle
	}
	switch s.mu.policy.Standing(slot) {
	case eviction.Returning:
		w.flags |= flagReturning
	case eviction.Demoted:
		w.flags |= flagDemoted
	}
	if s.mu.probation.Has(slot) {
		w.flags |= flagProbation
	}
	return w, until > 0 && !revoked(n)
}

// encodeOne appends a session to the block, if it is still there and its time is not over.
func (sw *snapshotWriter[V]) encodeOne(s *written[V], wall time.Time) {
	now := int64(wall.Sub(sw.cache.birth))
	if s.until <= now || s.node.Item.until.Load() <= 0 || revoked(s.node) {
		return
	}
	key := keyOf(s.node)
	value, err := sw.encode(sw.scratch[:0], key, s.node.Item.value)
	switch {
	case errors.Is(err, ErrSkipSession):
		return
	case err != nil:
		sw.err = fmt.Errorf("fastcache: encoding a session: %w", err)
		return
	case len(value) > largestValue:
		sw.err = fmt.Errorf("fastcache: a session is encoded in %d bytes; want at most %d", len(value), largestValue)
		return
	case cap(value) > cap(sw.scratch):
		// Not value itself: it may be the session's own bytes, over which the next one would be written.
		sw.scratch = make([]byte, 0, cap(value))
	}
	r := record{flags: s.flags, life: s.deadline - now, idle: s.until - now, key: key, value: value}
	sw.block = appendRecord(sw.block, &r)
	sw.inBlock++
	sw.sessions++
}

// finish fills in the frame of the block and writes it.
func (sw *snapshotWriter[V]) finish(kind byte, wall time.Time) {
	frame := sw.block[:frameSize]
	frame[0] = kind
	binary.LittleEndian.PutUint32(frame[1:], uint32(len(sw.block)-frameSize))
	binary.LittleEndian.PutUint32(frame[5:], uint32(sw.inBlock))
	binary.LittleEndian.PutUint64(frame[9:], uint64(wall.UnixNano()))
	if sw.err == nil {
		sw.hash.Write(sw.block)
		sw.block = binary.LittleEndian.AppendUint64(sw.block, sw.hash.Sum64())
		sw.hash.Write(sw.block[len(sw.block)-checkSize:])
		sw.put(sw.block)
	}
	sw.block, sw.inBlock = sw.block[:frameSize], 0
}
