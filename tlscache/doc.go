// Package tlscache plugs session stores into crypto/tls. [Server] keeps a server's sessions in a
// session.Store and gives clients short handles as tickets: sessions can then be revoked,
// are used once where that matters, and never resume under another trust configuration
// or server name than their own. [Client] keeps a client's tickets, so that more of its
// connections resume, and none with a ticket of another trust configuration. A [Keyring] holds
// the secrets that processes of a fleet share.
//
// An adapter never returns an error to a handshake and never blocks it beyond its budget: what
// a store cannot do costs a full handshake.
package tlscache
