package main

import (
	"strings"
	"testing"
)

func TestProbeTakesTargetsInEveryForm(t *testing.T) {
	for target, want := range map[string][2]string{ // what to connect to, and the server name
		"example.com":                          {"example.com:443", "example.com"},
		"example.com:8443":                     {"example.com:8443", "example.com"},
		"example.com:https":                    {"example.com:443", "example.com"},
		"example.com:08443":                    {"example.com:8443", "example.com"},
		"example.com:1":                        {"example.com:1", "example.com"},
		"example.com:65535":                    {"example.com:65535", "example.com"},
		"example.com.":                         {"example.com.:443", "example.com"},
		"example.com.:8443":                    {"example.com.:8443", "example.com"},
		"EXAMPLE.com":                          {"EXAMPLE.com:443", "EXAMPLE.com"},
		"my_host-1":                            {"my_host-1:443", "my_host-1"},
		"192.0.2.1":                            {"192.0.2.1:443", "192.0.2.1"},
		"192.0.2.1:993":                        {"192.0.2.1:993", "192.0.2.1"},
		"[2001:db8::1]":                        {"[2001:db8::1]:443", "2001:db8::1"},
		"[2001:db8::1]:993":                    {"[2001:db8::1]:993", "2001:db8::1"},
		"2001:db8::1":                          {"[2001:db8::1]:443", "2001:db8::1"},
		"::1":                                  {"[::1]:443", "::1"},
		"[fe80::1%eth0]:993":                   {"[fe80::1%eth0]:993", "fe80::1"},
		"fe80::1%eth0":                         {"[fe80::1%eth0]:443", "fe80::1"},
		"https://example.com":                  {"example.com:443", "example.com"},
		"https://example.com/":                 {"example.com:443", "example.com"},
		"https://example.com/a/b?c=d:1#e":      {"example.com:443", "example.com"},
		"https://example.com:8443":             {"example.com:8443", "example.com"},
		"https://example.com:8443/path":        {"example.com:8443", "example.com"},
		"HTTPS://example.com?q":                {"example.com:443", "example.com"},
		"https://user:secret@example.com/":     {"example.com:443", "example.com"},
		"https://[2001:db8::1]":                {"[2001:db8::1]:443", "2001:db8::1"},
		"https://[2001:db8::1]:8443/x":         {"[2001:db8::1]:8443", "2001:db8::1"},
		"https://example.com.:8443/":           {"example.com.:8443", "example.com"},
		"https://example.com/http://other.com": {"example.com:443", "example.com"},
	} {
		cfg, err := probeConfig{dials: 1}.complete(target)
		if err != nil || cfg.target != want[0] || cfg.sni != want[1] {
			t.Errorf("%s: target %q, name %q, error %v; want %q", target, cfg.target, cfg.sni, err, want)
		}
	}
}

func TestProbeRefusesOtherTargetsByName(t *testing.T) {
	for target, want := range map[string]string{
		"":                              "has no host",
		":443":                          "has no host",
		".":                             "empty part",
		"a..b":                          "empty part",
		".example.com":                  "empty part",
		"example.com..":                 "empty part",
		"example.com:":                  "has no port after the colon",
		"example.com:0":                 "has the port 0; a port is a number from 1 to 65535",
		"example.com:65536":             "has the port 65536",
		"example.com:99999999999999999": "has the port 99999999999999999",
		"example.com:-1":                `has the port "-1"`,
		"example.com:+443":              `has the port "+443"`,
		"example.com: 443":              `has the port " 443"`,
		"example.com:nosuchservice":     `has the port "nosuchservice"`,
		"example.com:443:443":           "has several colons",
		"2001:db8::g":                   "has several colons",
		"[2001:db8::1":                  "no IPv6 address in its brackets",
		"[2001:db8::1]x":                "no IPv6 address in its brackets",
		"[2001:db8::1]:0":               "has the port 0",
		"[2001:db8::1]:":                "has no port after the colon",
		"[example.com]:443":             "no IPv6 address in its brackets",
		"[192.0.2.1]:443":               "no IPv6 address in its brackets",
		"[]":                            "no IPv6 address in its brackets",
		"exam ple.com":                  `has ' ' in its host`,
		"example.com ":                  `has ' ' in its host`,
		"example.com/path":              `has '/' in its host`,
		"//example.com/path":            `has '/' in its host`,
		"user@example.com":              `has '@' in its host`,
		"bücher.example":                "xn-- form",
		"a\x1b[2J.example":              `has '\x1b' in its host`,
		"http://example.com/":           "is plain HTTP",
		"HTTP://example.com":            "is plain HTTP",
		"ftp://example.com/":            `has the scheme "ftp"`,
		"://example.com":                `has the scheme ""`,
		"https://":                      "has no host",
		"https:///path":                 "has no host",
		"https://:8443/":                "has no host",
		"https://example.com:70000/":    "has the port 70000",
		"https://example.com:x/":        "is no URL",
		"https://[::1":                  "is no URL",
		"https://exam%zz/":              "is no URL",
		"https:/example.com":            "has the port",
	} {
		_, err := probeConfig{dials: 1}.complete(target)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), targetForms) || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%q: %v; want %q and the accepted forms", target, err, want)
		}
	}
	_, err := probeConfig{dials: 1}.complete("http://user:secret@example.com/a@b")
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "http://example.com/a@b") {
		t.Errorf("a URL with a password: %v; want the URL without it", err)
	}
}
