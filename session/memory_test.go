package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

func open(t testing.TB, cfg session.MemoryConfig) *session.Memory {
	t.Helper()
	m, err := session.NewMemory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return m
}

func TestUpdateRefusesWithTheFieldAndTheLimit(t *testing.T) {
	ctx := context.Background()
	m := open(t, session.MemoryConfig{MaxBytes: 1000, MaxSessionSize: 900})
	long := string(make([]byte, 64<<10+1))
	for _, tt := range []struct {
		name string
		key  session.Key
		size int
		ttl  time.Duration
		want error
		text string
	}{
		{"zero TTL", session.Key{}, 1, 0, session.ErrBadTTL, "session: TTL is not positive: 0s"},
		{"negative TTL", session.Key{}, 1, -1, session.ErrBadTTL, "session: TTL is not positive: -1ns"},
		{"long id", session.Key{ID: long}, 1, 1, session.ErrKeyTooLong, "session: part of the key is too long: want at most 65536 bytes"},
		{"over MaxSessionSize", session.Key{}, 901, 1, session.ErrTooLarge, "session: session is too large: 901 bytes; want at most 900"},
		{"over MaxBytes", session.Key{}, 745, 1, session.ErrTooLarge, "session: session is too large: with its key it exceeds MaxBytes, 1000"},
	} {
		err := m.Update(ctx, tt.key, make([]byte, tt.size), tt.ttl)
		if !errors.Is(err, tt.want) || err.Error() != tt.text {
			t.Errorf("%s: Update() = %v; want %q", tt.name, err, tt.text)
		}
	}
	if err := m.Update(ctx, session.Key{}, make([]byte, 744), 1); err != nil {
		t.Errorf("Update of as much as MaxBytes allows = %v", err)
	}
}
