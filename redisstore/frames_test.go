package redisstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A fake is a server that answers GET with whatever it is told to.
type fake struct {
	addr   string
	answer string
}

// pretend starts one. It ends with the test.
func pretend(t *testing.T, answer string) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &fake{addr: l.Addr().String(), answer: answer}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	return f
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		command, err := readCommand(r)
		if err != nil {
			return
		}
		answer := "+OK\r\n"
		switch command[0] {
		case "HELLO":
			answer = "%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n"
		case "PING":
			answer = "+PONG\r\n"
		case "GET", "EVALSHA", "EVAL", "SCAN":
			answer = f.answer
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// readCommand reads an array of bulks.
func readCommand(r *bufio.Reader) (command []string, err error) {
	length := func() (n int, err error) {
		line, err := r.ReadString('\n')
		if err == nil {
			n, err = strconv.Atoi(strings.TrimSpace(line[1:]))
		}
		return n, err
	}
	n, err := length()
	for ; n > 0 && err == nil; n-- {
		var size int
		if size, err = length(); err != nil {
			break
		}
		b := make([]byte, size+2)
		_, err = io.ReadFull(r, b)
		command = append(command, string(b[:size]))
	}
	return command, err
}

// Without the framer most of these end the process, by a panic in a goroutine of the client library.
func TestNoAnswerEndsTheProcess(t *testing.T) {
	for name, answer := range map[string]string{
		"an answer that nobody asked for": "$1\r\ns\r\n$1\r\ns\r\n",
		"many of them":                    strings.Repeat("+OK\r\n", 1000),
		"a negative length":               "$-5\r\n",
		"a negative count":                "*-5\r\n",
		"a length beyond all memory":      "$9000000000000000000\r\n",
		"a length that overflows":         "$99999999999999999999999999\r\n",
		"a count beyond all memory":       "*1000000000000\r\n",
		"a map beyond all memory":         "%4611686018427387904\r\n",
		"arrays without end":              strings.Repeat("*1\r\n", 100000),
		"attributes without end":          strings.Repeat("|1\r\n", 100000),
		"a line without end":              "+" + strings.Repeat("x", 1<<20) + "\r\n",
		"an unknown type":                 "?1\r\n",
		"a stream":                        "$?\r\n;1\r\ns\r\n;0\r\n",
		"no line end":                     "+x\n",
		"an empty line":                   "\r\n",
		"no number":                       ":x\r\n",
		"a long boolean":                  "#true\r\n",
		"HTTP":                            "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{Addrs: []string{pretend(t, answer).addr}})
			for range 3 {
				// Its context ends the test of an answer that is not complete.
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := s.Lookup(ctx, secret)
				if err == nil && name != "an answer that nobody asked for" || errors.Is(err, session.ErrNotFound) || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Lookup() = %v; want an error at once", err)
				}
				discreet(t, "Lookup", err)
				if err := s.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Well-formed, and nothing that the command answers.
func TestAnswersOfAnotherKindAreErrProtocol(t *testing.T) {
	for _, answer := range []string{
		":1\r\n", "+OK\r\n", "*0\r\n", "*1\r\n:1\r\n", "%1\r\n+a\r\n+b\r\n", "#t\r\n", "*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n",
		"*4\r\n:1\r\n$2\r\nid\r\n_\r\n:1\r\n", "*2\r\n:1\r\n_\r\n", "*1\r\n:3\r\n", "*-1\r\n", "*4\r\n$0\r\n\r\n_\r\n_\r\n_\r\n", ",1.5\r\n",
		"*2\r\n$1\r\n0\r\n:1\r\n", "*2\r\n*0\r\n*0\r\n", "$1\r\ns\r\n",
	} {
		s := open(t, Config{Addrs: []string{pretend(t, answer).addr}})
		ctx := t.Context()
		_, lookup := s.Lookup(ctx, secret)
		_, sel := s.SelectSession(ctx, secret.Partial, 1)
		_, newest := s.TakeNewest(ctx, secret.Partial, true)
		_, partial := s.DeletePartial(ctx, secret.Partial)
		_, size := s.Size(ctx)
		for call, err := range map[string]error{"Lookup": lookup, "SelectSession": sel, "TakeNewest": newest, "DeletePartial": partial, "Size": size} {
			sensible := map[string]string{"Lookup": "$1\r\ns\r\n +OK\r\n *-1\r\n", "SelectSession": "", "TakeNewest": "", "DeletePartial": "", "Size": ""}[call]
			if strings.Contains(sensible, answer) {
				continue
			}
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("%s of %q = %v; want ErrProtocol", call, answer, err)
			}
			discreet(t, call, err)
		}
	}
}

// An answer may come in pieces, wherever they end.
func TestFramesAreFollowedThroughAnyPieces(t *testing.T) {
	const stream = "+OK\r\n$3\r\na\r\n\r\n*2\r\n*1\r\n:1\r\n$0\r\n\r\n>2\r\n+pushed\r\n$-1\r\n|1\r\n+a\r\n+b\r\n_\r\n*0\r\n%1\r\n+k\r\n~1\r\n#t\r\n-ERR x\r\n$-1\r\n*-1\r\n,1.5\r\n(12\r\n=5\r\ntxt:x\r\n"
	const want = 12 // the push and the attribute are none
	for size := 1; size <= len(stream); size++ {
		f := framer{strict: true}
		for rest := stream; rest != ""; {
			n := min(size, len(rest))
			if err := f.feed([]byte(rest[:n])); err != nil {
				t.Fatalf("feed(%q) = %v", rest[:n], err)
			}
			rest = rest[n:]
		}
		if f.values != want || len(f.open) != 0 || f.skip != 0 || len(f.line) != 0 {
			t.Fatalf("in pieces of %d bytes: %d values, and %+v is open; want %d and nothing", size, f.values, f, want)
		}
	}
}

// The largest session that may be stored passes the bounds of an answer, as does a page of them.
func TestTheLargestSessionsPass(t *testing.T) {
	cfg := standalone(t, kinds[0])
	cfg.MaxSessionSize = MaxSessionSize
	s := open(t, cfg)
	b := strings.Repeat("s", MaxSessionSize)
	for i := range 20 {
		update(t, s, session.Key{Partial: "p", ID: fmt.Sprint(i)}, b, time.Hour)
	}
	all, err := s.SelectSession(t.Context(), "p", 0)
	if err != nil || len(all) != 20 {
		t.Fatalf("SelectSession() = %d sessions, %v; want 20 of 1 MiB", len(all), err)
	}
	for _, e := range all {
		if string(e.Session) != b {
			t.Fatalf("SelectSession() returns another session than was stored")
		}
	}
	if n, err := s.DeletePartial(t.Context(), "p"); n != 20 || err != nil {
		t.Errorf("DeletePartial() = %d, %v; want 20", n, err)
	}
}
