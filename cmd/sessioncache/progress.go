package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// maxColumns keeps the line that is rewritten on one row of a terminal of the usual width;
// a carriage return does not go back over a line that wrapped.
const maxColumns = 79

// A progress shows one line of figures that it rewrites in place on a terminal, and a line
// each time elsewhere. It is for one goroutine. Errors of writing are dropped: the report
// comes out all the same.
type progress struct {
	w        io.Writer
	terminal bool
	shown    string // the line that stands there to be rewritten
	last     counts
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, terminal: isTerminal(w)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// show writes the figures of now. The share is that of the handshakes since the last show.
func (p *progress) show(begin time.Time, srv *server, fl *fleet) {
	c, st := fl.count(), srv.sessions.Stats()
	resumed := c.resumed - p.last.resumed
	recent := resumed + c.full - p.last.full
	p.last = c
	text := fmt.Sprintf("%4s  handshakes %-6d resumed %5.1f%%  held %-5d expired %-6d revoked %d",
		seconds(begin), c.full+c.resumed, percent(resumed, recent), st.Sessions, st.Expired, st.Revoked)
	if !p.terminal {
		fmt.Fprintln(p.w, text)
		return
	}
	p.rewrite(text[:min(len(text), maxColumns)])
}

// line writes a line that stays, above the one that is rewritten.
func (p *progress) line(format string, args ...any) {
	below := p.shown
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
	p.rewrite(below)
}

// rewrite puts text in the place of the line that stands there to be rewritten.
func (p *progress) rewrite(text string) {
	if text == p.shown {
		return
	}
	fmt.Fprintf(p.w, "\r%-*s", len(p.shown), text)
	p.shown = text
}

// clear removes the line that stands there to be rewritten.
func (p *progress) clear() {
	if p.shown != "" {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", len(p.shown)))
		p.shown = ""
	}
}

// seconds returns the time since begin as "12s".
func seconds(begin time.Time) string {
	return fmt.Sprintf("%.0fs", time.Since(begin).Seconds())
}

// percent returns part of whole in percent; 0 of nothing.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}
