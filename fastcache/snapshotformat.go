package fastcache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/cespare/xxhash/v2"
)

// The format of snapshots, which docs/snapshots.md shows as tables: a head, blocks of sessions, and a block that says how many
// sessions there were. All numbers are little-endian.
const (
	snapshotMagic   = "\x89SCSNAP\n"
	snapshotVersion = 1

	headSize    = 32 // magic, version (2), zero (6), random id (8), checksum (8)
	headHashed  = headSize - checkSize
	frameSize   = 17 // kind (1), length of the body (4), sessions (4), wall clock (8)
	checkSize   = 8  // behind each body: XXH64 of all bytes of the snapshot before it
	endBodySize = 8  // the number of sessions

	// blockFull is the size from which on a block takes no more sessions.
	blockFull = 64 << 10

	// largestValue bounds an encoded value, and with it what a reader must be ready to hold.
	largestValue = 16 << 20
	largestBody  = blockFull + recordFixed + 2*MaxKeyPart + largestValue

	// recordFixed is the most that a session takes beside its key and value, leastRecord the least in all.
	recordFixed = 1 + 4*binary.MaxVarintLen64 + 4
	leastRecord = 1 + 3 + 4
)

// The kinds of blocks.
const (
	blockOfSessions = 1
	blockOfEnd      = 2
)

// The flags of a record.
const (
	flagUses      = maxUse // the uses, in the low two bits
	flagReturning = 1 << 2 // eviction.Returning
	flagDemoted   = 1 << 3 // eviction.Demoted
	flagProbation = 1 << 4
	flagIdle      = 1 << 5 // an idle life follows the life
	flagsKnown    = 1<<6 - 1
)

// A record is one session in a snapshot. Lives count from its block's instant.
type record struct {
	flags uint8
	life  int64  // ns, positive
	idle  int64  // ns, positive; with flagIdle
	key   Key    // aliases the block
	value []byte // likewise
}

// appendRecord appends a session to a block's body.
func appendRecord(body []byte, r *record) []byte {
	body = append(body, r.flags)
	body = binary.AppendUvarint(body, uint64(len(r.key.Partial)))
	body = binary.AppendUvarint(body, uint64(len(r.key.ID)))
	body = binary.AppendUvarint(body, uint64(r.life))
	if r.flags&flagIdle != 0 {
		body = binary.AppendUvarint(body, uint64(r.idle))
	}
	body = binary.LittleEndian.AppendUint32(body, uint32(len(r.value)))
	body = append(body, r.key.Partial...)
	body = append(body, r.key.ID...)
	return append(body, r.value...)
}

// errRecord says that a block's body is not a row of records. It has the right checksum, so it was not damaged.
var errRecord = errors.New("holds what is no session")

// cutRecord reads the record at the beginning of a body, and returns the rest. It believes no length.
func cutRecord(body []byte, r *record) (rest []byte, err error) {
	if len(body) < leastRecord {
		return nil, errRecord
	}
	r.flags, r.idle = body[0], 0
	var lengths [4]uint64 // of the partial key and the id, the life, the idle life
	numbers := lengths[:3]
	if r.flags&flagIdle != 0 {
		numbers = lengths[:]
	}
	body = body[1:]
	for i := range numbers {
		n, size := binary.Uvarint(body)
		if size <= 0 || n > math.MaxInt64 {
			return nil, errRecord
		}
		numbers[i], body = n, body[size:]
	}
	if len(body) < 4 {
		return nil, errRecord
	}
	value := uint64(binary.LittleEndian.Uint32(body))
	body = body[4:]
	partial, id := lengths[0], lengths[1]
	r.life, r.idle = int64(lengths[2]), int64(lengths[3])
	switch {
	case r.flags&^flagsKnown != 0, r.flags&flagReturning != 0 && r.flags&flagDemoted != 0:
		return nil, errRecord
	case partial > MaxKeyPart, id > MaxKeyPart, value > largestValue, partial+id+value > uint64(len(body)):
		return nil, errRecord
	case r.life == 0, r.flags&flagIdle != 0 && r.idle == 0:
		return nil, errRecord
	}
	r.key = KeyOf(body[:partial], body[partial:partial+id])
	r.value = body[partial+id : partial+id+value : partial+id+value]
	return body[partial+id+value:], nil
}

// newHead returns the head of a snapshot.
func newHead(id uint64) []byte {
	head := append(make([]byte, 0, headSize), snapshotMagic...)
	head = binary.LittleEndian.AppendUint16(head, snapshotVersion)
	head = append(head, make([]byte, 6)...)
	head = binary.LittleEndian.AppendUint64(head, id)
	return binary.LittleEndian.AppendUint64(head, xxhash.Sum64(head))
}

