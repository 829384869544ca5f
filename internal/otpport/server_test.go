package otpport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func fault(id uint64, c code, text string) answer {
	return answer{statusError, id, string(rune(c)) + text}
}

func TestEachOpAnswersAsDocumented(t *testing.T) {
	got, err := serve(t, testConfig(),
		frame(opLookup, 1, key("h", "a")),
		frame(opUpdate, 2, key("h", "a"), []byte("first")),
		frame(opUpdate, 3, key("h", "b"), []byte("second")),
		frame(opUpdate, 4, key("", ""), nil),
		frame(opUpdate, 5, key("h", "a"), []byte("third")),
		frame(opLookup, 6, key("h", "a")),
		frame(opLookup, 7, key("", "")),
		frame(opSize, 8),
		frame(opDelete, 9, key("h", "b")),
		frame(opDelete, 10, key("h", "b")),
		frame(opSize, 1<<64-1),
	)
	want := []answer{
		{statusAbsent, 1, ""}, {statusOK, 2, ""}, {statusOK, 3, ""}, {statusOK, 4, ""}, {statusOK, 5, ""},
		{statusOK, 6, "third"}, {statusOK, 7, ""}, {statusOK, 8, number(3)},
		{statusOK, 9, ""}, {statusAbsent, 10, ""}, {statusOK, 1<<64 - 1, number(2)},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" || err != nil {
		t.Errorf("answers differ (-want +got), error %v:\n%s", err, diff)
	}
}

func TestListingsAnswerInPages(t *testing.T) {
	large := strings.Repeat("x", 2*pageBytes)
	frames := [][]byte{
		frame(opUpdate, 1, key("h", "a"), []byte("one")),
		frame(opUpdate, 2, key("h", "b"), []byte(large)),
		frame(opUpdate, 3, key("h", "c"), []byte("three")),
		frame(opUpdate, 4, key("other", "a"), []byte("four")),
	}
	for _, tt := range []struct {
		name string
		ask  []byte
		want []answer
	}{
		{"select, newest first", frame(opSelect, 9, []byte("h")), []answer{
			{statusMore, 9, string(sized("three"))}, {statusMore, 9, string(sized(large))}, {statusOK, 9, string(sized("one"))},
		}},
		{"select of nothing", frame(opSelect, 9, []byte("nobody")), []answer{{statusOK, 9, ""}}},
		{"fetch, without the absent", frame(opFetch, 9, key("other", "a"), key("h", "z"), key("h", "a")), []answer{
			{statusOK, 9, string(key("other", "a")) + string(sized("four")) + string(key("h", "a")) + string(sized("one"))},
		}},
		{"fetch of nothing", frame(opFetch, 9), []answer{{statusOK, 9, ""}}},
	} {
		got, err := serve(t, testConfig(), append(frames[:4:4], tt.ask)...)
		if diff := cmp.Diff(tt.want, got[4:], cmp.AllowUnexported(answer{})); diff != "" || err != nil {
			t.Errorf("%s: pages differ (-want +got), error %v:\n%s", tt.name, err, diff)
		}
	}
}

func TestKeysAreListedOnceInBoundedPages(t *testing.T) {
	const sessions = 5000
	cfg := testConfig()
	cfg.MaxSessions = sessions
	var frames [][]byte
	for i := range sessions {
		frames = append(frames, frame(opUpdate, 1, key("h", fmt.Sprint(i)), nil))
	}
	got, err := serve(t, cfg, append(frames, frame(opKeys, 2))...)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	pages := got[sessions:]
	for i, page := range pages {
		if last := i == len(pages)-1; page.id != 2 || (page.status == statusOK) != last || len(page.body) > pageBytes {
			t.Fatalf("page %d of %d: status %d and %d bytes; want at most %d", i+1, len(pages), page.status, len(page.body), pageBytes)
		}
		for b := []byte(page.body); len(b) > 0; {
			k, rest, err := takeKey(b)
			if err != nil {
				t.Fatal(err)
			}
			seen[k.ID]++
			b = rest
		}
	}
	if len(seen) != sessions || len(pages) < 2 {
		t.Errorf("%d keys in %d pages; want %d in some", len(seen), len(pages), sessions)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("key %s is listed %d times; want 1", id, n)
		}
	}
}

