package redisstore

import (
	"crypto/tls"
	"slices"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/internal/faults"
	"github.com/sessioncache/sessioncache/session"
)

// A Mode is what kind of deployment the addresses lead to.
type Mode int

const (
	// Standalone is one server, and whoever takes over its address.
	Standalone Mode = iota

	// Sentinel is a primary that sentinels name and watch. The addresses are the sentinels'.
	Sentinel

	// Cluster is Redis Cluster or Valkey Cluster. The addresses are those of any of its nodes.
	Cluster
)

const (
	// DefaultTimeout is the longest that a round trip may take unless Config says otherwise.
	DefaultTimeout = time.Second

	// DefaultMaxInFlight is how many round trips may be under way at once unless Config says otherwise.
	DefaultMaxInFlight = 256

	// MaxInFlight is the most that Config.MaxInFlight may be. The client library keeps 1024 places per
	// connection, and waits for one without a look at the context once they are taken.
	MaxInFlight = 512

	// MaxSessionSize is the most that Config.MaxSessionSize may be, in bytes.
	MaxSessionSize = 1 << 20

	// maxPrefix keeps the prefix, which is in every key, short.
	maxPrefix = 64
)

// Config says where the servers are and how sessions are kept there. Addrs must be set; everything
// else has a default that is good for a server.
type Config struct {
	// Addrs are host:port each, or the path of a unix socket, which begins with a slash: one with
	// Standalone, at least one of the sentinels or of the nodes else.
	Addrs []string

	// Mode is what the addresses lead to; by default one server.
	Mode Mode

	// Primary is the name under which the sentinels know the primary. It must be set with Sentinel,
	// and with no other Mode.
	Primary string

	// Username and Password log in by ACL. A Password without a Username is that of the user default.
	// The package documentation has the rights that the user needs.
	Username, Password string

	// SentinelUsername and SentinelPassword log in at the sentinels.
	SentinelUsername, SentinelPassword string

	// TLS makes connections use TLS; nil means that they do not. Without a ServerName the host of each
	// address is verified.
	TLS *tls.Config

	// Prefix begins every key, so that others may use the same server: 1 to 64 letters, digits and the
	// characters : . _ -. Empty means "sc:". Stores with the same Prefix share their sessions.
	Prefix string

	// MaxSessionSize is the largest session that is stored, in bytes. Zero means 16 KiB; more than 1 MiB
	// is an error.
	MaxSessionSize int

	// MaxTTL caps the TTL of every Update. Zero means 7 days, which is also the most: RFC 8446 4.6.1.
	// A lower cap also shortens the revocations that tlscache stores.
	MaxTTL time.Duration

	// Timeout bounds each round trip whose context ends later or never. It also bounds connecting, and
	// how long a server may leave the keeper's ping unanswered. Zero means 1 s; less than 1 ms or more
	// than a minute is an error.
	Timeout time.Duration

	// MaxInFlight bounds the round trips that are under way at once, those included that their callers gave up.
	// Others wait for a place until their context or Timeout ends. Zero means 256; more than 512 is an error.
	MaxInFlight int

	// NoScripts does without EVAL, for users that may not run scripts. There is then no index: Lookup,
	// Take, Update, Delete, All and Size work, and SelectSession, TakeNewest and DeletePartial return
	// ErrNoScripts. Do not mix Stores with and without scripts under one Prefix.
	NoScripts bool
}

// validate reports every faulty field at once and returns cfg with its defaults filled in. No message
// has an address, a name or a password in it.
func (cfg Config) validate() (Config, error) {
	var wrong faults.List
	cfg.Addrs = slices.Clone(cfg.Addrs)
	cfg.checkPlaces(&wrong)
	cfg.checkBounds(&wrong)
	if err := wrong.Err("redisstore"); err != nil {
		return cfg, err
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "sc:"
	}
	if cfg.MaxSessionSize == 0 {
		cfg.MaxSessionSize = session.DefaultMaxSessionSize
	}
	if cfg.MaxTTL == 0 {
		cfg.MaxTTL = session.MaxTTL
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = DefaultMaxInFlight
	}
	return cfg, nil
}

