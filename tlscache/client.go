package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// Defaults of a ClientConfig.
const (
	// DefaultClientSessions is the default of ClientConfig.MaxSessions: 4096 tickets, of a
	// few hundred bytes and a share in the server's certificates each.
	DefaultClientSessions = 4096

	// DefaultPerKey is the default of ClientConfig.PerKey. Servers send one ticket per
	// connection (Go, Erlang) or two (OpenSSL, nginx); eight serve a burst after a pause.
	DefaultPerKey = 8

	// DefaultHandshakeTimeout is the default of ClientConfig.HandshakeTimeout, and that of
	// http.DefaultTransport.
	DefaultHandshakeTimeout = 10 * time.Second
)

// ClientConfig sets up a Client. The zero value is a good one: tickets in this process's
// memory, reused where there is no fresh one. It is read once, by NewClient.
type ClientConfig struct {
	// MaxSessions bounds the tickets held, of all keys together, exactly. A full Client
	// keeps one ticket per key, so that it knows as many servers as it can. Zero means
	// DefaultClientSessions. It does not bound a Store.
	MaxSessions int

	// PerKey bounds the TLS 1.3 tickets held for one server name, and for one address of
	// it. Zero means DefaultPerKey. It does not bound a Store.
	PerKey int

	// SingleUse offers no ticket twice, as RFC 9846 appendix C.4 asks of clients that do
	// not want to be recognised by their tickets on the wire; TLS 1.2 included. It costs
	// resumption where connections are opened in parallel: a server that sends two
	// tickets per connection lets two resume per connection that was read from.
	SingleUse bool

	// MaxAge, if set, caps the life of a ticket further. The caps that hold anyway are what
	// the server said, 7 days for TLS 1.3 and 24 hours for TLS 1.2.
	MaxAge time.Duration

	// Scope names the trust configuration of the Configs that are passed to Install, where
	// they have what has no identity: VerifyPeerCertificate or GetClientCertificate, which
	// do not run on resumption. All such Configs of one Client share the name, so give
	// each trust configuration a Client of its own. Without it, each Install of such
	// a Config gets a scope that no other has and that does not outlive the process.
	Scope string

	// TLS is the Config of the connections that DialTLSContext makes, as for Install; nil
	// means the zero Config. It is cloned. An http.Transport speaks HTTP/2 over them if
	// NextProtos says so: []string{"h2", "http/1.1"}.
	TLS *tls.Config

	// DialContext opens the connections of DialTLSContext. Nil means a net.Dialer's.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// HandshakeTimeout bounds the handshake of DialTLSContext, beside its context: a
	// transport's TLSHandshakeTimeout does not reach there. Zero means
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	// Store keeps the tickets where other processes find them. Nil keeps them in this
	// process. Every call has a budget and goes through a breaker; what a Store fails to do
	// costs a full handshake. The Client does not close it. Tickets in a Store are
	// sealed, under names that tell nothing. Scopes must be stable, see Scope.
	Store session.Indexed

	// Keyring seals what goes to a Store. It must be set with one, unless that is Local.
	Keyring *Keyring

	// Budget bounds the time that one Get or Put spends on the Store. Zero means
	// DefaultClientBudget.
	Budget time.Duration
}