// A blockReader reads a snapshot block by block, and returns none that it has not verified.
type blockReader struct {
	r        io.Reader
	hash     xxhash.Digest
	offset   int64 // of the block that is read, for errors
	sessions uint64

	head  [headSize]byte
	frame [frameSize]byte // of the block, then its checksum

	wall int64  // the block's instant, ns since 1970
	left int    // sessions that its body still holds, by its frame
	body []byte // of the block, or what is left of it
	buf  []byte // for body
}

// bad returns an ErrBadSnapshot that says where and what.
func (b *blockReader) bad(why string) error {
	return fmt.Errorf("%w: the block at byte %d %s", ErrBadSnapshot, b.offset, why)
}

// fill reads all of p. The end of the input is an ErrBadSnapshot, and other errors are those of the reader.
func (b *blockReader) fill(p []byte) error {
	_, err := io.ReadFull(b.r, p)
	switch err {
	case nil:
		return nil
	case io.EOF, io.ErrUnexpectedEOF:
		return b.bad("ends early")
	}
	return fmt.Errorf("fastcache: reading a snapshot: %w", err)
}

// begin reads the head.
func (b *blockReader) begin(r io.Reader) error {
	b.r, b.buf = r, b.buf[:0]
	b.offset, b.sessions, b.left, b.body = 0, 0, 0, nil
	b.hash.Reset()
	head := b.head[:]
	if err := b.fill(head); err != nil {
		return err
	}
	version := binary.LittleEndian.Uint16(head[len(snapshotMagic):])
	switch {
	case !bytes.HasPrefix(head, []byte(snapshotMagic)):
		return b.bad("is not the beginning of a snapshot")
	case version > snapshotVersion:
		return fmt.Errorf("%w: it has version %d; want at most %d", ErrSnapshotVersion, version, snapshotVersion)
	case !bytes.Equal(head, newHead(binary.LittleEndian.Uint64(head[16:]))):
		return b.bad("was changed: the head's checksum does not match")
	}
	b.hash.Write(head)
	b.offset = headSize
	return nil
}

// next reads a block and verifies it. False says that it was the last one.
func (b *blockReader) next() (more bool, err error) {
	frame := b.frame[:]
	if err := b.fill(frame); err != nil {
		return false, err
	}
	kind, length, sessions := frame[0], binary.LittleEndian.Uint32(frame[1:]), binary.LittleEndian.Uint32(frame[5:])
	b.wall = int64(binary.LittleEndian.Uint64(frame[9:]))
	switch {
	case kind != blockOfSessions && kind != blockOfEnd, length > largestBody, sessions > length/leastRecord:
		return false, b.bad("was changed: no block begins so")
	case kind == blockOfEnd && (length != endBodySize || sessions != 0):
		return false, b.bad("was changed: no snapshot ends so")
	}
	if err := b.readBody(int(length)); err != nil {
		return false, err
	}
	b.hash.Write(frame)
	b.hash.Write(b.body)
	check := b.frame[:checkSize]
	if err := b.fill(check); err != nil {
		return false, err
	}
	if binary.LittleEndian.Uint64(check) != b.hash.Sum64() {
		return false, b.bad("was changed: its checksum does not match")
	}
	b.hash.Write(check)
	if kind == blockOfEnd {
		return false, b.checkEnd()
	}
	b.left = int(sessions)
	b.sessions += uint64(sessions)
	b.offset += int64(frameSize + len(b.body) + checkSize)
	return true, nil
}

// readBody reads a body of a length that is not verified: it takes no more memory than about twice of what is there.
func (b *blockReader) readBody(length int) error {
	b.buf = b.buf[:0]
	for len(b.buf) < length {
		from := len(b.buf)
		piece := min(length-from, max(from, blockFull))
		b.buf = append(b.buf, make([]byte, piece)...)
		if err := b.fill(b.buf[from:]); err != nil {
			return err
		}
	}
	b.body = b.buf
	return nil
}

// checkEnd checks the last block, and that nothing comes after it.
func (b *blockReader) checkEnd() error {
	if n := binary.LittleEndian.Uint64(b.body); n != b.sessions {
		return b.bad(fmt.Sprintf("counts %d sessions, and %d came before it", n, b.sessions))
	}
	switch _, err := io.ReadFull(b.r, b.frame[:1]); err {
	case io.EOF:
		return nil
	case nil:
		return b.bad("is the last one, and more comes after it")
	default:
		return fmt.Errorf("fastcache: reading a snapshot: %w", err)
	}
}

// record returns the block's next session, false if it has no more.
func (b *blockReader) record(r *record) (ok bool, err error) {
	if b.left == 0 {
		if len(b.body) > 0 {
			return false, b.bad(errRecord.Error())
		}
		return false, nil
	}
	b.left--
	if b.body, err = cutRecord(b.body, r); err != nil {
		return false, b.bad(err.Error())
	}
	return true, nil
}
