package session_test

import (
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/session/sessiontest"
)

func openDefault(t testing.TB) session.Store {
	m, err := session.NewMemory(session.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemoryIsAStore(t *testing.T) { sessiontest.TestStoreInBubble(t, openDefault) }

// As any Store that is not in this process is tested.
func TestMemoryIsAStoreInRealTime(t *testing.T) { sessiontest.TestStore(t, openDefault) }
