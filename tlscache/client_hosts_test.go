package tlscache

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// An addrConn says that it is connected to an address of its own choice.
type addrConn struct {
	net.Conn
	to string
}

type namedAddr string

func (namedAddr) Network() string  { return "tcp" }
func (a namedAddr) String() string { return string(a) }

func (c addrConn) RemoteAddr() net.Addr { return namedAddr(c.to) }

// dialHTTPS returns a dial function whose every connection leads to an HTTPS server, through a proxy that
// does what CONNECT says or not.
func dialHTTPS(server *tls.Config, proxied bool) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, addr string) (net.Conn, error) {
		a, b := memPipe()
		go func() {
			if proxied {
				r := bufio.NewReader(a) // net/http sends the zone of an address as its server does not read it
				for line := "CONNECT"; line != "\r\n" && line != ""; {
					line, _ = r.ReadString('\n')
				}
				_, _ = a.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
			}
			s := tls.Server(a, server)
			defer s.Close()
			if _, err := http.ReadRequest(bufio.NewReader(s)); err == nil {
				_, _ = s.Write([]byte("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
			}
		}()
		return addrConn{b, addr}, nil
	}
}

// A visitor makes one visit, which brings the Client a ticket.
type visitor func(t *testing.T, c *Client, server *tls.Config)

func fetch(t *testing.T, transport *http.Transport, host string) {
	t.Helper()
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("https://" + host + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// viaHTTP is a visit of an http.Transport with an installed Config.
func viaHTTP(host string, proxied bool) visitor {
	return func(t *testing.T, c *Client, server *tls.Config) {
		transport := &http.Transport{TLSClientConfig: installedInsecure(t, c), DialContext: dialHTTPS(server, proxied)}
		if proxied {
			transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:3128"})
		}
		fetch(t, transport, host)
	}
}

// viaDial is a visit of an http.Transport that dials with DialTLSContext.
func viaDial(host string) visitor {
	return func(t *testing.T, c *Client, server *tls.Config) {
		c.cfg.DialContext = dialHTTPS(server, false)
		fetch(t, &http.Transport{DialTLSContext: c.DialTLSContext}, host)
	}
}

// viaName is a visit with a ServerName, or none, at an address.
func viaName(serverName, addr string) visitor {
	return func(t *testing.T, c *Client, server *tls.Config) {
		t.Helper()
		cfg := installedInsecure(t, c)
		cfg.ServerName = serverName
		raw, _ := dialHTTPS(server, false)(t.Context(), "tcp", addr)
		fetch(t, &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn := tls.Client(raw, cfg)
			return conn, conn.HandshakeContext(ctx)
		}}, "any.test")
	}
}

func installedInsecure(t *testing.T, c *Client) *tls.Config {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// hostForms are visits of one host each, and how its name can be spelled.
var hostForms = []struct {
	host      string
	visits    map[string]visitor
	spellings []string
}{
	{"an IPv6 address", map[string]visitor{
		"through a proxy":           viaHTTP("[::1]", true),
		"through a proxy, expanded": viaHTTP("[0:0:0:0:0:0:0:1]:8443", true),
		"by net/http":               viaHTTP("[::1]:8443", false),
		"by DialTLSContext":         viaDial("[::1]"),
		"by name":                   viaName("::1", "x"),
		"by name, in brackets":      viaName("[::1]", "x"),
		"by name and port":          viaName("[::1]:443", "x"),
		"by address":                viaName("", "[::1]:443"),
		"by address with a zone":    viaName("", "[::1%lo]:443"),
	}, []string{
		"::1", "[::1]", "[::1]:443", "[::1]:8443", "[::1]:", "[::1]:https", "0:0:0:0:0:0:0:1", "[0:0::0:1]:1", "::1%lo",
		"0000:0000:0000:0000:0000:0000:0000:0001", "::0.0.0.1", "[::1%25lo]:443", "::1%eth0", "::1.", "[::1].",
	}},
	{"a link-local address", map[string]visitor{
		"through a proxy":   viaHTTP("[fe80::a%25Eth0]", true),
		"by DialTLSContext": viaDial("[FE80::A%25eth0]:443"),
		"by address":        viaName("", "[fe80::a%eth1]:443"),
	}, []string{"fe80::a", "FE80::A", "fe80::a%eth0", "[fe80:0::0A%25Eth0]:443", "fe80::a%other"}},
	{"an IPv4 address", map[string]visitor{
		"through a proxy":         viaHTTP("192.0.2.1", true),
		"through a proxy, mapped": viaHTTP("[::ffff:192.0.2.1]:443", true),
		"by DialTLSContext":       viaDial("192.0.2.1:8443"),
		"by address":              viaName("", "192.0.2.1:443"),
		"by name and dot":         viaName("192.0.2.1.", "x"),
	}, []string{
		"192.0.2.1", "192.0.2.1:443", "[192.0.2.1]:443", "192.0.2.1.", "::ffff:192.0.2.1", "[::FFFF:192.0.2.1]:80", "::ffff:c000:201",
		"0:0:0:0:0:ffff:192.0.2.1",
	}},
	{"a name", map[string]visitor{
		"through a proxy":   viaHTTP("Name.test:8443", true),
		"by net/http":       viaHTTP("name.TEST.", false),
		"by DialTLSContext": viaDial("name.test"),
		"by name and port":  viaName("name.test:443", "x"),
	}, []string{"name.test", "NAME.Test", "name.test.", "name.test..", "name.test:443", "Name.test.:443", "[name.test]:443", "name.test:", "name.test:https"}},
	{"a name in other letters", map[string]visitor{
		"through a proxy":         viaHTTP("b\u00fccher.\u4f8b\u3048.test", true),
		"by DialTLSContext":       viaDial("B\u00dcCHER.\u4f8b\u3048.test:443"),
		"by A-label":              viaName("xn--bcher-kva.xn--r8jz45g.test", "x"),
		"by name, as no one does": viaName("b\u00fccher.\u4f8b\u3048.test", "x"),
	}, []string{
		"b\u00fccher.\u4f8b\u3048.test", "B\u00dcCHER.\u4f8b\u3048.TEST.", "xn--bcher-kva.xn--r8jz45g.test", "XN--Bcher-KVA.xn--r8jz45g.test",
		"b\u00fccher.\u4f8b\u3048.test:443", "b\u00fccher.xn--r8jz45g.test.:8443",
	}},
}

func TestFlushHostFindsEveryFormOfAName(t *testing.T) {
	server := &tls.Config{Certificates: []tls.Certificate{newAuthority(t, "CA").issue(t, "name.test")}}
	for _, forms := range hostForms {
		for way, visit := range forms.visits {
			for _, spelling := range forms.spellings {
				c := newTestClient(t, ClientConfig{TLS: &tls.Config{InsecureSkipVerify: true}})
				c.View("test").Put("another.test", fakeTicket{label: "1"}.state(t))
				visit(t, c, server)
				held := c.Stats().Held
				c.FlushHost(spelling)
				if left := c.Stats().Held; held < 2 || left != 1 {
					t.Errorf("%s, visited %s: %d tickets held, %d after FlushHost(%q); want some, and that of another host",
						forms.host, way, held, left, spelling)
				}
			}
		}
	}
}

// With a Store the keys are inside what is sealed.
func TestFlushHostFindsEveryFormInAStore(t *testing.T) {
	for _, forms := range hostForms {
		for _, spelling := range forms.spellings {
			store := newMemory(t, session.MemoryConfig{})
			c := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute})
			for _, put := range forms.spellings {
				c.View("test").Put(put, fakeTicket{label: put}.state(t))
			}
			c.FlushHost(spelling)
			if n, err := store.Size(t.Context()); n != 0 || err != nil {
				t.Errorf("%s: %d tickets after FlushHost(%q), error %v; want none", forms.host, n, spelling, err)
			}
		}
	}
}

