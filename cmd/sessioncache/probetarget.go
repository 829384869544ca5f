package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// targetForms is what an error about a target says is accepted.
const targetForms = "want host, host:port, [IPv6]:port or an https:// URL"

const maxPort = 65535

// parseTarget returns the host and the port that a target names; the port is a number, or empty
// where none is given. A port that an URL leaves out is 443.
func parseTarget(target string) (host, port string, err error) {
	fault := func(format string, args ...any) (string, string, error) {
		return "", "", fmt.Errorf("%q %s; %s", withoutUser(target), fmt.Sprintf(format, args...), targetForms)
	}
	rest, isURL := target, false
	if scheme, _, ok := strings.Cut(target, "://"); ok {
		switch strings.ToLower(scheme) {
		case "https":
		case "http":
			return fault("is plain HTTP, which has no TLS sessions")
		default:
			return fault("has the scheme %q, which probe does not know", scheme)
		}
		u, err := url.Parse(target)
		if err != nil {
			return fault("is no URL")
		}
		rest, isURL = u.Host, true
	}
	host, port, err = splitTarget(rest)
	if err == nil && host == "" {
		err = fmt.Errorf("has no host")
	}
	if err == nil {
		err = checkHost(host)
	}
	if err != nil {
		return fault("%v", err)
	}
	if isURL && port == "" {
		port = "443"
	}
	return host, port, nil
}

// withoutUser cuts out of an URL what may be a password.
func withoutUser(target string) string {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest[:end], '@')+1:]
}

// splitTarget splits host[:port]. A bare IPv6 address has colons of its own and no port.
func splitTarget(s string) (host, port string, err error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String(), "", nil
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		inside, after, closed := strings.Cut(rest, "]")
		a, err := netip.ParseAddr(inside)
		if !closed || err != nil || !a.Is6() || after != "" && after[0] != ':' {
			return "", "", fmt.Errorf("has no IPv6 address in its brackets")
		}
		if after == "" {
			return a.String(), "", nil
		}
		port, err = checkPort(after[1:])
		return a.String(), port, err
	}
	host, port, hasPort := strings.Cut(s, ":")
	switch {
	case strings.Contains(port, ":"):
		return "", "", fmt.Errorf("has several colons and is no IPv6 address")
	case hasPort:
		port, err = checkPort(port)
	}
	return host, port, err
}

// checkPort returns a port as a number. It knows the names of services, as net.Dial does.
func checkPort(port string) (string, error) {
	if port == "" {
		return "", fmt.Errorf("has no port after the colon")
	}
	if strings.Trim(port, "0123456789") != "" {
		n, err := net.LookupPort("tcp", port)
		if err != nil || strings.ContainsFunc(port, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '-' }) {
			return "", fmt.Errorf("has the port %q; a port is a number from 1 to %d", port, maxPort)
		}
		return strconv.Itoa(n), nil
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > maxPort {
		return "", fmt.Errorf("has the port %s; a port is a number from 1 to %d", port, maxPort)
	}
	return strconv.Itoa(n), nil
}

// checkHost looks for what no host name has, so that a mistake is not looked up. One trailing
// dot is right: it ends a name that is absolute.
func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" {
			return fmt.Errorf("has an empty part in its host")
		}
	}
	for _, c := range host {
		switch {
		case c > unicode.MaxASCII:
			return fmt.Errorf("has %q in its host; give an international name in its xn-- form", c)
		case c != '.' && c != '-' && c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c):
			return fmt.Errorf("has %q in its host", c)
		}
	}
	return nil
}

// serverNameOf is the name of a host as certificates and SNI have it: without the dot of an
// absolute name, and without the zone of an address.
func serverNameOf(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String()
	}
	return strings.TrimSuffix(host, ".")
}
