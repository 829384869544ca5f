package tlscache

import (
	"net/netip"
	"strings"
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