// Two zones, and two ports where crypto/tls names the address, may be two servers, with tickets of their own.
func TestZonesAndPortsShareNoTickets(t *testing.T) {
	v := newTestClient(t, ClientConfig{}).View("test")
	names := []string{"[fe80::1%eth0]:443", "[fe80::1%eth1]:443", "[fe80::1]:443", "[fe80::1]:8443", "fe80::1", "192.0.2.1:443", "192.0.2.1", "a.test", "a.test:443"}
	for _, name := range names {
		v.Put(name, fakeTicket{label: name}.state(t))
	}
	for _, name := range names {
		if got := labelOf(t, v, name); got != name {
			t.Errorf("Get(%q) = the ticket of %q; want its own", name, got)
		}
	}
}

func TestFlushHostOfNoHostFlushesNothing(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	c.View("test").Put("a.test", fakeTicket{label: "1"}.state(t))
	for _, host := range []string{"", ".", "...", "test", "a", ".test", "a.test\x00", "[]", ":443"} {
		c.FlushHost(host)
		if held := c.Stats().Held; held != 1 {
			t.Fatalf("FlushHost(%q) removed a.test", host)
		}
	}
}

// A file that an earlier version wrote has names in the form of that version.
func TestImportedNamesAreInTheNormalForm(t *testing.T) {
	keyring := ring(t, secret(1))
	c := newTestClient(t, ClientConfig{})
	v := c.View("test")
	v.Put("x", fakeTicket{label: "1"}.state(t))
	held := c.pool.(*tickets.MemoryPool).All()
	c.Flush()
	for old, now := range map[string]string{
		"[::1]": "::1", "192.0.2.1:443": "192.0.2.1:443", "2001:DB8::A": "2001:db8::a", "b\u00fccher.test": "xn--bcher-kva.test", "a.test": "a.test",
	} {
		held[0].Key = viewScope("test") + old
		var file writer
		if _, err := writeExport(&file, keyring, held); err != nil {
			t.Fatal(err)
		}
		imports(t, c, file, ImportConfig{Keyring: keyring})
		if got := labelOf(t, v, now); got != "1" {
			t.Errorf("Get(%q) after Import of a ticket of %q = %q; want it", now, old, got)
		}
		c.FlushHost(now)
		if held := c.Stats().Held; held != 0 {
			t.Errorf("%d held after FlushHost(%q)", held, now)
		}
	}
}

