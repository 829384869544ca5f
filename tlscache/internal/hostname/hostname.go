// Package hostname knows the one form in which host names are compared, however they are spelled.
package hostname

import (
	"net/netip"
	"strings"
)

// Normal returns the one form in which host names are compared: a client's tickets lie under it, FlushHost
// and RevokeServerName look for it, and a server's sessions are bound to it.
//
//   - ASCII letters are in lower case, and no dots trail, as DNS compares names and crypto/tls sends them.
//   - A label of a name in other letters is its A-label, which is what goes over the wire (RFC 6066 section
//     3): see toASCII.
//   - An IP address has one spelling, that of net/netip. An IPv4 address mapped into IPv6 is the IPv4 address:
//     crypto/tls finds both in one certificate, and they lead to one host.
//   - Brackets, a port and an IPv6 zone are no part of the host. net/http leaves the brackets on when it goes
//     through a proxy, and crypto/tls has the port where a Config has no ServerName.
//
// What is none of this stays as it is, byte by byte. A name that is nothing but a port stays, too: the empty name
// means something of its own.
func Normal(name string) string {
	host, _ := Split(name)
	return host
}

// Split returns the normal form of the host in a name and what came with it: a zone, then a port, each with
// the character that begins it. Two zones or ports of a host may be two servers.
func Split(name string) (host, rest string) {
	if isPlain(name) {
		return name, "" // nearly always
	}
	host, rest = cutPort(strings.TrimRight(name, "."))
	if addr, zone, ok := parseAddr(host); ok {
		return addr, zone + rest
	}
	host = toASCII(strings.TrimRight(host, "."))
	if addr, zone, ok := parseAddr(host); ok { // 192.0.2.1. is one
		return addr, zone + rest
	}
	return host, rest
}

// isPlain reports whether a name is normal at first sight: a DNS name of A-labels, or an IPv4 address, which has one
// spelling.
func isPlain(name string) bool {
	for i := range len(name) {
		if c := name[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return !strings.HasSuffix(name, ".")
}

// cutPort takes a port and brackets off. An IPv6 address with a port is in brackets; more than one colon without
// them is no port.
func cutPort(name string) (host, port string) {
	if strings.HasPrefix(name, "[") {
		host, port, closed := strings.Cut(name[1:], "]")
		_, _, isAddr := parseAddr(host)
		if !closed || host == "" || port != "" && !isPort(port) || !isAddr && strings.ContainsAny(host, "[:") {
			return name, ""
		}
		return host, port
	}
	i := strings.IndexByte(name, ':')
	if i <= 0 || !isPort(name[i:]) {
		return name, ""
	}
	return name[:i], name[i:]
}

// isPort reports whether s is a colon and a number, or the name of a service, or nothing, as in host:port.
func isPort(s string) bool {
	if s == "" || s[0] != ':' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-') {
			return false
		}
	}
	return true
}

// parseAddr returns the one spelling of an IP address, and its zone with the percent sign.
func parseAddr(host string) (addr, zone string, ok bool) {
	addr, zone, zoned := strings.Cut(host, "%")
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return "", "", false
	}
	if zoned {
		zone = "%" + zone
	}
	return ip.Unmap().String(), zone, true
}
