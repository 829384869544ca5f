package redisstore

import (
	"bytes"
	"errors"
	"strconv"
)

// errFrame says that what came from the server is no answer.
var errFrame = errors.New("redisstore: malformed answer")

// The largest answer that is read. The client library allocates what an answer announces before it has come, and panics
// in a goroutine of its own where that cannot be, or where an answer comes that nobody asked for. So a connection
// is watched, and closed before it gets there.
const (
	maxLine     = 64 << 10 // an error, or the text of one
	maxBulk     = 4 << 20  // a session of 1 MiB, or the longest key
	maxElements = 64 << 10 // the slots of a cluster, or a page of SCAN
	maxDepth    = 16
)

// A framer follows a stream of RESP and counts the values in it that are no part of others. It keeps no
// bytes of them but the line that it is in. It is not safe for concurrent use.
type framer struct {
	strict bool   // faults are reported; else the stream is our own
	values uint64 // that are complete; pushes and attributes are none
	line   []byte // what has come of a line, with its type in front
	skip   int    // bytes that are left of a bulk and its line end
	open   []aggregate
}

// An aggregate is an array or the like that is not complete.
type aggregate struct {
	left   int  // elements to come
	silent bool // a push, which is no answer, or an attribute, which comes before a value
}

// feed follows some more bytes.
func (f *framer) feed(p []byte) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(p))
			p = p[n:]
			if f.skip -= n; f.skip == 0 {
				f.complete(false)
			}
			continue
		}
		end := bytes.IndexByte(p, '\n')
		n := end + 1
		if end < 0 {
			n = len(p)
		}
		f.line = append(f.line, p[:n]...)
		p = p[n:]
		if f.strict && len(f.line) > maxLine {
			return errFrame
		}
		if end >= 0 {
			if err := f.header(f.line); err != nil {
				return err
			}
			f.line = f.line[:0]
		}
	}
	return nil
}

// header takes a whole line: a value, or the announcement of one.
func (f *framer) header(line []byte) error {
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return errFrame
	}
	kind, text := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+', '-', ',', '(':
		f.complete(false)
		return nil
	case ':':
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return errFrame
		}
		f.complete(false)
		return nil
	case '#':
		if text != "t" && text != "f" {
			return errFrame
		}
		f.complete(false)
		return nil
	case '_':
		if text != "" {
			return errFrame
		}
		f.complete(false)
		return nil
	case '$', '!', '=', '*', '%', '~', '|', '>':
		return f.announced(kind, text)
	}
	return errFrame
}

// announced takes the length of a bulk, or how many elements there are.
func (f *framer) announced(kind byte, text string) error {
	n, err := strconv.Atoi(text)
	null := n == -1 && (kind == '$' || kind == '*')
	if err != nil || n < 0 && !null {
		return errFrame
	}
	switch kind {
	case '$', '!', '=':
		if f.strict && n > maxBulk {
			return errFrame
		}
		if null {
			f.complete(false)
			return nil
		}
		f.skip = n + len("\r\n")
		return nil
	case '%', '|':
		n *= 2
	}
	if f.strict && (n > maxElements || n < -1 || len(f.open) >= maxDepth) {
		return errFrame
	}
	silent := kind == '|' || kind == '>'
	if n <= 0 {
		f.complete(silent)
		return nil
	}
	f.open = append(f.open, aggregate{n, silent})
	return nil
}

// complete ends a value, and what it was the last element of.
func (f *framer) complete(silent bool) {
	for !silent {
		top := len(f.open) - 1
		if top < 0 {
			f.values++
			return
		}
		if f.open[top].left--; f.open[top].left > 0 {
			return
		}
		silent = f.open[top].silent
		f.open = f.open[:top]
	}
}
