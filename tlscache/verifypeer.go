package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"

	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

type verifyPeerFunc = func(rawCerts [][]byte, verifiedChains [][]*x509.Certificate) error

// verifyPeerAgain runs a VerifyPeerCertificate on a connection that resumes, with what crypto/tls gave it in the full
// handshake. Ended is called if it does not accept the peer, also where it panics: what may have been accepted by a
// check that did not finish is not to be resumed.
func verifyPeerAgain(verify verifyPeerFunc, cs tls.ConnectionState, ended func()) error {
	accepted := false
	defer func() {
		if !accepted {
			ended()
		}
	}()
	raw := make([][]byte, 0, len(cs.PeerCertificates))
	for _, cert := range cs.PeerCertificates {
		raw = append(raw, cert.Raw)
	}
	if err := verify(raw, cs.VerifiedChains); err != nil {
		return err
	}
	accepted = true
	return nil
}

// verifiesPeer reports whether VerifyPeerCertificate is to run again where one of a layer's Servers resumes a session.
func (l *layer) verifiesPeer() bool {
	if l.s.cfg.VerifyPeerOnResume {
		return true
	}
	for _, o := range l.others {
		if o.cfg.VerifyPeerOnResume {
			return true // sessions of its own come as those of the hook before
		}
	}
	return false
}

// verifyConnection returns the VerifyConnection of a connection's Config. It calls VerifyPeerCertificate where
// crypto/tls would in a full handshake, which is before VerifyConnection and where a certificate is asked for.
func (c *connection) verifyConnection(cfg *tls.Config) verifyFunc {
	peer, theirs := cfg.VerifyPeerCertificate, cfg.VerifyConnection
	if cfg.ClientAuth == tls.NoClientCert || !c.verifiesPeer() {
		peer = nil
	}
	if peer == nil && c.s.cfg.OnHandshake == nil {
		return theirs
	}
	return func(cs tls.ConnectionState) error {
		if cs.DidResume && peer != nil {
			if err := verifyPeerAgain(peer, cs, c.endRefused); err != nil {
				return err
			}
		}
		if theirs != nil {
			if err := theirs(cs); err != nil {
				return err
			}
		}
		c.report(cs)
		return nil
	}
}

// endRefused ends the session that this connection resumed, whose client was refused, and what was issued for it already:
// TLS 1.3 sends the next ticket before anything is verified. With a principal all its sessions end, as a
// client may hold several; without one those two.
func (c *connection) endRefused() {
	s, f := c.s, c.resumed()
	if n := s.counts.peersRefused.Add(1); seldom(n) {
		s.log.say(slog.LevelInfo, "tlscache: VerifyPeerCertificate refused clients that resumed; their sessions ended", slog.Uint64("refusals", n))
	}
	at := s.keyring.clock.Stamp()
	if f.ours > 0 && f.principal != (sealing.PrincipalID{}) {
		w := watermark{sealing.OfPrincipal, string(f.principal[:])}
		s.keyring.marks.raise(w, at)
		s.keyring.publishers.each(func(o *Server) { o.publish(w, nil) })
		return
	}
	for _, id := range [...][sealing.NameSize]byte{f.id, f.issued} {
		if id != ([sealing.NameSize]byte{}) {
			s.keyring.marks.raise(watermark{ofSession, string(id[:])}, at)
		}
	}
}
