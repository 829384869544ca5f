package tlscache

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// Install makes a server's Config keep its sessions in s: it sets WrapSession, UnwrapSession and
// GetConfigForClient, over a GetConfigForClient that it had. Everything else stays, so that http.Server and others
// may go on to clone and complete cfg. Install last, before cfg is in use: handshakes that run meanwhile
// race with it, and clones made earlier keep what they had. Connections that begin later use the
// Server, also where cfg has served before.
//
// Hooks that cfg had are the second fallback: WrapSession's is asked when the Store fails and there
// is no fallback ticket, UnwrapSession's for tickets that are not the Server's. The Server neither
// scopes nor revokes their sessions. Installing again stacks nothing, however often and with whatever
// Servers: another Server's hooks count as those that cfg had, those of the latest four that are
// not closed.
//
// Sessions resume only under an equal scope, whose ServerConfig.Scope or, without one, whose certificates' names and roots are
// the same, and ClientAuth, InsecureSkipVerify, version range, and whether there is a VerifyPeerCertificate. It is read for each
// connection from the Config in use, be it cfg as it has become, a clone, or what the user's
// GetConfigForClient returned. ClientCAs are
// compared within the process where the Store is Local; otherwise crypto/tls checks the client's
// chain against them again whenever it resumes, as it runs VerifyConnection again. It does not run
// VerifyPeerCertificate again, so a Config with one needs VerifyPeerOnResume or a named Scope, or Install returns an error;
// where it appears later, sessions are not stored, and counted in ServerStats.Unstable. Certificates
// that GetCertificate returns are no part of the scope: a resumed handshake shows none.
//
// For that, GetConfigForClient returns a clone of the Config in use to each connection of crypto/tls, of
// about 1 KB and with the hooks of that connection. Calls of anything else, as with a ClientHelloInfo
// that a program made, get what the user's returned, or nil. Connections that come past it, because a
// clone's GetConfigForClient was set anew, or because another Config without Install returns one that
// has the hooks, neither resume nor store anything, since nothing tells which Config they use:
// ServerStats.Ungated counts them. A function that is set over GetConfigForClient in a clone may change
// what it gets, as QUIC libraries do, but not whom it trusts: that was read before.
func (s *Server) Install(cfg *tls.Config) error {
	switch {
	case s.isZero():
		return errZeroServer
	case cfg == nil:
		return errors.New("tlscache: Install on a nil Config; want one that the server uses," +
			" as http.Server.TLSConfig set to new(tls.Config) before")
	case s.closed.Load():
		return errServerClosed
	case cfg.SessionTicketsDisabled:
		return errors.New("tlscache: Install on a Config with SessionTicketsDisabled, which resumes nothing; want it false")
	}
	sc, err := s.scopeOf(nil, cfg)
	if err != nil {
		return err
	}
	if sc.unstable {
		return fmt.Errorf("tlscache: Install on a Config with %s, which crypto/tls does not run on resumption and"+
			" which cannot be compared; want ServerConfig.Scope or ScopeOf to name what it checks, or VerifyPeerOnResume", sc.reason)
	}
	s.hook(cfg)
	return nil
}
