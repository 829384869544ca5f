package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// Encrypted Client Hello hides which server a client talks to. A ticket of such a connection that is offered in a
// ClientHello without it shows that the client has been at the server which that names; and one that was shown with a
// name tells it again where the name is hidden. So whether a Config has ECH is part of its scope.
//
// crypto/tls tells a ClientSessionCache neither the Config nor the connection. Clones of an installed Config that gained
// or lost ECH are found out in VerifyConnection: after a first ClientHello, and before any ticket comes.
type echWatch struct {
	here    bool        // the Config that Install saw had ECH
	strayed atomic.Bool // a connection was not like that
}

// hasECH reports whether a client's Config offers ECH. With a list that it cannot use crypto/tls offers nothing: the
// handshake fails.
func hasECH(cfg *tls.Config) bool { return len(cfg.EncryptedClientHelloConfigList) > 0 }

// observe notes how a handshake was that is about to succeed.
func (w *echWatch) observe(c *Client, cs tls.ConnectionState) {
	if cs.ECHAccepted == w.here || handshakeRole() == roleServer {
		return
	}
	c.stats.mixedECH.Add(1)
	if cs.ECHAccepted {
		c.hidden.add(cs.PeerCertificates)
	}
	w.strayed.Store(true)
}

// mayOffer reports whether tickets may be offered. Any connection may be one without ECH once there was one.
func (w *echWatch) mayOffer() bool { return !w.here || !w.strayed.Load() }

// mayStore reports whether a ticket is known to come from a connection like the Config that Install saw.
func (w *echWatch) mayStore(c *Client, cs *tls.ClientSessionState) bool {
	if !w.strayed.Load() {
		return true
	}
	_, state, err := cs.ResumptionState()
	if w.here || err != nil || state == nil {
		return false
	}
	h := tlsstate.HeldBy(state)
	return h != nil && !c.hidden.has(*h.Peers)
}

// A certLists is a set of lists of certificates, as they are in memory: crypto/tls makes one in each full handshake, and
// passes it on from a session that is resumed. It keeps none of them; those that are collected leave it. The zero
// value is ready; it is safe for concurrent use.
type certLists struct{ lists sync.Map } // of certList

func (s *certLists) add(certs []*x509.Certificate) {
	if len(certs) == 0 {
		return // no client's connection
	}
	if _, known := s.lists.LoadOrStore(tickets.CertListOf(certs), nil); !known {
		runtime.AddCleanup(&certs[0], func(l tickets.CertList) { s.lists.Delete(l) }, tickets.CertListOf(certs))
	}
}

func (s *certLists) has(certs []*x509.Certificate) bool {
	_, ok := s.lists.Load(tickets.CertListOf(certs))
	return ok
}
