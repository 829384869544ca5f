// Package sealing is how sessions lie in a Store and in clients' tickets: encrypted, authenticated, and under names that
// tell a reader nothing.
//
// Everything begins with a Secret, which all processes of a fleet know. Keys are derived from it, one for each purpose,
// so that nothing sealed for one purpose opens as another. A Set is the keys of several secrets: the active one seals,
// and what was sealed under any of them opens. A secret that leaves the set leaves its Namer behind for a while, for a
// revocation must still reach the sessions that other processes resume under it.
//
//	Secret ──HKDF──▶ Keys ┬ a key for handles
//	                      ├ a key from which that of each sealed thing is derived, by its kind and a salt
//	                      ├ a Namer: HMACs of principals, server names and ids
//	                      └ a key for exported sessions
//
// A client holds one of two things as its ticket. A Handle names a session in the Store and says just enough to refuse
// it without asking. A sealed Record is the session itself, for clients whose session the Store does not keep. In a
// Store that is not Local a session lies as a sealed Record, too.
//
// A sealed thing is bound to more than it contains: a record to its scope, its server name and the secret id in its
// handle. So a Store that returns another session, or the right one under another name, is found out. Its content
// cannot be read with the keys alone either: the id in the handle is with the client.
//
// All formats begin with a version. A process that does not know it counts a miss, so fleets can be upgraded and
// rolled back one process at a time.
package sealing