// checkPlaces adds what is wrong with where the servers are.
func (cfg Config) checkPlaces(wrong *faults.List) {
	if cfg.Mode < Standalone || cfg.Mode > Cluster {
		wrong.Add("Mode is %d; want Standalone, Sentinel or Cluster", cfg.Mode)
	}
	switch n := len(cfg.Addrs); {
	case n == 0:
		wrong.Add("Addrs is empty; want at least one address")
	case n > 1 && cfg.Mode == Standalone:
		wrong.Add("Addrs has %d addresses; want one with Standalone, or another Mode", n)
	}
	for i, addr := range cfg.Addrs {
		switch {
		case addr == "":
			wrong.Add("Addrs[%d] is empty; want host:port, or the path of a unix socket", i)
		case isUnix(addr) && cfg.Mode == Cluster:
			wrong.Add("Addrs[%d] is a unix socket; want host:port with Cluster, whose nodes name each other so", i)
		case isUnix(addr) && cfg.TLS != nil:
			wrong.Add("Addrs[%d] is a unix socket and TLS is set; want one or the other", i)
		}
	}
	if named := cfg.Primary != ""; named != (cfg.Mode == Sentinel) {
		wrong.Add("Primary has %d bytes; want a name with Sentinel, and none else", len(cfg.Primary))
	}
	if cfg.Mode != Sentinel && cfg.SentinelUsername+cfg.SentinelPassword != "" {
		wrong.Add("SentinelUsername or SentinelPassword is set; want them with Sentinel only")
	}
	if cfg.Password == "" && cfg.Username != "" || cfg.SentinelPassword == "" && cfg.SentinelUsername != "" {
		wrong.Add("a user is set without a password; want both")
	}
	if len(cfg.Prefix) > maxPrefix || strings.ContainsFunc(cfg.Prefix, func(c rune) bool { return !strings.ContainsRune(prefixChars, c) }) {
		wrong.Add("Prefix has %d bytes; want at most %d, of letters, digits and : . _ -", len(cfg.Prefix), maxPrefix)
	}
}

// prefixChars have no meaning in a hash tag, in a pattern of SCAN or in one of an ACL.
const prefixChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-"

// checkBounds adds what is wrong with sizes and times.
func (cfg Config) checkBounds(wrong *faults.List) {
	if cfg.MaxSessionSize < 0 || cfg.MaxSessionSize > MaxSessionSize {
		wrong.Add("MaxSessionSize is %d; want 1 to %d, or 0 for %d", cfg.MaxSessionSize, MaxSessionSize, session.DefaultMaxSessionSize)
	}
	if cfg.MaxTTL < 0 || cfg.MaxTTL > 0 && cfg.MaxTTL < time.Millisecond || cfg.MaxTTL > session.MaxTTL {
		wrong.Add("MaxTTL is %v; want 1ms to %v, or 0 for that", cfg.MaxTTL, session.MaxTTL)
	}
	if cfg.Timeout < 0 || cfg.Timeout > 0 && cfg.Timeout < time.Millisecond || cfg.Timeout > time.Minute {
		wrong.Add("Timeout is %v; want 1ms to 1m, or 0 for %v", cfg.Timeout, DefaultTimeout)
	}
	if cfg.MaxInFlight < 0 || cfg.MaxInFlight > MaxInFlight {
		wrong.Add("MaxInFlight is %d; want 1 to %d, or 0 for %d", cfg.MaxInFlight, MaxInFlight, DefaultMaxInFlight)
	}
}

// isUnix reports whether an address is the path of a unix socket.
func isUnix(addr string) bool { return strings.HasPrefix(addr, "/") }
