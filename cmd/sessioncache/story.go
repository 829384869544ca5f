package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

const (
	// beat is the time between two frames. Figures are of the last second.
	beat  = 250 * time.Millisecond
	beats = int(time.Second / beat)

	columnsOfText = 100 // a longer line is hard to read
)

// A moment is what both sides had counted at one time.
type moment struct {
	at          time.Time
	ours, stock counts
	held        session.MemoryStats
}

// A story tells a run: figures that change, and a sentence for each thing that happens. On a terminal it draws frames, and
// elsewhere it writes a line a second. It is for one goroutine.
type story struct {
	w        io.Writer
	terminal bool
	screen   screen
	title    string
	duration time.Duration
	begin    time.Time
	now      func() moment

	moments           []moment  // the last ones
	ourShare, stShare []float64 // of handshakes that resumed, a beat each
	said              []string  // sentences
	mostly, expired   bool      // said already
	drawn             int       // beats
}

func newStory(w io.Writer, title string, d time.Duration, begin time.Time, now func() moment) *story {
	s := &story{w: w, terminal: takesCodes(w), screen: screen{w: w}, title: title, duration: d, begin: begin, now: now}
	s.moments = []moment{now()}
	if !s.terminal {
		fmt.Fprintln(w, wrap(title, usualColumns-1, ""))
	}
	s.say("No client has a session yet, so each handshake is a full one: a certificate to send and check, a signature to make.")
	return s
}

// say adds a sentence to the story.
func (s *story) say(format string, args ...any) {
	text := fmt.Sprintf("%4s  %s", seconds(s.begin), fmt.Sprintf(format, args...))
	s.said = append(s.said, text)
	if !s.terminal {
		fmt.Fprintln(s.w, wrap(text, usualColumns-1, "      "))
	}
}

// tick takes the figures of now and shows them.
func (s *story) tick() {
	m := s.now()
	last := s.moments[len(s.moments)-1]
	s.ourShare = append(s.ourShare, shareSince(last.ours, m.ours))
	s.stShare = append(s.stShare, shareSince(last.stock, m.stock))
	s.moments = append(s.moments, m)
	if len(s.moments) > beats+1 {
		s.moments = s.moments[1:]
	}
	s.notice(m)
	s.drawn++
	if s.terminal {
		columns, rows := sizeOf(s.w)
		s.screen.draw(s.frame(columns), columns, rows)
	} else if s.drawn%beats == 0 {
		first := s.moments[0]
		fmt.Fprintf(s.w, "%4s  resumed %5.1f %%, stock %5.1f %%; held %d, expired %d\n", seconds(s.begin),
			shareSince(first.ours, m.ours), shareSince(first.stock, m.stock), m.held.Sessions, m.held.Expired)
	}
}

// notice says what happened for the first time.
func (s *story) notice(m moment) {
	if share := shareSince(s.moments[0].ours, m.ours); !s.mostly && share > 50 {
		s.mostly = true
		s.say("Most handshakes resume now: no certificate, no signature.")
	}
	if !s.expired && m.held.Expired > 0 {
		s.expired = true
		s.say("The first sessions reached their deadline. From that instant they resume nothing.")
	}
}

// shareSince is the share of the handshakes between two counts that resumed, in percent.
func shareSince(from, to counts) float64 {
	resumed := to.resumed - from.resumed
	return percent(resumed, resumed+to.full-from.full)
}

// end leaves the terminal as it was. What was said stands on it again, so that it can be read after the run.
func (s *story) end() {
	s.screen.leave()
	if !s.terminal {
		return
	}
	columns, _ := sizeOf(s.w)
	columns = min(columns, columnsOfText)
	fmt.Fprintln(s.w, wrap(s.title, columns-1, ""))
	for _, text := range s.said {
		fmt.Fprintln(s.w, wrap(text, columns-1, "      "))
	}
}

// frame is what a terminal of so many columns shows now.
func (s *story) frame(columns int) []string {
	columns = min(columns, columnsOfText)
	wide := max(16, (columns-28)/2)
	first, m := s.moments[0], s.moments[len(s.moments)-1]
	elapsed := max(m.at.Sub(first.at), beat).Seconds()
	rate := func(from, to counts) string {
		return fmt.Sprintf("%.0f", float64(to.full+to.resumed-from.full-from.resumed)/elapsed)
	}
	share := func(from, to counts) string { return fmt.Sprintf("%.1f %%", shareSince(from, to)) }
	number := func(n any) string { return fmt.Sprint(n) }
	spark := wide - 2
	lines := strings.Split(wrap(s.title, columns-1, ""), "\n")
	lines = append(lines, "",
		row("", "sessioncache", "crypto/tls", wide),
		row("handshakes per second", rate(first.ours, m.ours), rate(first.stock, m.stock), wide),
		row("resumed, last second", share(first.ours, m.ours), share(first.stock, m.stock), wide),
		row("  and before", sparkline(s.ourShare, spark), sparkline(s.stShare, spark), wide),
		row("sessions held", number(m.held.Sessions), "by the clients", wide),
		row("expired", number(m.held.Expired), "after 7 days", wide),
		row("revoked", number(m.held.Revoked), "all or none", wide),
		row("resumed although revoked", number(m.ours.revokedResumed), number(m.stock.revokedResumed), wide),
		"",
		s.clock(m.at, columns-1), "")
	for _, text := range s.said {
		lines = append(lines, strings.Split(wrap(text, columns-1, "      "), "\n")...)
	}
	return lines
}

// clock is a bar of the time that has passed.
func (s *story) clock(now time.Time, columns int) string {
	passed := min(now.Sub(s.begin), s.duration)
	text := fmt.Sprintf(" %.0f of %.0f s, Ctrl-C ends it", passed.Seconds(), s.duration.Seconds())
	room := max(columns-len(text), 1)
	full := int(float64(room) * float64(passed) / float64(s.duration))
	return strings.Repeat("█", full) + strings.Repeat("░", room-full) + text
}
