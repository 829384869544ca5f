//go:build unix

package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// On a terminal the demo draws frames no wider than it is, follows a resize, and leaves the first page as it was.
func TestDemoOnATerminalFitsItAndFollowsAResize(t *testing.T) {
	t.Setenv("TERM", "xterm")
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 30, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	resized := -1 // how much was written when the terminal grew
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 1<<16)
		for {
			n, err := master.Read(buf)
			written.Write(buf[:n])
			if err != nil {
				return // the other end is closed
			}
			if resized < 0 && strings.Count(written.String(), "\x1b[H") == 3 {
				resized = written.Len()
				if err := pty.Setsize(master, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	_, err = demo(t.Context(), demoConfig{hosts: 30, clients: 4, duration: 2 * time.Second}, terminal)
	if err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	<-read

	all := written.String()
	first, last := strings.Index(all, "\x1b[?1049h"), strings.LastIndex(all, "\x1b[?1049l")
	if first != 0 || last < 0 || resized < 0 {
		t.Fatalf("entered the second page at %d, left it at %d, resized at %d; want 0, later, and later:\n%q", first, last, resized, all)
	}
	if widest := widestOf(all[:resized]); widest > 60 {
		t.Errorf("on 60 columns a line has %d", widest)
	}
	if widest := widestOf(all[resized:last]); widest <= 60 || widest > 100 {
		t.Errorf("on 100 columns the widest line has %d; want more than 60 and at most 100", widest)
	}
}

// widestOf returns the columns of the widest line, without the codes of the cursor.
func widestOf(text string) (widest int) {
	plain := strings.NewReplacer("\x1b[?1049h", "", "\x1b[?1049l", "\n", "\x1b[?25h", "", "\x1b[?25l", "", "\x1b[H", "\n", "\x1b[K", "", "\x1b[J", "", "\r", "").Replace(text)
	for line := range strings.Lines(plain) {
		widest = max(widest, len([]rune(strings.TrimSuffix(line, "\n"))))
	}
	return widest
}

// A terminal that knows no codes gets lines.
func TestDumbTerminalsGetLines(t *testing.T) {
	master, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer terminal.Close()
	for name, want := range map[string]bool{"dumb": false, "": false, "xterm-256color": true} {
		t.Setenv("TERM", name)
		if got := takesCodes(terminal); got != want || !isTerminal(terminal) || takesCodes(io.Discard) {
			t.Errorf("TERM=%s: takesCodes is %v; want %v", name, got, want)
		}
	}
}
