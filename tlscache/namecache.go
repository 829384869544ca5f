package tlscache

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// nameSlots is how many server names a nameCache has at once. Most servers have a few; where two meet
// in a slot, or a client makes names up, an HMAC is computed as if there were no cache.
const nameSlots = 64

// A nameCache saves computing the name of a server name twice in each handshake. The zero value is ready;
// it is safe for concurrent use.
type nameCache [nameSlots]atomic.Pointer[namedServer]

type namedServer struct {
	keys   *sealing.Keys
	server string
	name   sealing.Name
}

var nameSeed = maphash.MakeSeed()

// serverName returns the name, under some keys, of a server name that is normal.
func (s *Server) serverName(k *sealing.Keys, server string) sealing.Name {
	return s.names.name(k, sealing.OfServerName, server)
}

// name returns the name of a server name that is normal. One cache is for one kind.
func (c *nameCache) name(k *sealing.Keys, kind, server string) sealing.Name {
	slot := &c[maphash.String(nameSeed, server)%nameSlots]
	if n := slot.Load(); n != nil && n.keys == k && n.server == server {
		return n.name
	}
	n := &namedServer{keys: k, server: strings.Clone(server), name: k.Name(kind, []byte(server))}
	slot.Store(n)
	return n.name
}
