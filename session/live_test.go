package session_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A live is a session that makes bytes when it is asked for them: its text and the key.
type live struct {
	text  string
	asked int
	err   error
}

func (l *live) SessionBytes(key session.Key) ([]byte, error) {
	l.asked++
	if l.err != nil {
		return nil, l.err
	}
	return []byte(l.text + " of " + key.Partial + " " + key.ID), nil
}

// waysToBytes are all methods that return the bytes of the session of a key, and whether they take it.
var waysToBytes = []struct {
	name  string
	takes bool
	get   func(m *session.Memory, k session.Key) ([]byte, error)
}{
	{"Lookup", false, func(m *session.Memory, k session.Key) ([]byte, error) { return m.Lookup(context.Background(), k) }},
	{"Take", true, func(m *session.Memory, k session.Key) ([]byte, error) { return m.Take(context.Background(), k) }},
	{"SelectSession", false, func(m *session.Memory, k session.Key) ([]byte, error) {
		entries, err := m.SelectSession(context.Background(), k.Partial, 1)
		if err != nil || len(entries) == 0 {
			return nil, errors.Join(err, session.ErrNotFound)
		}
		return entries[0].Session, nil
	}},
	{"TakeNewest", true, func(m *session.Memory, k session.Key) ([]byte, error) {
		e, err := m.TakeNewest(context.Background(), k.Partial, false)
		return e.Session, err
	}},
	{"TakeNewest that keeps the last", false, func(m *session.Memory, k session.Key) ([]byte, error) {
		e, err := m.TakeNewest(context.Background(), k.Partial, true)
		return e.Session, err
	}},
	{"All", false, func(m *session.Memory, k session.Key) ([]byte, error) {
		for e, err := range m.All(context.Background()) {
			return e.Session, err
		}
		return nil, session.ErrNotFound
	}},
}

func storeLive(t *testing.T, m *session.Memory, k session.Key, item session.Item) {
	t.Helper()
	if err := m.UpdateLocal(k, item, time.Hour); err != nil {
		t.Fatal(err)
	}
}

func TestEveryMethodThatReturnsBytesReturnsThoseOfALiveSession(t *testing.T) {
	opaque := errors.New("opaque")
	for _, way := range waysToBytes {
		for _, tt := range []struct {
			name string
			item session.Item
			want string
			err  error
		}{
			{"an Encoder's", session.Item{Live: &live{text: "bytes"}}, "bytes of host 1", nil},
			{"those given, where there are both", session.Item{Bytes: []byte("given"), Live: &live{err: opaque}}, "given", nil},
			{"no Encoder's", session.Item{Live: new(int)}, "", session.ErrLive},
			{"no Encoder's, with empty bytes", session.Item{Bytes: []byte{}, Live: new(int)}, "", session.ErrLive},
			{"an Encoder's that fails", session.Item{Live: &live{err: opaque}}, "", opaque},
			{"an Encoder's that says it is over", session.Item{Live: &live{err: session.ErrNotFound}}, "", session.ErrNotFound},
			{"an empty session's", session.Item{Bytes: []byte{}}, "", nil},
		} {
			m := open(t, session.MemoryConfig{})
			storeLive(t, m, key("host", 1), tt.item)
			got, err := way.get(m, key("host", 1))
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s of %s: %q, %v; want %q, %v", way.name, tt.name, got, err, tt.want, tt.err)
			}
			if n, _ := m.Size(context.Background()); way.takes != (n == 0) {
				t.Errorf("%s of %s: %d sessions are left; want it taken: %v, whether it has bytes or not", way.name, tt.name, n, way.takes)
			}
		}
	}
}

// What has bytes is dumped whatever else there is, and what has none is not passed over in silence.
func TestAllYieldsWhatHasBytesAndThenWhyTheRestHasNone(t *testing.T) {
	m := open(t, session.MemoryConfig{})
	for i := range 20 {
		item := session.Item{Live: &live{text: "bytes"}}
		switch i % 4 {
		case 1:
			item.Live = new(int)
		case 2:
			item.Live = &live{err: session.ErrNotFound}
		}
		storeLive(t, m, key("host", i), item)
	}
	n, last := 0, error(nil)
	for e, err := range m.All(context.Background()) {
		if last != nil {
			t.Fatalf("All yields %q, %v after %v", e.Session, err, last)
		}
		if last = err; err == nil {
			n++
		}
	}
	if n != 10 || !errors.Is(last, session.ErrLive) {
		t.Errorf("All yields %d sessions and ends with %v; want the 10 that have bytes, and %v", n, last, session.ErrLive)
	}
	ended := open(t, session.MemoryConfig{})
	storeLive(t, ended, key("host", 1), session.Item{Live: &live{err: session.ErrNotFound}})
	for e, err := range ended.All(context.Background()) {
		t.Errorf("All yields %q, %v where every session was ended by its owner; want nothing", e.Session, err)
	}
	if entries, err := m.SelectSession(context.Background(), "host", 0); entries != nil || !errors.Is(err, session.ErrLive) {
		t.Errorf("SelectSession returns %d sessions, %v; want none and %v", len(entries), err, session.ErrLive)
	}
}

// A Server's own lookups must not pay for bytes.
func TestLiveSessionsAreEncodedWhenBytesAreAskedForAlone(t *testing.T) {
	m := open(t, session.MemoryConfig{})
	l := &live{text: "bytes"}
	storeLive(t, m, key("host", 1), session.Item{Live: l})
	m.LookupLocal(key("host", 1))
	m.Demote(key("host", 1))
	m.TakeLocal(key("host", 1))
	storeLive(t, m, key("host", 1), session.Item{Live: l})
	if l.asked != 0 {
		t.Errorf("it was encoded %d times; want never", l.asked)
	}
	first, err1 := m.Lookup(context.Background(), key("host", 1))
	again, err2 := m.Lookup(context.Background(), key("host", 1))
	clear(first)
	if l.asked != 2 || err1 != nil || err2 != nil || !bytes.Equal(again, []byte("bytes of host 1")) {
		t.Errorf("asked %d times, got %q, %v, %v; want it encoded for each, and the bytes the caller's", l.asked, again, err1, err2)
	}
}
