package redisstore

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

func TestConfigErrorsNameEveryFaultyField(t *testing.T) {
	bad := Config{
		Mode: 7, Addrs: []string{"", "secret-host:1"}, Primary: "secret", Username: "secret", SentinelPassword: "secret",
		Prefix: "{secret}", MaxSessionSize: -1, MaxTTL: -1, Timeout: time.Hour, MaxInFlight: 1 << 20,
	}
	_, err := New(bad)
	if err == nil {
		t.Fatal("New() = nil; want an error")
	}
	for _, field := range []string{"Mode", "Addrs[0]", "Primary", "SentinelPassword", "without a password", "Prefix", "MaxSessionSize", "MaxTTL", "Timeout", "MaxInFlight"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("New() = %v; want it to name %s", err, field)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("New() = %v; want no address, name or password in it", err)
	}
}

func TestConfigRefuses(t *testing.T) {
	ok := Config{Addrs: []string{"127.0.0.1:1"}}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no address":                   {func(c *Config) { c.Addrs = nil }, "Addrs is empty"},
		"two addresses of one server":  {func(c *Config) { c.Addrs = []string{"a:1", "b:1"} }, "want one with Standalone"},
		"a unix socket in a cluster":   {func(c *Config) { c.Mode, c.Addrs = Cluster, []string{"/s"} }, "unix socket"},
		"a unix socket with TLS":       {func(c *Config) { c.TLS, c.Addrs = &tls.Config{}, []string{"/s"} }, "unix socket"},
		"Sentinel without a primary":   {func(c *Config) { c.Mode = Sentinel }, "Primary"},
		"a primary without Sentinel":   {func(c *Config) { c.Primary = "main" }, "Primary"},
		"a user without a password":    {func(c *Config) { c.Username = "u" }, "without a password"},
		"a pattern for a prefix":       {func(c *Config) { c.Prefix = "a*" }, "Prefix"},
		"a prefix that opens a tag":    {func(c *Config) { c.Prefix = "{a" }, "Prefix"},
		"a long prefix":                {func(c *Config) { c.Prefix = strings.Repeat("a", maxPrefix+1) }, "Prefix has 65 bytes; want at most 64"},
		"sessions of more than 1 MiB":  {func(c *Config) { c.MaxSessionSize = MaxSessionSize + 1 }, "want 1 to 1048576"},
		"a TTL of more than 7 days":    {func(c *Config) { c.MaxTTL = 8 * 24 * time.Hour }, "want 1ms to 168h0m0s"},
		"a TTL that is no millisecond": {func(c *Config) { c.MaxTTL = time.Microsecond }, "want 1ms to"},
		"a timeout that is none":       {func(c *Config) { c.Timeout = 1 }, "want 1ms to 1m"},
		"too many in flight":           {func(c *Config) { c.MaxInFlight = MaxInFlight + 1 }, "want 1 to 512"},
	} {
		cfg := ok
		c.change(&cfg)
		if _, err := cfg.validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an error that says %q", name, err, c.want)
		}
	}
	if _, err := ok.validate(); err != nil {
		t.Errorf("%v of a good Config; want nil", err)
	}
}