type writer []byte

func (w *writer) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }

// A server knows a host under the same names as a client.
func TestRevokeServerNameFindsEveryFormOfAName(t *testing.T) {
	for _, tt := range []struct {
		sent      []string // as ServerName, and so in the ClientHello
		spellings []string
	}{
		{[]string{"name.test", "Name.TEST.", "name.test:443"}, []string{"name.test", "NAME.test.", "name.test:443", "[name.test]:1"}},
		{[]string{"[2001:DB8::A]:443"}, []string{"2001:db8::a", "[2001:db8:0::a]", "[2001:db8::a%eth0]:443"}},
		{[]string{"b\u00fccher.test", "xn--bcher-kva.test"}, []string{"B\u00fccher.test", "XN--bcher-kva.test."}},
	} {
		w := newWorld(t, ServerConfig{})
		for _, sent := range tt.sent {
			for _, spelling := range tt.spellings {
				client := w.client(tls.VersionTLS13, func(cfg *tls.Config) { cfg.ServerName, cfg.InsecureSkipVerify = sent, true })
				w.want("first", client, false)
				w.want("second", client, true)
				if err := w.RevokeServerName(t.Context(), spelling); err != nil {
					t.Fatal(err)
				}
				w.want(sent+", after RevokeServerName of "+spelling, client, false)
			}
		}
	}
}
