// Package fastcache is an in-memory cache for TLS sessions, or for anything else that is
// kept by {partial key, id}, has a deadline, and is selected or revoked by its partial key:
// a host, a user, a tenant.
//
//   - Lookups take no lock, allocate nothing, and normally read no clock.
//   - A session is never returned at or after its deadline, and leaves memory within a tick
//     of 16.8 ms with no reader's help. An idle cache does no work.
//   - The bounds on count, weight and sessions per partial key hold exactly. There is no
//     write buffer: when Update returns, the session is visible, indexed and scheduled.
//   - DeletePartial revokes all sessions of a partial key with one store, whatever their
//     number; Take and TakeNewest hand a session to at most one caller.
//   - Session ids that a peer chooses cannot flood the table.
//
// It is the counterpart of Erlang/OTP's behaviour ssl_session_cache_api; docs/otp.md maps
// the callbacks. docs/concurrency.md says what each operation promises, docs/architecture.md
// how it is built.
//
// Time is the monotonic clock's. On Linux it stands still while the machine is suspended, and sessions
// live longer by as much; package session looks at the wall clock, too. In tests with
// testing/synctest make the cache in the bubble that uses it, and close it there: one from outside
// lives by another clock, and its Updates return ErrForeignClock.
//
// For values that are loaded once for many who wait, or refreshed in the background, see package loading.
//
// When not to use it: for keys without a group and without deadlines a plain concurrent map
// is smaller.
package fastcache
