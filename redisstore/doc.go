// Package redisstore keeps TLS sessions on Redis or Valkey, for a fleet whose members resume each other's
// sessions. A [Store] is a session.Store and a session.Indexed:
//
//	store, err := redisstore.New(redisstore.Config{Addrs: []string{"redis.example:6379"}})
//
// It needs Redis 6.2 or later, or Valkey, and speaks RESP3 to it. It is tested with Redis 7.0 and Valkey 8.0, each
// standalone, behind a sentinel and as a cluster.
//
// The Store does not encrypt. A server of tlscache seals what it stores and hides what it stores it under; whoever
// stores sessions without it must do both, and use TLS to get there.
//
// # What does a server hold?
//
// One string for each session, with a TTL of its own, and one sorted set for each partial key, which lists
// its sessions in the order of their Updates and has a TTL as long as the longest of theirs. No key is without a TTL.
// A session ends by the server's clock, so it does not matter how far the clocks of a fleet are apart. Expired
// sessions leave the list as others are stored, four looked at by each Update.
//
// All keys of one partial key share a slot of a cluster, so that what must be one step can be: spread the load over
// partial keys.
//
// A session of 200 bytes under keys of 16 takes 432 bytes of memory where it is the only one of its partial key, 370
// as one of 4, 349 of 100 and 446 of 1000, by MEMORY USAGE on Redis 7.0; on Valkey 8.0 at most 8 bytes
// less. One of 450 bytes takes 734.
//
// # What does a call cost?
//
// One round trip, and nothing is tried twice:
//
//	Lookup         GET
//	Take, Delete   a script of 2 commands; with NoScripts GETDEL or DEL
//	Update         a script of 5 to 12 commands; with NoScripts SET
//	TakeNewest     a script of 4 to 6 commands
//	SelectSession  a script of 2 commands for each session and one for 16; another round trip from 256 sessions or 1 MiB on
//	DeletePartial  a script of a command for each session; another round trip from 256 sessions on
//	All, Size      SCAN of all keys of all primaries, whosever they are: for administration
//
// A call starts a goroutine, so that it can end with its context whatever the server does.
//
// # What if the server is slow or gone?
//
// A call ends with its context, or with Config.Timeout. No call connects. A keeper in the background does, and
// pings every node four times a second: so an outage ends by itself, and calls fail at once until then. There are
// never more round trips under way than Config.MaxInFlight. Errors have no key, session or address in them.
//
//	state of the server                          what calls return
//	not there, cut off, frozen, too slow         ErrUnavailable; the context's error if that ends first
//	loading, busy with a script, cluster down,   ErrNotServing
//	slot on its way, replica without primary
//	a replica; cannot save; too few replicas     ErrReadOnly from what writes
//	at maxmemory, with noeviction                ErrFull from Update
//	wrong password; a right is missing           ErrDenied
//	older than 6.2, or a command renamed         ErrUnsupported
//	another type under one of our keys           ErrForeign from what reads that key
//	answers that make no sense                   ErrProtocol, or ErrUnavailable as the connection is closed
//	anything else                                ErrServer
//
// A Take whose context ended may have taken the session: count it as used. A failover may bring back sessions that were
// taken or deleted, for replication is asynchronous. A server that evicts by allkeys-* also evicts the revocations
// that tlscache stores: use volatile-ttl, or noeviction.
//
// # Which rights does a user need?
//
// These, with Config.Prefix in place of sc:, and a password of your own.
//
//	ACL SETUSER sessions on >PASSWORD ~sc:* +hello +ping +get +set +getdel +del +exists +pttl +pexpire +zadd +zrem +zcard +zrange +zrevrange +zrangebyscore +zrevrangebyscore +scan +evalsha +eval
//
// In a cluster, besides:
//
//	ACL SETUSER sessions +cluster|slots +cluster|shards +asking +role
//
// Behind a sentinel, besides, on the primary and its replicas:
//
//	ACL SETUSER sessions +role
//
// With NoScripts these are enough:
//
//	ACL SETUSER plain on >PASSWORD ~sc:* +hello +ping +get +set +getdel +del +pttl +scan
package redisstore
