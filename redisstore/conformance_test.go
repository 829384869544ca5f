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

// Users have the rights that the package documentation says they need, and no others.

func TestStandaloneIsAStore(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel() // with the other kind: most of the time passes in waiting
			cfg := standalone(t, k)
			conforms(t, grant(t, cfg, []*server{{addr: cfg.Addrs[0]}}, "sessions", rights))
		})
	}
}

func TestClusterIsAStore(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			d := cluster(t, k)
			conforms(t, grant(t, d.cfg, d.servers, "sessions", rights, sharded))
		})
	}
}

func TestSentinelIsAStore(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			d := sentinels(t, k)
			conforms(t, grant(t, d.cfg, d.servers[:2], "sessions", rights, watch))
		})
	}
}