// validate reports every faulty field at once and returns cfg with its defaults filled in.
func (cfg ClientConfig) validate() (ClientConfig, error) {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	count := func(field string, n *int, ifZero int) {
		if *n < 0 {
			fault("%s is %d; want at least 1, or 0 for %d", field, *n, ifZero)
		}
		if *n == 0 {
			*n = ifZero
		}
	}
	span := func(field string, d *time.Duration, ifZero time.Duration) {
		if *d < 0 {
			fault("%s is %v; want more than 0, or 0 for %v", field, *d, ifZero)
		}
		if *d == 0 {
			*d = ifZero
		}
	}
	count("MaxSessions", &cfg.MaxSessions, DefaultClientSessions)
	count("PerKey", &cfg.PerKey, DefaultPerKey)
	span("MaxAge", &cfg.MaxAge, maxLife13)
	span("HandshakeTimeout", &cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	span("Budget", &cfg.Budget, DefaultClientBudget)
	if _, local := cfg.Store.(session.Local); cfg.Keyring == nil && cfg.Store != nil && !local {
		fault("Keyring is nil and the Store is not session.Local; want a Keyring, which seals the tickets there")
	}
	if cfg.Keyring != nil && cfg.Keyring.set.Load() == nil {
		fault("Keyring is a zero one; want NewKeyring")
	}
	if len(faults) > 0 {
		return cfg, errors.New("tlscache: " + strings.Join(faults, "; "))
	}
	if cfg.DialContext == nil {
		cfg.DialContext = new(net.Dialer).DialContext
	}
	return cfg, nil
}

// A Client keeps the session tickets of TLS clients, so that more of their connections resume
// than with tls.NewLRUClientSessionCache: several tickets per server, none of them beyond its
// life, none lost to a cancelled dial, and none offered under another trust configuration
// than the one that it came from.
//
// Install plugs it into a *tls.Config, View into one whose trust configuration the caller
// names, and DialTLSContext dials with tickets of the very address that it reached.
//
// All methods are safe for concurrent use, and none blocks a handshake beyond the budget of
// a Store. The zero Client is not usable; call NewClient. A Client must not be copied.
type Client struct {
	cfg   ClientConfig
	pool  pool
	stats clientCounters

	clock    clock
	families *families
	pools    poolRegistry // of RootCAs
	trouble  *trouble
	dial     struct {
		config *tls.Config // never changed: each connection gets a clone
		scope  string
	}
	closed atomic.Bool
}

// NewClient returns a Client without tickets. The error names every faulty field. It starts
// no goroutine.
func NewClient(cfg ClientConfig) (*Client, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	if c.trouble, err = newTrouble(); err != nil {
		return nil, err
	}
	if c.families, err = newFamilies(cfg.MaxSessions); err != nil {
		return nil, err
	}
	if c.pool, err = c.newPool(); err != nil {
		return nil, err
	}
	c.dial.config = new(tls.Config)
	if cfg.TLS != nil {
		c.dial.config = cfg.TLS.Clone()
	}
	if c.dial.scope, err = c.scopeOf(c.dial.config); err != nil {
		return nil, fmt.Errorf("%w (in ClientConfig.TLS)", err)
	}
	return c, nil
}

// newPool returns the pool that the Config asks for.
func (c *Client) newPool() (pool, error) {
	if c.cfg.Store == nil {
		return newMemoryPool(c.cfg, &c.clock)
	}
	return newStorePool(c.cfg, &c.clock, c.families)
}

// Install makes the connections of a client Config resume with the Client's tickets. It sets
// ClientSessionCache and wraps VerifyConnection, which runs as before and is then told to
// the Client's Stats. Call it before the Config is used; clones of it share its tickets, so
// a clone whose certificates, verification or versions change must be made before.
//
// Tickets of one Config are offered under another only if both have the same client
// certificates, RootCAs, InsecureSkipVerify and version range, and neither has
// VerifyPeerCertificate or GetClientCertificate, or ClientConfig.Scope names both.
//
// It is an error if the Config disables tickets, if it has the Client installed already
// with something changed since, or if a Store is set and the scope is not stable. A
// Config that has the Client installed and is unchanged stays as it is.
func (c *Client) Install(cfg *tls.Config) error {
	if cfg == nil {
		return errors.New("tlscache: Install: the Config is nil")
	}
	if cfg.SessionTicketsDisabled {
		return errors.New("tlscache: Install: SessionTicketsDisabled is set, so nothing can resume")
	}
	s, err := c.scopeOf(cfg)
	if err != nil {
		return err
	}
	if old, ok := cfg.ClientSessionCache.(*view); ok && old.client == c && old.installed {
		if old.scope == s {
			return nil
		}
		// Wrapping VerifyConnection twice would count twice.
		return errors.New("tlscache: Install: the Config has this Client installed and has changed since, or has no stable scope; " +
			"clone the original, change the clone, and call Install on it")
	}
	v := &view{client: c, scope: s, installed: true, time: cfg.Time}
	cfg.ClientSessionCache = v
	cfg.VerifyConnection = v.verifyConnection(cfg.VerifyConnection)
	return nil
}

// View returns a tls.ClientSessionCache for one trust configuration that the caller names.
// Views of one name share tickets, and nothing else does, so a name must stand for one set of
// client certificates, roots, verification callbacks and versions. In return it works with
// callbacks, in QUIC libraries, and where VerifyConnection is not to be touched. Its
// handshakes count as Offered, but never as Accepted.
func (c *Client) View(scope string) tls.ClientSessionCache {
	return &view{client: c, scope: viewScope(scope)}
}

// FlushHost removes the tickets of a host, of all scopes, addresses, ports and IPv6 zones. host is a server name
// or an IP address in any spelling: case, trailing dots, brackets, a port and a zone do not matter, an IPv4
// address is that mapped into IPv6, and a name in other letters than ASCII is its A-label
// (xn--bcher-kva.example), if its letters are composed (NFC). It is the name that a connection is verified for,
// not the address that a name led to. Of an empty host it removes nothing. Tickets that
// connections which are open now receive later are stored. A Store is searched through, for
// at most ten seconds.
func (c *Client) FlushHost(host string) {
	if name := normalName(host); name != "" {
		c.pool.flush(name)
	}
}

// Flush removes all tickets, as FlushHost does; from a Store those that the Keyring opens.
func (c *Client) Flush() { c.pool.flushAll() }

// Close ends the Client: it holds no ticket from now on, and connections that use it do full
// handshakes. It is idempotent and always returns nil.
func (c *Client) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.pool.close()
		c.trouble.close()
		c.families.close()
	}
	return nil
}
