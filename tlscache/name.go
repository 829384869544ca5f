package tlscache

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync/atomic"
)

// normalName returns the form in which a server name is compared: ASCII letters in lower case and
// no trailing dots, as DNS compares it and crypto/tls sends it. IP literals stay as they are,
// and so do other bytes: what Unicode folds together is not one name.
func normalName(name string) string {
	upper := strings.ContainsFunc(name, func(r rune) bool { return 'A' <= r && r <= 'Z' })
	if !upper && !strings.HasSuffix(name, ".") {
		return name // nearly always
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return name
	}
	b := []byte(strings.TrimRight(name, "."))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// nameSlots is how many server names a nameCache has at once. Most servers have a few; where two meet
// in a slot, or a client makes names up, an HMAC is computed as if there were no cache.
const nameSlots = 64

// A nameCache saves computing the name of a server name twice in each handshake. The zero value is ready;
// it is safe for concurrent use.
type nameCache [nameSlots]atomic.Pointer[namedServer]

type namedServer struct {
	keys   *keys
	server string
	name   name
}

var nameSeed = maphash.MakeSeed()

// serverName returns the name, under some keys, of a server name that is normal.
func (s *Server) serverName(k *keys, server string) name {
	slot := &s.names[maphash.String(nameSeed, server)%nameSlots]
	if n := slot.Load(); n != nil && n.keys == k && n.server == server {
		return n.name
	}
	n := &namedServer{keys: k, server: strings.Clone(server), name: k.name(ofServerName, []byte(server))}
	slot.Store(n)
	return n.name
}
