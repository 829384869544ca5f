// Package loading loads what a fastcache.Cache does not have, once for all who wait for it.
//
//   - One load per key is under way at a time, however many callers wait. A caller leaves when its own context ends, and
//     the load goes on for the others. When nobody waits any more, its context is cancelled.
//   - What is removed or stored meanwhile wins. Call Delete, Take, TakeNewest, DeletePartial, Clear or Update on the
//     fastcache.Cache itself, as ever: a load that began before them keeps nothing, and a Get that comes afterwards gets a load
//     that begins afterwards. Those who waited already get what was loaded.
//   - A session that is about to expire is loaded anew in the background (Config.RefreshAhead) while it is still served.
//   - Errors are returned and forgotten, unless Config.NegativeTTL or the load itself says otherwise.
//   - At most Config.MaxLoads loads run at once.
//
// A hit costs what Lookup costs, and reads the clock only with RefreshAhead.
//
// A panic of the load function reaches everyone who waits, as a *PanicError that holds the original value and the stack.
// If the load function calls runtime.Goexit, everyone who waits gets ErrExited.
//
// golang.org/x/sync/singleflight shares calls, too, but it is not what this package needs: there a call that a Delete has
// overtaken is joined and its result stored, and nothing ends a call for which nobody waits.
package loading
