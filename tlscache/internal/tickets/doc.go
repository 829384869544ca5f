// Package tickets keeps what a TLS client needs to resume: the tickets that servers sent, each with the session's secret.
//
// A Ticket is a value. It has a deadline of its own and belongs to a family, all that descends from one full handshake: in
// that the server showed its certificate, so its tickets end together, however often they are renewed.
//
// A Pool holds tickets by Key, which says whose they are (the scope, a digest of what decides about trust) and which
// server's. There are two. A MemoryPool has them alive in this process. A StorePool has them sealed in a Store that
// other processes share, in numbered slots, and notes beside it what this process knows of a slot.
//
// What a pool hands out is a Loan. A server that declines a ticket, or a handshake that fails, says something about
// that ticket and about others of its key:
//
//	Put     the server issues fresh ones: those that were handed out are worthless
//	Drop    it declined one: those handed out go, and older ones
//	Strike  the handshake failed: those handed out go; a second strike in a row empties the key
//	GiveBack  the dial was cancelled, which says nothing: the ticket comes back
package tickets
