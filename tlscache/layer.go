package tlscache

import (
	"crypto/tls"
	"crypto/x509"
)

// The kinds of hooks.
type (
	wrapFunc   = func(tls.ConnectionState, *tls.SessionState) ([]byte, error)
	unwrapFunc = func([]byte, tls.ConnectionState) (*tls.SessionState, error)
	getFunc    = func(*tls.ClientHelloInfo) (*tls.Config, error)
)

// A layer is a Server's hooks in a Config, and what they were put over.
type layer struct {
	s      *Server
	before hooks
	others []*Server // whose hooks the Config had before, the latest first
}

// hooks are those that the user of a Config had set; nil if none.
type hooks struct {
	wrap   wrapFunc
	unwrap unwrapFunc
	get    getFunc // GetConfigForClient
}

// maxOthers bounds the Servers whose hooks are those before another's. One is a migration; more are
// a program that makes a Server at each reload and closes none.
const maxOthers = 4

// over returns the layer of a Server over what a Config has. Our own hooks are looked through, so however
// often Servers are installed in turn, there is one of each.
func (s *Server) over(cfg *tls.Config) *layer {
	l := &layer{s: s, before: hooks{wrap: cfg.WrapSession, unwrap: cfg.UnwrapSession, get: cfg.GetConfigForClient}}
	if old := ourGates.owner(l.before.get); old != nil {
		l.before.get = old.before.get
	}
	w, u := ourWraps.owner(l.before.wrap), ourUnwraps.owner(l.before.unwrap)
	if w != nil {
		l.before.wrap = w.before.wrap
	}
	if u != nil {
		l.before.unwrap = u.before.unwrap
	}
	if u != nil {
		w = u // they differ only where the user mixed them
	}
	if w != nil {
		l.others = s.othersOf(w)
	}
	return l
}

// othersOf returns the Servers of a layer but s and those that are closed.
func (s *Server) othersOf(old *layer) (others []*Server) {
	for _, o := range append([]*Server{old.s}, old.others...) {
		if o != s && !o.closed.Load() && len(others) < maxOthers {
			others = append(others, o)
		}
	}
	return others
}

// A hook that the user set over ours after Install is called with the connection hidden in its
// argument, where ours finds it again: it is told of a connection, and knows none itself. No
// other type can be mistaken for it, and to append to the slice loses it.
func withPassenger(cs tls.ConnectionState, c *connection) tls.ConnectionState {
	n := len(cs.VerifiedChains)
	chains := append(make([][]*x509.Certificate, 0, n+1), cs.VerifiedChains...)
	chains = append(chains, []*x509.Certificate{{PublicKey: c}})
	cs.VerifiedChains = chains[:n]
	return cs
}

// passenger returns the connection that is hidden in a state, nil if there is none.
func passenger(cs *tls.ConnectionState) *connection {
	n := len(cs.VerifiedChains)
	if cap(cs.VerifiedChains) != n+1 {
		return nil
	}
	last := cs.VerifiedChains[:n+1][n]
	if len(last) != 1 || last[0] == nil {
		return nil
	}
	c, _ := last[0].PublicKey.(*connection)
	return c
}
