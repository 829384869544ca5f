package tickets

import (
	"crypto/sha256"
	"strings"

	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
)

// ScopeSize is the length of a scope: a digest, a number of four bytes and flags.
const ScopeSize = sha256.Size + 4 + 1

// Key returns a key of a pool: the scope, of fixed length, and the server name in its normal form, which is all that
// isKeyOf looks at. Each behind a NUL of its own follow what else was in the name, a zone or a port, and for the
// tickets of one endpoint its address.
func Key(scope, serverName string) string {
	host, rest := hostname.Split(serverName)
	if rest == "" {
		return scope + host
	}
	return scope + host + "\x00" + rest
}

// EndpointKey returns the key of one endpoint of a name.
func EndpointKey(nameKey, address string) string { return nameKey + "\x00" + address }

// isKeyOf reports whether a key is of a server name, which is normal.
func isKeyOf(key, name string) bool {
	rest, ok := strings.CutPrefix(key[ScopeSize:], name)
	return ok && (rest == "" || rest[0] == 0)
}

// normalKey returns a key as this version makes it. Another may have had another normal form.
func normalKey(key string) string {
	name, rest, more := strings.Cut(key[ScopeSize:], "\x00")
	normal := Key(key[:ScopeSize], name)
	if more {
		normal += "\x00" + rest
	}
	return normal
}
