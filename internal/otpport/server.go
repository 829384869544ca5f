package otpport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/faults"
)

const (
	// listings is how many requests for pages are served at once; one more waits, and all
	// that come after it. Garbage cannot pile up goroutines.
	listings = 64

	// MinFrame is the smallest bound on a frame: a key of two full parts fits.
	MinFrame = 256 << 10

	// MaxFrame is the largest bound on a frame.
	MaxFrame = 64 << 20
)

// Config sets up a server. No field has a default: the command's flags do.
type Config struct {
	MaxSessions int           // bound on the number of sessions
	MaxBytes    int64         // bound on keys and sessions together
	TTL         time.Duration // life of a session after its update
	MaxFrame    int           // bound on a request, in bytes
	Stall       time.Duration // how long a frame that began may take to arrive
}

// validate reports every field that is out of range, by the names of the command's flags.
func (cfg Config) validate() error {
	var wrong faults.List
	if cfg.MaxSessions < 1 {
		wrong.Add("-max-sessions is %d; want at least 1", cfg.MaxSessions)
	}
	if cfg.MaxBytes < 1 {
		wrong.Add("-max-bytes is %d; want at least 1", cfg.MaxBytes)
	} else if cfg.MaxBytes <= overheadBytes {
		wrong.Add("-max-bytes is %d; want more than %d, which each session takes beside its key and its bytes", cfg.MaxBytes, overheadBytes)
	}
	if cfg.TTL <= 0 {
		wrong.Add("-ttl is %v; want more than 0", cfg.TTL)
	}
	if cfg.MaxFrame < MinFrame || cfg.MaxFrame > MaxFrame {
		wrong.Add("-max-frame is %d; want %d to %d", cfg.MaxFrame, MinFrame, MaxFrame)
	}
	return wrong.Err("otpport")
}

var errFull = errors.New("otpport: the bounds are reached")

// A Server answers the requests of one owner out of one cache.
type Server struct {
	cache   *fastcache.Cache[[]byte]
	cfg     Config
	out     *frameWriter
	listing chan struct{} // holds one token per request for pages in progress
}

// overheadBytes is about what a session costs besides its key and its bytes.
const overheadBytes = 200

func weigh(key fastcache.Key, session []byte) int64 {
	return int64(len(key.Partial) + len(key.ID) + len(session) + overheadBytes)
}

// New returns a server that writes its answers to out.
func New(cfg Config, out io.Writer) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cache, err := fastcache.New(fastcache.Config[[]byte]{
		MaxSessions: cfg.MaxSessions, MaxWeight: cfg.MaxBytes, Weigh: weigh, TTL: cfg.TTL,
		Hash: fastcache.SecretHash, // the servers that OTP dials choose session ids
	})
	if err != nil {
		return nil, err
	}
	return &Server{
		cache: cache, cfg: cfg, out: newFrameWriter(out), listing: make(chan struct{}, listings),
	}, nil
}

// Serve answers until in ends, and returns nil if it ended between two frames. An error says
// that a frame did not arrive whole, or that the owner reads no more. Serve leaves a goroutine
// behind that reads in, until in ends, where a frame stalled.
func (s *Server) Serve(in io.Reader) error {
	defer s.cache.Close()
	stalled := make(chan struct{}, 1)
	r := newFrameReader(in, s.cfg.MaxFrame, s.cfg.Stall, func() {
		select {
		case stalled <- struct{}{}:
		default: // it was said already
		}
	})
	ended := make(chan error, 1)
	go func() { ended <- s.serve(r) }()
	var err error
	select {
	case err = <-ended:
	case <-stalled:
		err = fmt.Errorf("otpport: a frame did not arrive within %v", s.cfg.Stall)
	}
	for range listings { // those in progress are answered to the end
		s.listing <- struct{}{}
	}
	if err != nil {
		s.out.fault(0, codeIncomplete, err.Error())
	}
	return errors.Join(err, s.out.flush())
}

// serve answers frame by frame. It sends what it answered before it waits for more.
func (s *Server) serve(r *frameReader) error {
	tooLong := func() {
		s.out.fault(0, codeLength, fmt.Sprintf("frame is longer than %d bytes", s.cfg.MaxFrame))
		s.out.flush()
	}
	for {
		if r.idle() {
			if err := s.out.flush(); err != nil {
				return err
			}
		}
		frame, err := r.next(tooLong)
		switch {
		case err == nil:
			s.request(frame)
		case err == io.EOF:
			return nil
		case err != errTooLong:
			return fmt.Errorf("otpport: within a frame: %w", err)
		}
	}
}

// request answers one frame, at once or, where pages are wanted, in a goroutine.
func (s *Server) request(frame []byte) {
	if len(frame) < headerBytes {
		s.out.fault(0, codeBody, fmt.Sprintf("frame has %d bytes; want at least %d", len(frame), headerBytes))
		return
	}
	id, body := binary.BigEndian.Uint64(frame[2:]), frame[headerBytes:]
	if frame[0] != version {
		s.out.fault(id, codeVersion, fmt.Sprintf("version is %d; want %d", frame[0], version))
		return
	}
	switch op := op(frame[1]); op {
	case opLookup, opUpdate, opDelete:
		s.onKey(id, op, body)
	case opSize:
		if s.wantEmpty(id, body) {
			s.out.answer(id, statusOK, binary.BigEndian.AppendUint64(nil, uint64(s.cache.Size())))
		}
	case opSelect:
		partial := string(body)
		s.list(id, func(p *pages) { s.selectSession(partial, p) })
	case opKeys:
		if s.wantEmpty(id, body) {
			s.list(id, s.keys)
		}
	case opFetch:
		s.fetch(id, body)
	default:
		s.out.fault(id, codeOp, fmt.Sprintf("op is %d; want %d to %d", op, opLookup, opFetch))
	}
}

func (s *Server) wantEmpty(id uint64, body []byte) bool {
	if len(body) > 0 {
		s.out.fault(id, codeBody, fmt.Sprintf("body has %d bytes; want none", len(body)))
		return false
	}
	return true
}

// onKey does what concerns one session.
func (s *Server) onKey(id uint64, op op, body []byte) {
	key, rest, err := takeKey(body)
	if err != nil {
		s.out.fault(id, codeBody, err.Error())
		return
	}
	if op == opUpdate {
		if err := s.update(key, rest); err != nil {
			s.out.fault(id, codeRefused, err.Error())
			return
		}
		s.out.answer(id, statusOK, nil)
		return
	}
	if !s.wantEmpty(id, rest) {
		return
	}
	var session []byte
	var found bool
	if op == opDelete {
		found = s.cache.Delete(key)
	} else {
		session, found = s.cache.Lookup(key)
	}
	if !found {
		s.out.answer(id, statusAbsent, nil)
		return
	}
	s.out.answer(id, statusOK, session)
}

// update stores a copy of the session, or refuses it: to evict another one is not for the
// cache to decide, its owner counts on each.
func (s *Server) update(key fastcache.Key, session []byte) error {
	stats := s.cache.Stats()
	sessions, weight := stats.Sessions+1, stats.Weight+weigh(key, session)
	if old, ok := s.cache.Peek(key); ok {
		sessions, weight = sessions-1, weight-weigh(key, old.Value)
	}
	if sessions > s.cfg.MaxSessions || weight > s.cfg.MaxBytes {
		return errFull
	}
	return s.cache.Update(key, bytes.Clone(session))
}
