package session

import (
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/faults"
)

// bookkeeping is what a session costs Memory besides its bytes and its key: about 150 bytes for
// the entry, 70 for its places in table, wheel and queues, and its share of a partial key.
const bookkeeping = 256

// MemoryConfig sets up a Memory. The zero value is a good server store: 20480 sessions of at most
// 16 KiB that live for up to 24 hours.
type MemoryConfig struct {
	// MaxSessions bounds the number of sessions, exactly. Zero means 20480, or no bound on the
	// count where MaxBytes is set.
	MaxSessions int

	// MaxPerPartial bounds the sessions of one partial key, exactly; over it, that key's oldest
	// session goes, confirmed or not. Zero means no such quota. It is no good for a server whose
	// partial keys strangers share: they would push out each other's sessions.
	MaxPerPartial int

	// MaxBytes bounds the memory that sessions take, exactly by this measure: the size of the
	// session, which is the length of its Bytes and its LiveBytes, the length of both parts of
	// its key, and 256 for the store's own needs. Zero means no such bound. Less than 256, or
	// than MaxSessionSize where that is set, is an error.
	MaxBytes int64

	// MaxSessionSize is the largest session that is stored, in bytes by the same measure without
	// the key. It holds with and without MaxBytes: MaxSessions times MaxSessionSize is
	// the most that a Memory without MaxBytes can come to. Zero means 16 KiB.
	MaxSessionSize int

	// MaxTTL caps the TTL of every Update. Zero means 24 hours; more than 7 days is an error,
	// for RFC 8446 4.6.1 allows no session to live longer.
	MaxTTL time.Duration

	// RecordStats counts hits and misses. Off, they cost nothing.
	RecordStats bool
}

// validate reports every faulty field at once and returns cfg with its defaults filled in.
func (cfg MemoryConfig) validate() (MemoryConfig, error) {
	var wrong faults.List
	if cfg.MaxSessions < 0 {
		wrong.Add("MaxSessions is %d; want at least 1, or 0 for %d", cfg.MaxSessions, fastcache.DefaultMaxSessions)
	}
	if cfg.MaxPerPartial < 0 {
		wrong.Add("MaxPerPartial is %d; want at least 1, or 0 for no quota", cfg.MaxPerPartial)
	}
	switch {
	case cfg.MaxBytes < 0 || cfg.MaxBytes > 0 && cfg.MaxBytes < bookkeeping:
		wrong.Add("MaxBytes is %d; want at least %d, which an empty session takes, or 0 for no bound", cfg.MaxBytes, bookkeeping)
	case cfg.MaxBytes > 0 && int64(cfg.MaxSessionSize) > cfg.MaxBytes:
		wrong.Add("MaxSessionSize is %d and MaxBytes is %d; want MaxBytes to have room for one such session", cfg.MaxSessionSize, cfg.MaxBytes)
	}
	if cfg.MaxSessionSize < 0 {
		wrong.Add("MaxSessionSize is %d; want at least 1, or 0 for %d", cfg.MaxSessionSize, DefaultMaxSessionSize)
	}
	if cfg.MaxTTL < 0 || cfg.MaxTTL > MaxTTL {
		wrong.Add("MaxTTL is %v; want 1ns to %v, or 0 for %v", cfg.MaxTTL, MaxTTL, DefaultMaxTTL)
	}
	if err := wrong.Err("session"); err != nil {
		return cfg, err
	}
	if cfg.MaxSessionSize == 0 {
		cfg.MaxSessionSize = DefaultMaxSessionSize
	}
	if cfg.MaxTTL == 0 {
		cfg.MaxTTL = DefaultMaxTTL
	}
	return cfg, nil
}

// cache returns the configuration of the cache beneath.
func (cfg MemoryConfig) cache() fastcache.Config[record] {
	c := fastcache.Config[record]{
		MaxSessions:   cfg.MaxSessions,
		MaxPerPartial: cfg.MaxPerPartial,
		MaxWeight:     cfg.MaxBytes,
		TTL:           cfg.MaxTTL,
		RecordStats:   cfg.RecordStats,
		Hash:          fastcache.SecretHash, // peers name partial keys, and in part session ids
	}
	if cfg.MaxBytes > 0 {
		c.Weigh = weigh
	}
	return c
}

func weigh(key Key, r record) int64 {
	return r.item.size() + int64(len(key.Partial)) + int64(len(key.ID)) + bookkeeping
}