func TestMalformedFramesAreAnsweredAndNothingIsLost(t *testing.T) {
	cfg := testConfig()
	cfg.MaxFrame = MinFrame
	tooLong := sized(strings.Repeat("z", MinFrame+1))
	longPart := strings.Repeat("p", 64<<10+1)
	got, err := serve(t, cfg,
		frame(opUpdate, 1, key("h", "a"), []byte("kept")),
		sized(""),
		sized("\x01\x01seven"),
		sized("\x02"+string(frame(opSize, 2)[5:])),
		frame(0, 3), frame(opFetch+1, 4),
		frame(opSize, 5, []byte("x")), frame(opKeys, 6, []byte("x")),
		frame(opLookup, 7), frame(opLookup, 8, []byte("\xff\xff\xff\xffp")), frame(opUpdate, 9, sized("p"), []byte{0, 0, 0, 1}),
		frame(opLookup, 10, key("h", "a"), []byte("x")),
		frame(opFetch, 11, key("h", "a"), []byte("x")),
		tooLong,
		frame(opUpdate, 12, key(longPart, "a"), nil),
		frame(opLookup, 13, key("h", "a")),
	)
	want := []answer{
		{statusOK, 1, ""},
		fault(0, codeBody, "frame has 0 bytes; want at least 10"),
		fault(0, codeBody, "frame has 7 bytes; want at least 10"),
		fault(2, codeVersion, "version is 2; want 1"),
		fault(3, codeOp, "op is 0; want 1 to 7"), fault(4, codeOp, "op is 8; want 1 to 7"),
		fault(5, codeBody, "body has 1 bytes; want none"), fault(6, codeBody, "body has 1 bytes; want none"),
		fault(7, codeBody, errShort.Error()), fault(8, codeBody, errShort.Error()), fault(9, codeBody, errShort.Error()),
		fault(10, codeBody, "body has 1 bytes; want none"),
		fault(11, codeBody, errShort.Error()),
		fault(0, codeLength, "frame is longer than 262144 bytes"),
		fault(12, codeRefused, fmt.Sprintf("fastcache: part of the key is longer than 64 KiB: Partial has %d bytes; want at most %d", len(longPart), 64<<10)),
		{statusOK, 13, "kept"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" || err != nil {
		t.Errorf("answers differ (-want +got), error %v:\n%s", err, diff)
	}
}

func TestBoundsRefuseAndEvictNothing(t *testing.T) {
	cfg := testConfig()
	cfg.MaxSessions, cfg.MaxBytes = 3, 3*(2+overheadBytes)+10
	got, _ := serve(t, cfg,
		frame(opUpdate, 1, key("h", "a"), nil),
		frame(opUpdate, 2, key("h", "b"), nil),
		frame(opUpdate, 3, key("h", "c"), []byte("0123456789")),
		frame(opUpdate, 4, key("h", "d"), nil),                  // one too many
		frame(opUpdate, 5, key("h", "a"), []byte("0")),          // one byte too many
		frame(opUpdate, 6, key("h", "c"), []byte("9876543210")), // in place of as much
		frame(opDelete, 7, key("h", "b")),
		frame(opUpdate, 8, key("h", "d"), nil),
		frame(opSelect, 9, []byte("h")),
	)
	ok := func(id uint64) answer { return answer{statusOK, id, ""} }
	want := []answer{
		ok(1), ok(2), ok(3), fault(4, codeRefused, errFull.Error()), fault(5, codeRefused, errFull.Error()),
		ok(6), ok(7), ok(8), {statusOK, 9, string(sized("")) + string(sized("9876543210")) + string(sized(""))},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
		t.Errorf("answers differ (-want +got):\n%s", diff)
	}
}

func TestEndOfInput(t *testing.T) {
	whole := frame(opSize, 1)
	for n := range len(whole) + 1 {
		got, err := serve(t, testConfig(), whole, whole[:n])
		if n == 0 || n == len(whole) {
			if err != nil {
				t.Errorf("Serve = %v where the input ends between frames; want nil", err)
			}
			continue
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Serve = %v where the input ends %d bytes into a frame; want %v", err, n, io.ErrUnexpectedEOF)
		}
		if len(got) != 2 || got[0].id != 1 || got[1].status != statusError || got[1].body[0] != byte(codeIncomplete) {
			t.Errorf("%d bytes into a frame: answers %v; want one and an error", n, got)
		}
	}
}

// Noise that announces more than it brings, and stays, must not look like a frame on its way.
func TestFrameThatStallsIsAnErrorInTime(t *testing.T) {
	for _, noise := range []string{"\x00", "\x00\x00\x00\x05abcd", "\xff\xff\xff\xff" + strings.Repeat("noise", 100)} {
		synctest.Test(t, func(t *testing.T) {
			in, owner := io.Pipe()
			var out bytes.Buffer
			s, err := New(testConfig(), &out)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error)
			go func() { ended <- s.Serve(in) }()
			time.Sleep(time.Hour) // idle is no fault
			go owner.Write(append(frame(opSize, 1), noise...))
			begin := time.Now()
			err = <-ended
			if took := time.Since(begin); err == nil || took != testConfig().Stall {
				t.Errorf("Serve = %v after %v; want an error after %v", err, took, testConfig().Stall)
			}
			if a, ok := readAnswer(t, &out); !ok || a.id != 1 {
				t.Errorf("first answer %v; want the one to the whole frame before", a)
			}
			if a, ok := readAnswer(t, &out); !ok || a.status != statusError {
				t.Errorf("second answer %v; want an error", a)
			}
			owner.Close()
		})
	}
}

func TestFrameThatComesInPiecesIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, owner := io.Pipe()
		out, answers := io.Pipe()
		s, err := New(testConfig(), answers)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- s.Serve(in) }()
		for id := range uint64(20) {
			for _, b := range frame(opUpdate, id, key("h", "a"), []byte("session")) {
				owner.Write([]byte{b})
				time.Sleep(testConfig().Stall / 100)
			}
			if a, _ := readAnswer(t, out); a.id != id || a.status != statusOK {
				t.Fatalf("answer %v; want ok to %d", a, id)
			}
		}
		owner.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestLookupsAreAnsweredBetweenPages(t *testing.T) {
	const sessions = 100_000
	cfg := testConfig()
	cfg.MaxSessions = sessions
	in, owner := io.Pipe()
	out, answers := io.Pipe()
	s, err := New(cfg, answers)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- s.Serve(in) }()
	go func() {
		for i := range uint64(sessions) {
			owner.Write(frame(opUpdate, i, key("h", number(i)), nil))
		}
	}()
	for range sessions {
		readAnswer(t, out)
	}
	go func() {
		owner.Write(frame(opKeys, 1))
		owner.Write(frame(opLookup, 2, key("h", number(7))))
	}()
	var ids []uint64
	for len(ids) < 2 {
		if a, _ := readAnswer(t, out); a.status == statusOK {
			ids = append(ids, a.id)
		}
	}
	if ids[0] != 2 {
		t.Errorf("final answers came to %d; want the lookup's before the listing's", ids)
	}
	owner.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOwnerThatReadsNoMoreEndsServe(t *testing.T) {
	in, owner := io.Pipe()
	out, answers := io.Pipe()
	out.Close()
	s, err := New(testConfig(), answers)
	if err != nil {
		t.Fatal(err)
	}
	go owner.Write(frame(opSize, 1))
	if err := s.Serve(in); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Serve = %v; want %v", err, io.ErrClosedPipe)
	}
	owner.Close()
}

func TestConfigErrorsNameTheFlagAndTheLimit(t *testing.T) {
	_, err := New(Config{MaxFrame: 7}, io.Discard)
	want := "otpport: -max-sessions is 0; want at least 1; -max-bytes is 0; want at least 1; " +
		"-ttl is 0s; want more than 0; -max-frame is 7; want 262144 to 67108864"
	if err == nil || err.Error() != want {
		t.Errorf("New = %v; want %s", err, want)
	}
}
