package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// maxColumns keeps the line that is rewritten on one row of a terminal of the usual width;
// a carriage return does not go back over a line that wrapped.
const maxColumns = 79

// A progress shows one line that it rewrites in place on a terminal, and nothing elsewhere. It is for one goroutine. Errors of writing are dropped: the report
// comes out all the same.
type progress struct {
	w        io.Writer
	terminal bool
	shown    string // the line that stands there to be rewritten
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, terminal: isTerminal(w)}
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
