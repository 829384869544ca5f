package tlscache

import (
	"context"
	"log/slog"
	"sync"

	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
)

// maxLines bounds the lines that wait for a Logger. What happens seldom is logged, so more wait only where it hangs.
const maxLines = 64

// lines pass what there is to say to a user's Logger, in order, in a goroutine that ends when nothing is left: a
// handshake must not wait for a disk. They say what happened and how often, never to whom: no name, ticket,
// principal or key. Safe for concurrent use.
type lines struct {
	logger *slog.Logger // nil: nothing is logged
	mu     struct {
		sync.Mutex
		waiting []line
		lost    int // since there were too many
		writing bool
	}
}

type line struct {
	level slog.Level
	text  string
	attrs []slog.Attr
}

// say logs a line.
func (l *lines) say(level slog.Level, text string, attrs ...slog.Attr) {
	if l.logger == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.waiting) >= maxLines {
		l.mu.lost++
		return
	}
	l.mu.waiting = append(l.mu.waiting, line{level, text, attrs})
	if !l.mu.writing {
		l.mu.writing = true
		go l.write()
	}
}

// write passes lines on until none is left.
func (l *lines) write() {
	for {
		l.mu.Lock()
		waiting, lost := l.mu.waiting, l.mu.lost
		l.mu.waiting, l.mu.lost = nil, 0
		if l.mu.writing = len(waiting) > 0; !l.mu.writing {
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		if lost > 0 {
			waiting = append(waiting, line{slog.LevelWarn, "tlscache: lines were left out, since the Logger was slow", []slog.Attr{slog.Int("lines", lost)}})
		}
		for _, w := range waiting {
			_ = guard.Protect(func() error { l.logger.LogAttrs(context.Background(), w.level, w.text, w.attrs...); return nil })
		}
	}
}

// sayBreaker logs what a guard's breaker does.
func (l *lines) sayBreaker(open bool) {
	if open {
		l.say(slog.LevelWarn, "tlscache: the Store fails, and is left alone until it answers again")
		return
	}
	l.say(slog.LevelInfo, "tlscache: the Store answers again, and is used")
}

// lose counts that the Store has lost something before its time.
func (s *Server) lose() {
	if n := s.counts.lost.Add(1); seldom(n) {
		s.log.say(slog.LevelWarn, "tlscache: the Store has lost what revocations depend on, before its time", slog.Uint64("lost", n))
	}
}
