package redisstore

import (
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/session/sessiontest"
)

// conforms holds the Stores of a deployment to every promise.
func conforms(t *testing.T, cfg Config) {
	sessiontest.TestStore(t, func(t testing.TB) session.Store { return open(t, cfg) })
}

func TestStandaloneIsAStore(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { conforms(t, standalone(t, k)) })
	}
}

func TestClusterIsAStore(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { conforms(t, cluster(t, k).cfg) })
	}
}

func TestSentinelIsAStore(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { conforms(t, sentinels(t, k).cfg) })
	}
}
