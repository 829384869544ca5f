package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// Of a terminal that does not tell its size, and of what is no terminal.
const usualColumns, usualRows = 80, 24

// isTerminal says whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// sizeOf returns the columns and rows of a terminal at this moment; people resize them.
func sizeOf(w io.Writer) (columns, rows int) {
	if f, ok := w.(*os.File); ok {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 && rows > 0 {
			return columns, rows
		}
	}
	return usualColumns, usualRows
}

// takesCodes says whether w is a terminal that knows how to move its cursor. The consoles of Windows and Plan 9 may not,
// unless they say who they are.
func takesCodes(w io.Writer) bool {
	name := os.Getenv("TERM")
	if runtime.GOOS == "windows" {
		return isTerminal(w) && (name != "" || os.Getenv("WT_SESSION") != "")
	}
	return isTerminal(w) && name != "" && name != "dumb"
}

// A screen shows frames in place, on the terminal's second page, so that a resize has no old frame to wrap and what stood
// there before comes back. It is for one goroutine. Errors of writing are dropped: the report comes out all the same.
type screen struct {
	w       io.Writer
	entered bool
}

// draw shows a frame: one write, and only the ends of lines are cleared, so nothing flickers.
func (s *screen) draw(lines []string, columns, rows int) {
	var b strings.Builder
	if !s.entered {
		b.WriteString("\x1b[?1049h\x1b[?25l") // the second page, no cursor
		s.entered = true
	}
	b.WriteString("\x1b[H")
	for i, line := range lines[:min(len(lines), rows)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(clip(line, columns) + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	io.WriteString(s.w, b.String())
}

// leave brings the first page and the cursor back.
func (s *screen) leave() {
	if s.entered {
		io.WriteString(s.w, "\x1b[?25h\x1b[?1049l")
		s.entered = false
	}
}

// clip cuts a line of text to so many columns.
func clip(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:columns])
}

// sparks are levels from none to all.
var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the last shares of 100, one a column.
func sparkline(shares []float64, columns int) string {
	var b strings.Builder
	for _, share := range shares[max(0, len(shares)-columns):] {
		level := int(share / 100 * float64(len(sparks)))
		b.WriteRune(sparks[max(0, min(level, len(sparks)-1))])
	}
	return b.String()
}

// row is a line of the demo's table: what, and the figure of each side.
func row(what, ours, stock string, columns int) string {
	return fmt.Sprintf("%-26s%*s%*s", what, columns, ours, columns, stock)
}
