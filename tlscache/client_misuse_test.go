package tlscache

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// clientMethods is every exported method of a Client, and what it does when it has nothing to work with.
var clientMethods = map[string]func(t *testing.T, c *Client) error{
	"Install": func(_ *testing.T, c *Client) error { return c.Install(new(tls.Config)) },
	"Export": func(t *testing.T, c *Client) error {
		return c.Export(io.Discard, ExportConfig{Keyring: ring(t, secret(1))})
	},
	"Import": func(t *testing.T, c *Client) error {
		return c.Import(bytes.NewReader(nil), ImportConfig{Keyring: ring(t, secret(1))})
	},
	"DialTLSContext": func(t *testing.T, c *Client) error {
		conn, err := c.DialTLSContext(t.Context(), "tcp", "a.test:443")
		if conn != nil {
			t.Error("DialTLSContext returns a connection and an error")
		}
		return err
	},
	"View": func(t *testing.T, c *Client) error {
		v := c.View("test")
		v.Put("a", fakeTicket{label: "1"}.state(t))
		v.Put("a", nil)
		if cs, ok := v.Get("a"); cs != nil || ok {
			t.Error("the View of a Client that keeps nothing has a ticket")
		}
		return nil
	},
	"FlushHost": func(_ *testing.T, c *Client) error { c.FlushHost("a"); return nil },
	"Flush":     func(_ *testing.T, c *Client) error { c.Flush(); return nil },
	"Close":     func(_ *testing.T, c *Client) error { return c.Close() },
	"Stats": func(t *testing.T, c *Client) error {
		if st := c.Stats(); st.Misses == nil || st.Held != 0 {
			t.Errorf("Stats = %+v; want an empty one", st)
		}
		return nil
	},
}

func TestTheZeroClientSaysSo(t *testing.T) {
	if methods := reflect.TypeFor[*Client]().NumMethod(); methods != len(clientMethods) {
		t.Errorf("a Client has %d methods, the table %d", methods, len(clientMethods))
	}
	returnsError := map[string]bool{"Install": true, "Export": true, "Import": true, "DialTLSContext": true}
	for method, call := range clientMethods {
		for what, c := range map[string]*Client{"zero": new(Client), "nil": nil} {
			err := call(t, c)
			if returnsError[method] != (err != nil) || err != nil && !strings.Contains(err.Error(), "NewClient") {
				t.Errorf("%s of a %s Client: %v; want an error that says NewClient if it can return one", method, what, err)
			}
		}
	}
}

func TestAClosedClientSaysSo(t *testing.T) {
	returnsError := map[string]bool{"Install": true, "Export": true, "Import": true}
	for _, store := range []session.Indexed{nil, newMemory(t, session.MemoryConfig{})} {
		for method, call := range clientMethods {
			dial := func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrPermission }
			c := newTestClient(t, ClientConfig{Store: store, DialContext: dial})
			c.Close()
			err := call(t, c)
			if method == "DialTLSContext" && err == os.ErrPermission {
				continue // it dials on, without tickets
			}
			closed := err != nil && strings.Contains(err.Error(), "client is closed") ||
				store != nil && err != nil && strings.Contains(err.Error(), "ClientConfig.Store") // Export and Import, ever
			if returnsError[method] != closed {
				t.Errorf("%s of a closed Client: %v", method, err)
			}
		}
	}
}

// clientFaults is every field of a ClientConfig that can be wrong.
var clientFaults = []struct {
	field string
	cfg   ClientConfig
	want  string
}{
	{"MaxSessions", ClientConfig{MaxSessions: -1}, "MaxSessions is -1; want at least 1, or 0 for 4096"},
	{"PerKey", ClientConfig{PerKey: -1}, "PerKey is -1; want from 1 to 65536, or 0 for 8"},
	{"PerKey", ClientConfig{PerKey: 65537}, "PerKey is 65537; want from 1 to 65536, or 0 for 8"},
	{"MaxAge", ClientConfig{MaxAge: -1}, "MaxAge is -1ns; want from 1s to 168h0m0s, or 0 for 168h0m0s"},
	{"MaxAge", ClientConfig{MaxAge: time.Second - 1}, "MaxAge is 999.999999ms; want from 1s to 168h0m0s, or 0 for 168h0m0s"},
	{"MaxAge", ClientConfig{MaxAge: tickets.MaxLife13 + 1}, "MaxAge is 168h0m0.000000001s; want from 1s to 168h0m0s, or 0 for 168h0m0s"},
	{"HandshakeTimeout", ClientConfig{HandshakeTimeout: -time.Second}, "HandshakeTimeout is -1s; want at least 1ns, or 0 for 10s"},
	{"Budget", ClientConfig{Budget: -1}, "Budget is -1ns; want at least 1ns, or 0 for 5ms"},
	{"TLS", ClientConfig{TLS: &tls.Config{SessionTicketsDisabled: true}}, "TLS has SessionTicketsDisabled, so nothing can resume; want it false"},
	{"Store", ClientConfig{Store: (*session.Memory)(nil)}, "Store is a nil *session.Memory; want one that was made, or no Store at all for memory"},
	{"Store", ClientConfig{Store: session.Indexed((*indexedRemote)(nil))}, "Store is a nil *tlscache.indexedRemote; want one that was made, or no Store at all for memory"},
	{"Keyring", ClientConfig{Store: &indexedRemote{}}, "Keyring is nil and the Store is not session.Local; want a Keyring, which seals the tickets there"},
	{"Keyring", ClientConfig{Keyring: new(Keyring)}, "Keyring is a zero one; want NewKeyring"},
}

