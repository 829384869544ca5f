package otpport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// version is the first byte of every frame.
const version = 1

// headerBytes is what precedes the body: version, op or status, id.
const headerBytes = 10

// An op is what a request wants.
type op byte

const (
	opLookup op = iota + 1
	opUpdate
	opDelete
	opSize
	opSelect
	opKeys
	opFetch
)

// A status is what an answer says.
type status byte

const (
	statusOK status = iota
	statusMore
	statusAbsent
	statusError
)

// A code tells errors apart.
type code byte

const (
	codeVersion code = iota + 1
	codeOp
	codeBody
	codeLength
	codeRefused
	codeIncomplete
)

var (
	errTooLong = errors.New("otpport: frame is longer than the bound")
	errShort   = errors.New("otpport: body is shorter than it says")
)

// A frameReader takes frames off a stream. It is not safe for concurrent use.
type frameReader struct {
	in    *bufio.Reader
	max   int
	buf   []byte      // the frame last read
	stall *time.Timer // runs while a frame has begun and is not complete
	limit time.Duration
}

// newFrameReader returns a reader of frames of at most maxFrame bytes. stalled is called, in
// its own goroutine, when a frame that began has not arrived limit later: a peer that sends
// noise need not send its end.
func newFrameReader(in io.Reader, maxFrame int, limit time.Duration, stalled func()) *frameReader {
	stall := time.AfterFunc(limit, stalled)
	stall.Stop()
	return &frameReader{in: bufio.NewReaderSize(in, 64<<10), max: maxFrame, stall: stall, limit: limit}
}

// idle reports whether the next call of next has to wait for input.
func (r *frameReader) idle() bool { return r.in.Buffered() == 0 }

// next returns the next frame, which is valid until the call after. It returns io.EOF where
// the stream ends between frames, io.ErrUnexpectedEOF where it ends within one, and
// errTooLong after it skipped a frame beyond the bound, reported to tooLong before.
func (r *frameReader) next(tooLong func()) ([]byte, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, err
	}
	if r.in.Buffered() < 4 {
		r.stall.Reset(r.limit)
		defer r.stall.Stop()
	}
	head, err := r.in.Peek(4)
	if err != nil {
		return nil, unexpected(err)
	}
	n := binary.BigEndian.Uint32(head)
	r.in.Discard(4)
	if uint64(r.in.Buffered()) < uint64(n) {
		r.stall.Reset(r.limit)
		defer r.stall.Stop()
	}
	if uint64(n) > uint64(r.max) {
		tooLong() // before the skipping: what the length announces may never come
		if _, err := io.CopyN(io.Discard, r.in, int64(n)); err != nil {
			return nil, unexpected(err)
		}
		return nil, errTooLong
	}
	if cap(r.buf) < int(n) {
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	if _, err := io.ReadFull(r.in, r.buf); err != nil {
		return nil, unexpected(err)
	}
	return r.buf, nil
}

// unexpected makes the end of the stream what it is within a frame.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// takeSized cuts a length and as many bytes off the front of b.
func takeSized(b []byte) (sized, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errShort
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, nil, errShort
	}
	return b[:n], b[n:], nil
}

// takeKey cuts a key off the front of b, and copies it.
func takeKey(b []byte) (key fastcache.Key, rest []byte, err error) {
	partial, b, err := takeSized(b)
	if err != nil {
		return key, nil, err
	}
	id, rest, err := takeSized(b)
	if err != nil {
		return key, nil, err
	}
	return fastcache.Key{Partial: string(partial), ID: string(id)}, rest, nil
}

func appendSized[T ~string | ~[]byte](b []byte, sized T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(sized)))
	return append(b, sized...)
}

func appendKey(b []byte, key fastcache.Key) []byte {
	return appendSized(appendSized(b, key.Partial), key.ID)
}

// A frameWriter writes answers. It is safe for concurrent use; an answer waits while another
// is being written.
type frameWriter struct {
	mu struct {
		sync.Mutex
		out *bufio.Writer
	}
}

func newFrameWriter(out io.Writer) *frameWriter {
	w := &frameWriter{}
	w.mu.out = bufio.NewWriterSize(out, 64<<10)
	return w
}

// answer writes one answer into the buffer. An error stays with the buffer and comes out of
// flush.
func (w *frameWriter) answer(id uint64, st status, body []byte) {
	var head [4 + headerBytes]byte
	binary.BigEndian.PutUint32(head[:], uint32(headerBytes+len(body)))
	head[4], head[5] = version, byte(st)
	binary.BigEndian.PutUint64(head[6:], id)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.out.Write(head[:])
	w.mu.out.Write(body)
}

// fault answers with an error. text must not quote what came in: it may be a secret.
func (w *frameWriter) fault(id uint64, c code, text string) {
	w.answer(id, statusError, append([]byte{byte(c)}, text...))
}

// flush sends what was answered.
func (w *frameWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.out.Flush()
}
