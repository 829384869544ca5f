package tlscache

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// A scope in a pool's key: the digest of the trust configuration, the number of its RootCAs,
// and what is known about it. Pools are numbered as they come, so another process may
// number them otherwise; crypto/tls then refuses the ticket, which costs a handshake.
const scopeFlags = tickets.ScopeSize - 1

// What the last byte of a scope says.
const (
	scopeUnstable   = 1 << iota // it means something in this process only
	scopeClientCert             // its connections may show a client certificate
	scopeOfAView                // whether they do is not known
)

// scopeOf returns the scope of a Config. One that has no identity gets a fresh one, which
// only its own connections have, or an error where others must find it again.
func (c *Client) scopeOf(cfg *tls.Config) (string, error) {
	s := clientScope(c.cfg.Scope, cfg, c.cfg.VerifyPeerOnResume)
	var flags byte
	if len(cfg.Certificates) > 0 || cfg.GetClientCertificate != nil {
		flags |= scopeClientCert
	}
	if s.unstable != "" {
		if c.cfg.Store != nil {
			return "", fmt.Errorf("tlscache: %s is set, which cannot be compared with that of other processes, "+
				"so nothing of a shared Store would resume; set ClientConfig.Scope to a name for what it does", s.unstable)
		}
		flags |= scopeUnstable
		rand.Read(s.sum[:]) // never fails
	}
	roots := uint64(0)
	if !cfg.InsecureSkipVerify { // they are not looked at
		roots = c.pools.number(cfg.RootCAs)
	}
	return scopeKey(s.sum, uint32(roots), flags), nil
}

// viewScope returns the scope of a View.
func viewScope(named string) string {
	b := sealing.AppendField(sealing.AppendField(nil, []byte("sessioncache view v1")), []byte(named))
	return scopeKey(sha256.Sum256(b), 0, scopeOfAView)
}

func scopeKey(sum [sha256.Size]byte, roots uint32, flags byte) string {
	b := append(make([]byte, 0, tickets.ScopeSize), sum[:]...)
	b = binary.BigEndian.AppendUint32(b, roots)
	return string(append(b, flags))
}
