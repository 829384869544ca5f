// Package sessioncache is the root of a TLS session cache for Go: the counterpart of
// Erlang/OTP's ssl_session_cache_api, with lookups that take no lock. It holds no code;
// its packages do:
//
//   - [github.com/sessioncache/sessioncache/fastcache]: the cache. Concurrent, bounded
//     exactly, with a deadline per session, and with sessions selected or revoked by
//     their partial key (a host, a user, a tenant). Begin here, with fastcache.New.
//   - [github.com/sessioncache/sessioncache/fastcache/loading]: what the cache does not have is
//     loaded once for all who wait, and a removal during the load wins.
//   - [github.com/sessioncache/sessioncache/session]: Store, the storage scheme that a
//     program may replace, and Memory, which keeps sessions in this process.
//   - [github.com/sessioncache/sessioncache/session/sessiontest]: TestStore, which holds any
//     Store to its promises.
//   - [github.com/sessioncache/sessioncache/tlscache]: what crypto/tls plugs into: Server and
//     Client keep the sessions of TLS servers and clients, Keyring their secrets.
//   - [github.com/sessioncache/sessioncache/timerwheel]: the hierarchical timing wheel
//     that expires sessions. It knows no clock and starts no goroutine.
//   - [github.com/sessioncache/sessioncache/index]: from a partial key to its sessions,
//     newest first.
//
// The command cmd/sessioncache shows the cache at work: sessioncache demo.
//
// The pages in docs/ say how it works and why: docs/README.md lists them in reading order.
package sessioncache
