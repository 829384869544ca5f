package peers

import (
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
	"github.com/sessioncache/sessioncache/fastcache"
)

const oursModule = "github.com/sessioncache/sessioncache"

var ours = []Peer{
	{Name: "fastcache", Module: oursModule, Class: Ours, Core: true, Open: openOurs(session{})},
	{Name: "fastcache-secret", Module: oursModule, Class: Ours, Core: true, Open: openOurs(session{Hash: fastcache.SecretHash}),
		Note: "keyed by a secret hash, as for keys that peers name"},
	{Name: "fastcache-noindex", Module: oursModule, Class: Ours, Core: true, Open: openOurs(session{NoIndex: true}),
		Note: "without the index by partial key, as the peers are"},
}

type session = fastcache.Config[*workload.Session]

type fast struct {
	*fastcache.Cache[*workload.Session]
}

// fastPerSession gives each session its own TTL.
type fastPerSession struct{ fast }

func openOurs(own session) func(Config) Cache {
	return func(cfg Config) Cache {
		own := own
		own.MaxSessions, own.TTL = cfg.Capacity, cfg.TTL
		c := fast{must(fastcache.New(own))}
		if cfg.PerSession {
			return fastPerSession{c}
		}
		return c
	}
}

// SplitKey cuts a flat key into the parts that fastcache wants.
func SplitKey(key string) fastcache.Key {
	return fastcache.Key{Partial: key[:workload.PartialLen], ID: key[workload.PartialLen:]}
}

func (c fast) Get(key string) (*workload.Session, bool) { return c.Lookup(SplitKey(key)) }

func (c fast) Set(key string, s *workload.Session) {
	if err := c.Update(SplitKey(key), s); err != nil {
		panic(err)
	}
}

func (c fast) Take(key string) (*workload.Session, bool) { return c.Cache.Take(SplitKey(key)) }
func (c fast) Demote(key string)                         { c.Cache.Demote(SplitKey(key)) }
func (c fast) SetOnProbation(key string, s *workload.Session) {
	if err := c.UpdateOnProbation(SplitKey(key), s, workload.TTL); err != nil {
		panic(err)
	}
}
func (c fast) Len() int { return c.Size() }
func (c fast) Flush()   {}
func (c fast) Close()   { _ = c.Cache.Close() }

// Unwrap returns the cache itself, for operations that no peer has.
func (c fast) Unwrap() *fastcache.Cache[*workload.Session] { return c.Cache }

func (c fastPerSession) Set(key string, s *workload.Session) {
	if err := c.UpdateTTL(SplitKey(key), s, max(s.TTL, time.Nanosecond)); err != nil {
		panic(err)
	}
}
