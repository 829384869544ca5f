package main

import (
	"crypto/rand"
	"crypto/tls"
	"slices"

	"github.com/sessioncache/sessioncache/fastcache"
)

// handleSize is the length of the random handle that a client gets as its ticket.
const handleSize = 32

// hooks are the WrapSession and UnwrapSession of one connection; crypto/tls calls them from
// the connection's handshake, one at a time. Neither ever returns an error, which would
// abort the handshake.
//
// The key of a session is the server name that the client asked for and the handle, so a
// handle means nothing under another name.
type hooks struct {
	server *server
	used   fastcache.Key // the session that unwrap found last
	epoch  uint32        // revocations of its host begun before it was looked up
	issued fastcache.Key // the session that wrap stored
}

// wrap stores the session of this handshake and returns its handle. A session that cannot
// be stored gets a handle too: TLS 1.3 has no answer for "no ticket", and a handle that
// leads nowhere costs its client a full handshake.
func (h *hooks) wrap(cs tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
	handle := make([]byte, handleSize)
	rand.Read(handle) // never fails
	to := h.server.hosts[cs.ServerName]
	if to == nil {
		return handle, nil // not a host of ours; its name must not become a key
	}
	epoch := to.started.Load()
	if cs.DidResume {
		epoch = h.epoch
	}
	h.issued = fastcache.Key{Partial: cs.ServerName, ID: string(handle)}
	if err := h.store(to, state); err != nil {
		h.server.storeErrors.Add(1)
		return handle, nil
	}
	// A revocation that began since unwrap must also end what descends from the session it
	// ended. Either it began before this load, or its DeletePartial finds the new session.
	if to.started.Load() != epoch {
		h.server.sessions.Delete(h.issued)
	}
	return handle, nil
}

func (h *hooks) store(to *host, state *tls.SessionState) error {
	if to.ttl > 0 {
		return h.server.sessions.UpdateTTL(h.issued, state, to.ttl)
	}
	return h.server.sessions.Update(h.issued, state)
}

// unwrap returns the session of a handle, or nil, which makes the handshake a full one. The
// identity is whatever the client sent: empty, of any size, up to five in a ClientHello.
func (h *hooks) unwrap(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	to := h.server.hosts[cs.ServerName]
	if to == nil || len(identity) != handleSize {
		return nil, nil
	}
	epoch := to.started.Load() // before the lookup: see wrap
	key := fastcache.Key{Partial: cs.ServerName, ID: string(identity)}
	state, ok := h.server.sessions.Lookup(key)
	if !ok {
		return nil, nil
	}
	h.used, h.epoch = key, epoch
	return privateCopy(state), nil
}

// privateCopy returns a copy whose exported fields can be written without changing the
// original, which other connections may be using: crypto/tls invites its callers to write
// EarlyData and to append to Extra. It only reads the rest.
func privateCopy(state *tls.SessionState) *tls.SessionState {
	own := *state
	own.Extra = slices.Clip(own.Extra)
	return &own
}
