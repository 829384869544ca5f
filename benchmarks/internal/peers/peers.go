// Package peers puts every measured cache behind one small interface.
//
// The adapters add one indirect call to each operation, the same for all, and nothing else: no
// allocation, no copy of a key, no lock. Keys are flat strings; fastcache's adapter cuts them into
// partial key and id, which costs no copy. Peers keep the key string that they are given, while
// fastcache copies it, so peers save the copy that their users would have to make.
package peers

import (
	"slices"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

// A Cache is a cache under measurement. All methods are safe for concurrent use.
type Cache interface {
	// Get looks a session up and counts as a use.
	Get(key string) (*workload.Session, bool)

	// Set stores a session. A cache that may drop or refuse it does so silently.
	Set(key string, s *workload.Session)

	// Take looks a session up and removes it; atomically where the cache can.
	Take(key string) (*workload.Session, bool)

	// Len returns the number of sessions, as the cache itself counts them.
	Len() int

	// Flush returns when the cache has done the work that it had put off.
	Flush()

	// Close stops the cache's goroutines, where it has a way to.
	Close()
}

// A Demoter can be told more about a session: that it will hardly be used again, or that it has yet
// to be used, since its client showed none.
type Demoter interface {
	Demote(key string)
	SetOnProbation(key string, s *workload.Session)
}

// Config is what a cache is opened with.
type Config struct {
	// Capacity is the number of sessions to which the cache is bounded. Caches that split
	// their bound among shards, or count bytes, are given more where Roomy is set: as much
	// as it takes to hold Capacity sessions.
	Capacity int
	Roomy    bool

	// TTL is the life of a session. Where PerSession is set it is that of each session's TTL field.
	TTL        time.Duration
	PerSession bool

	// Inline makes a cache do its maintenance in the calling goroutine, where it can: replays
	// are then repeatable and keep to the bound.
	Inline bool

	// Sessions are all values, by number. Byte caches store copies and need it to say which
	// session they found.
	Sessions []workload.Session
}

// Class says what a cache promises, and so what it may be compared with.
type Class string

// The classes.
const (
	Ours      Class = "ours"
	Exact     Class = "exact"     // bounded, a TTL per session, reads a true clock: what "best exact peer" is chosen from
	Coarse    Class = "coarse"    // like exact, but a session may be found after its deadline
	OneTTL    Class = "one TTL"   // bounded, one TTL for all sessions
	Unbounded Class = "unbounded" // has TTLs and no bound
	Bytes     Class = "bytes"     // bounded by bytes; copies the session in and out
	Floor     Class = "floor"     // a map: neither bound nor TTL
	Yardstick Class = "yardstick" // a policy, simulated; its speed means nothing
	Harness   Class = "harness"   // does nothing: what the measurement itself costs
)

// A Peer is a cache that can be measured.
type Peer struct {
	Name   string
	Module string // Go module, for its version; empty: the standard library
	Class  Class
	Note   string // what a reader of its numbers must know

	// Core marks the caches that lead: they are measured in every round, others in few.
	Core bool

	Open func(Config) Cache
}

// Bounded reports whether the cache keeps to a number of sessions.
func (p Peer) Bounded() bool {
	switch p.Class {
	case Ours, Exact, Coarse, OneTTL, Yardstick:
		return true
	}
	return false
}

// PerSessionTTL reports whether each session may have a TTL of its own and leaves unasked.
func (p Peer) PerSessionTTL() bool {
	return p.Class == Ours || p.Class == Exact || p.Class == Coarse || p.Name == "go-cache"
}

// All returns every peer, ours first.
func All() []Peer {
	return slices.Concat(ours, exact, others, byteCaches, floors, yardsticks)
}

// Find returns the peer of a name.
func Find(name string) (Peer, bool) {
	all := All()
	i := slices.IndexFunc(all, func(p Peer) bool { return p.Name == name })
	if i < 0 {
		return Peer{}, false
	}
	return all[i], true
}

// must returns v; an error of a fixed configuration is a fault of this package.
func must[T any](v T, err error) T {
	if err != nil {
		panic("peers: " + err.Error())
	}
	return v
}
