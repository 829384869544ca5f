package sessiontest

import (
	"cmp"
	"errors"

	"github.com/sessioncache/sessioncache/session"
)

// An encoder is a live session that makes its bytes when it is asked for them.
type encoder struct{ err error }

func (e encoder) SessionBytes(k session.Key) ([]byte, error) {
	if e.err != nil {
		return nil, e.err
	}
	return []byte("bytes of " + k.Partial + k.ID), nil
}

// localBytes stores sessions that are alive and have no bytes, and asks for the bytes in every way. Empty
// ones would be stored elsewhere for the session, and found to be none when it is too late.
func localBytes(t *tester, s session.Local) {
	k := key("live", 1)
	for _, tt := range []struct {
		what string
		live any
		want string
		err  error
	}{
		{"a session whose Live is an Encoder", encoder{}, "bytes of " + k.Partial + k.ID, nil},
		{"a session whose Live is no Encoder", new(int), "", session.ErrLive},
		{"a session that its Encoder has ended", encoder{session.ErrNotFound}, "", session.ErrNotFound},
	} {
		for _, way := range t.waysToBytes() {
			if err := s.UpdateLocal(k, session.Item{Live: tt.live}, ttl); err != nil {
				t.Fatalf("UpdateLocal of %s = %v; want nil", tt.what, err)
			}
			got, err := way.get(k)
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%s of %s = %s, %v; want %s, %v", way.name, tt.what, brief(string(got)), err, brief(tt.want), tt.err)
			}
		}
	}
}

// A way is a method that returns the bytes of a session which is alone in its Store.
type way struct {
	name string
	get  func(k session.Key) ([]byte, error)
}

func (t *tester) waysToBytes() []way {
	ways := []way{
		{"Lookup", func(k session.Key) ([]byte, error) { return t.store.Lookup(t.ctx, k) }},
		{"Take", func(k session.Key) ([]byte, error) { return t.store.Take(t.ctx, k) }},
	}
	s, ok := t.store.(session.Indexed)
	if !ok {
		return ways
	}
	return append(ways,
		way{"SelectSession", func(k session.Key) ([]byte, error) {
			entries, err := s.SelectSession(t.ctx, k.Partial, 0)
			if err != nil || len(entries) == 0 {
				return nil, cmp.Or(err, session.ErrNotFound)
			}
			return entries[0].Session, nil
		}},
		way{"All", func(session.Key) ([]byte, error) {
			for e, err := range s.All(t.ctx) {
				return e.Session, err
			}
			return nil, session.ErrNotFound
		}},
		way{"TakeNewest", func(k session.Key) ([]byte, error) {
			e, err := s.TakeNewest(t.ctx, k.Partial, false)
			return e.Session, err
		}})
}