// An indexedRemote is a Store that is not Local.
type indexedRemote struct{ session.Indexed }

func TestErrorsOfClientsSayFromWhatToWhat(t *testing.T) {
	cannotBeWrong := map[string]bool{"SingleUse": true, "Scope": true, "DialContext": true, "VerifyPeerOnResume": true, "OnHandshake": true, "Logger": true}
	for _, tt := range clientFaults {
		cannotBeWrong[tt.field] = true
		if _, err := NewClient(tt.cfg); err == nil || err.Error() != "tlscache: "+tt.want {
			t.Errorf("NewClient: %v; want %q", err, tt.want)
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[ClientConfig]()) {
		if !cannotBeWrong[field.Name] {
			t.Errorf("what can be wrong with ClientConfig.%s is not in the table", field.Name)
		}
	}
	for _, cfg := range []ClientConfig{
		{MaxSessions: 1, PerKey: 1, MaxAge: time.Second, HandshakeTimeout: 1, Budget: 1},
		{MaxSessions: 1 << 30, PerKey: 1 << 16, MaxAge: tickets.MaxLife13, HandshakeTimeout: 1<<63 - 1, Budget: 1<<63 - 1},
	} {
		for _, store := range []session.Indexed{nil, newMemory(t, session.MemoryConfig{})} {
			cfg.Store = store
			c := newTestClient(t, cfg)
			v := c.View("test")
			v.Put("a", fakeTicket{label: "1"}.state(t))
			if cs, _ := v.Get("a"); cs == nil && cfg.Budget > 1 {
				t.Errorf("%+v keeps nothing", cfg)
			}
		}
	}
}

func TestCallsOfAClientThatCannotWorkSayWhy(t *testing.T) {
	keyring := ring(t, secret(1))
	c := newTestClient(t, ClientConfig{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, nil }})
	var noFile *os.File
	dial := func(addr string) error {
		_, err := c.DialTLSContext(t.Context(), "tcp", addr)
		return err
	}
	for _, tt := range []struct {
		call string
		err  error
		want string
	}{
		{"Install(nil)", c.Install(nil), "http.Transport.TLSClientConfig set to new(tls.Config)"},
		{"Install without tickets", c.Install(&tls.Config{SessionTicketsDisabled: true}), "SessionTicketsDisabled"},
		{"Export to nil", c.Export(nil, ExportConfig{Keyring: keyring}), "Writer is nil"},
		{"Export to a nil file", c.Export(noFile, ExportConfig{Keyring: keyring}), "Writer is nil"},
		{"Export without a Keyring", c.Export(io.Discard, ExportConfig{}), "Keyring is nil"},
		{"Export with a zero Keyring", c.Export(io.Discard, ExportConfig{Keyring: new(Keyring)}), "NewKeyring"},
		{"Export of negative lives", c.Export(io.Discard, ExportConfig{Keyring: keyring, MinLife: -1}), "MinLife is -1ns; want from 0s to 168h0m0s"},
		{"Export of no lives", c.Export(io.Discard, ExportConfig{Keyring: keyring, MinLife: tickets.MaxLife13 + 1}), "MinLife is 168h0m0.000000001s; want from 0s to 168h0m0s"},
		{"Import of nil", c.Import(nil, ImportConfig{Keyring: keyring}), "Reader is nil"},
		{"Import without a Keyring", c.Import(bytes.NewReader(nil), ImportConfig{}), "Keyring is nil"},
		{"Import of no lives", c.Import(bytes.NewReader(nil), ImportConfig{Keyring: keyring, MinLife: tickets.MaxLife13 + 1}), "MinLife is 168h"},
		{"Import of nothing", c.Import(bytes.NewReader(nil), ImportConfig{Keyring: keyring}), "not an exported file"},
		{"a dial that returns nothing", dial("a.test:443"), "DialContext returned no connection"},
		{"a dial without a port", dial("a.test"), "host:port, as in example.com:443 or [::1]:443: missing port"},
		{"a dial without brackets", dial("::1"), "too many colons"},
		{"a dial to nothing", dial(""), "missing port"},
	} {
		if tt.err == nil || !strings.HasPrefix(tt.err.Error(), "tlscache: ") || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v; want an error that says %q", tt.call, tt.err, tt.want)
		}
		if tt.err != nil && strings.Contains(tt.err.Error(), "a.test") {
			t.Errorf("%s: %v names a host", tt.call, tt.err)
		}
	}
}
