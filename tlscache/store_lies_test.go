package tlscache

import (
	"crypto/tls"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

// A lyingLocal answers with one Item whatever it is asked for.
type lyingLocal struct {
	session.Local
	lie *session.Item
}

func (l *lyingLocal) LookupLocal(key session.Key) (session.Item, error) {
	if l.lie != nil {
		return *l.lie, nil
	}
	return l.Local.LookupLocal(key)
}

func (l *lyingLocal) TakeLocal(key session.Key) (session.Item, error) {
	if l.lie != nil {
		return *l.lie, nil
	}
	return l.Local.TakeLocal(key)
}

func TestLocalStoresThatAnswerWithAnotherSessionAreNotBelieved(t *testing.T) {
	for _, single := range []bool{false, true} {
		memory := newMemory(t, session.MemoryConfig{})
		store := &lyingLocal{Local: memory}
		w := newWorld(t, ServerConfig{Store: store, SingleUse: single})
		m := capture(t, w, w.client(tls.VersionTLS13))
		one, two := w.wrapped(m), w.wrapped(m) // of one scope and server name
		h, k, err := w.keyring.keys().OpenHandle(two)
		if err != nil {
			t.Fatal(err)
		}
		other, err := memory.LookupLocal(w.storeKey(h, k))
		if err != nil {
			t.Fatal(err)
		}
		for what, lie := range map[string]session.Item{
			"another handle's": other, "none": {}, "bytes alone": {Bytes: []byte("x")},
			"a nil record": {Live: (*liveRecord)(nil)}, "another type's": {Live: 1},
		} {
			store.lie = &lie
			w.wantMiss(what, one, m, MissMalformed)
		}
		store.lie = nil
		if w.unwrapped(one, m) == nil {
			t.Errorf("SingleUse %v: the session is not found when the Store tells the truth", single)
		}
	}
}
