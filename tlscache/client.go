package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/internal/faults"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
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

	// minMaxAge is the least of ClientConfig.MaxAge: crypto/tls counts the lives of tickets in seconds.
	minMaxAge = time.Second

	// maxPerKey is the most of ClientConfig.PerKey: a Store is asked for all tickets of a key at once.
	maxPerKey = 1 << 16
)

// DefaultClientBudget is the default of ClientConfig.Budget.
const DefaultClientBudget = DefaultBudget

// ClientConfig sets up a Client. The zero value is a good one: tickets in this process's
// memory, reused where there is no fresh one. It is read once, by NewClient.
type ClientConfig struct {
	// MaxSessions bounds the tickets held, of all keys together, exactly. A full Client
	// keeps one ticket per key, so that it knows as many servers as it can. Zero means
	// DefaultClientSessions. It does not bound a Store.
	MaxSessions int

	// PerKey bounds the TLS 1.3 tickets held for one server name, and for one address of
	// it: from 1 to 65536. Zero means DefaultPerKey. In a Store it bounds those of one process.
	PerKey int

	// SingleUse offers no ticket twice, as RFC 9846 appendix C.4 asks of clients that do
	// not want to be recognised by their tickets on the wire; TLS 1.2 included. It costs
	// resumption where connections are opened in parallel: a server that sends two
	// tickets per connection lets two resume per connection that was read from.
	SingleUse bool

	// MaxAge, if set, caps the life of a ticket further: from a second to 7 days. The caps that hold
	// anyway are what the server said, 7 days for TLS 1.3 and 24 hours for TLS 1.2.
	MaxAge time.Duration

	// Scope names the trust configuration of the Configs that are passed to Install, where
	// they have what has no identity: VerifyPeerCertificate or GetClientCertificate, which
	// do not run on resumption. All such Configs of one Client share the name, so give
	// each trust configuration a Client of its own. Without it, each Install of such
	// a Config gets a scope that no other has and that does not outlive the process.
	Scope string

	// VerifyPeerOnResume runs the Config's VerifyPeerCertificate on resumption too, which crypto/tls does not, with the
	// certificates and chains of the session. So what it checks needs no Scope, and a server that it refuses by now is not
	// resumed with. The refusal fails that handshake and removes the tickets of that server, so the next handshake is a full
	// one. It costs what the function costs, on each resumption. ClientStats.PeersRefused counts refusals.
	//
	// It runs in the VerifyConnection that Install sets, before the one that was there, and takes the function that the Config
	// had then: one that is set later is not run, nor is any if a later VerifyConnection does not call ours. It does not reach a View.
	// GetClientCertificate needs a Scope as before.
	VerifyPeerOnResume bool

	// OnHandshake is told of each handshake that is about to succeed, as ServerConfig.OnHandshake is: of those of Configs with
	// Install and of DialTLSContext, not of a View's, nor of a server's with the same Config. If it panics, the
	// handshake goes on; ClientStats.Panics counts that. Nil means none.
	OnHandshake func(Outcome)

	// Logger is told that the Store is left alone or used again, and that OnHandshake panicked, in the manner of
	// ServerConfig.Logger. Nil means none.
	Logger *slog.Logger

	// TLS is the Config of the connections that DialTLSContext makes, as for Install; nil
	// means the zero Config. It is cloned. An http.Transport speaks HTTP/2 over them if
	// NextProtos says so: []string{"h2", "http/1.1"}. It is an error if it disables tickets. Its
	// ClientSessionCache is not used, nor is a Client that is installed in it.
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

	// Budget bounds the time that one Get or Put waits for the Store, as ServerConfig.Budget does. Zero means
	// DefaultClientBudget.
	Budget time.Duration
}

// validate reports every faulty field at once and returns cfg with its defaults filled in.
func (cfg ClientConfig) validate() (ClientConfig, error) {
	var wrong faults.List
	span := func(field string, d *time.Duration, ifZero time.Duration) {
		if *d < 0 {
			wrong.Add("%s is %v; want at least 1ns, or 0 for %v", field, *d, ifZero)
		}
		if *d == 0 {
			*d = ifZero
		}
	}
	if cfg.MaxSessions < 0 {
		wrong.Add("MaxSessions is %d; want at least 1, or 0 for %d", cfg.MaxSessions, DefaultClientSessions)
	}
	if cfg.PerKey < 0 || cfg.PerKey > maxPerKey {
		wrong.Add("PerKey is %d; want from 1 to %d, or 0 for %d", cfg.PerKey, maxPerKey, DefaultPerKey)
	}
	if cfg.MaxAge != 0 && (cfg.MaxAge < minMaxAge || cfg.MaxAge > tickets.MaxLife13) {
		wrong.Add("MaxAge is %v; want from %v to %v, or 0 for %v", cfg.MaxAge, minMaxAge, tickets.MaxLife13, tickets.MaxLife13)
	}
	cfg.MaxSessions, cfg.PerKey = orDefault(cfg.MaxSessions, DefaultClientSessions), orDefault(cfg.PerKey, DefaultPerKey)
	cfg.MaxAge = orDefault(cfg.MaxAge, tickets.MaxLife13)
	span("HandshakeTimeout", &cfg.HandshakeTimeout, DefaultHandshakeTimeout)
	span("Budget", &cfg.Budget, DefaultClientBudget)
	addStoreFaults(&wrong, cfg.Store, cfg.Keyring, "tickets")
	if cfg.TLS != nil && cfg.TLS.SessionTicketsDisabled {
		wrong.Add("TLS has SessionTicketsDisabled, so nothing can resume; want it false")
	}
	if err := wrong.Err("tlscache"); err != nil {
		return cfg, err
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
// a Store. The zero Client is not usable; call NewClient: its methods return an error, or do
// nothing where they have none to return, and so do those of a nil Client. A Client must not be copied.
type Client struct {
	cfg   ClientConfig
	pool  tickets.Pool
	stats clientCounters

	clock    clock.Clock
	families *tickets.Families
	pools    certPools // of RootCAs
	trouble  *trouble
	keyring  *Keyring // the Config's, or its own; nil: nothing needs one
	log      lines
	attempts attempts
	hidden   certLists // of connections with ECH, seen where Install saw a Config without
	dial     struct {
		config *tls.Config // never changed: each connection gets a clone
		scope  string
	}
	fingerprints fingerprints

	flushes atomic.Uint64 // that have begun
	closed  atomic.Bool
}

var (
	errClientClosed = errors.New("tlscache: client is closed")
	errZeroClient   = errors.New("tlscache: Client is a zero one; want NewClient")
)

// isZero reports whether a Client did not come from NewClient.
func (c *Client) isZero() bool { return c == nil || c.pool == nil }

// NewClient returns a Client without tickets. The error names every faulty field. It starts
// no goroutine.
func NewClient(cfg ClientConfig) (*Client, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, keyring: cfg.Keyring}
	c.log.logger = cfg.Logger
	if c.keyring == nil && (cfg.Store != nil || cfg.OnHandshake != nil) {
		if c.keyring, err = NewKeyring(NewSecret(0)); err != nil {
			return nil, err
		}
	}
	if c.trouble, err = newTrouble(); err != nil {
		return nil, err
	}
	if c.families, err = tickets.NewFamilies(cfg.MaxSessions); err != nil {
		return nil, err
	}
	if c.pool, err = c.newPool(); err != nil {
		return nil, err
	}
	c.dial.config = new(tls.Config)
	if cfg.TLS != nil {
		c.dial.config = cfg.TLS.Clone()
	}
	if v := viewOf(c.dial.config.VerifyConnection); v != nil {
		c.dial.config.VerifyConnection = v.verifies // or it would count what this Client offers
	}
	if c.dial.scope, err = c.scopeOf(c.dial.config); err != nil {
		return nil, fmt.Errorf("%w (in ClientConfig.TLS)", err)
	}
	return c, nil
}

// newPool returns the pool that the Config asks for.
func (c *Client) newPool() (tickets.Pool, error) {
	cfg := tickets.Config{MaxSessions: c.cfg.MaxSessions, PerKey: c.cfg.PerKey, SingleUse: c.cfg.SingleUse}
	if c.cfg.Store == nil {
		return tickets.NewMemoryPool(cfg, &c.clock)
	}
	cfg.Store, cfg.Keys, cfg.Budget, cfg.MaxInFlight = c.cfg.Store, c.keyring.keys, c.cfg.Budget, DefaultMaxInFlight
	cfg.OnBreaker = c.log.sayBreaker
	return tickets.NewStorePool(cfg, &c.clock, c.families)
}

// Install makes the connections of a client Config resume with the Client's tickets. It sets
// ClientSessionCache and wraps VerifyConnection, which runs as before and is then told to
// the Client's Stats. Call it before the Config is used; clones of it share its tickets, so
// a clone whose certificates, verification, versions or Encrypted Client Hello change must be made before.
//
// Tickets of one Config are offered under another only if both have the same client
// certificates, RootCAs, InsecureSkipVerify and version range, both or neither have an
// EncryptedClientHelloConfigList, and neither has
// VerifyPeerCertificate or GetClientCertificate, or ClientConfig.Scope names both.
//
// A clone that lost its EncryptedClientHelloConfigList is found out by its first handshake, which may have offered a
// ticket by then. Afterwards nothing that shares this Install offers or stores one. Of a clone that gained a list no
// ticket is stored. ClientStats.MixedECH counts both.
//
// It is an error if the Config disables tickets, if it has the Client installed already
// with something changed since, if a Store is set and the scope is not stable, or after Close. A
// Config that has the Client installed and is unchanged stays as it is. Where it has another Client, this
// one takes its place, and the other one neither offers nor counts any more. A ClientSessionCache or a
// VerifyConnection that is set after Install, and does not call the one that was there, takes the Client
// out of force, or its Accepted.
//
// The Config may be a server's, too: VerifyConnection tells by its callers that it runs in a server's handshake, which
// counts nothing. It does not if a function over it runs it in another goroutine.
func (c *Client) Install(cfg *tls.Config) error {
	switch {
	case c.isZero():
		return errZeroClient
	case cfg == nil:
		return errors.New("tlscache: Client.Install on a nil Config; want one that the client uses," +
			" as http.Transport.TLSClientConfig set to new(tls.Config) before")
	case c.closed.Load():
		return errClientClosed
	case cfg.SessionTicketsDisabled:
		return errors.New("tlscache: Client.Install on a Config with SessionTicketsDisabled, so nothing can resume; want it false")
	}
	s, err := c.scopeOf(cfg)
	if err != nil {
		return err
	}
	old := viewIn(cfg)
	if old != nil && old.client == c {
		if old.scope == s {
			cfg.ClientSessionCache = old
			return nil
		}
		// Wrapping VerifyConnection twice would count twice.
		return errors.New("tlscache: Client.Install: the Config has this Client installed and has changed since, or has no stable scope; " +
			"clone the original, change the clone, and call Install on it")
	}
	v := &view{client: c, scope: s, installed: true, time: cfg.Time, verifies: cfg.VerifyConnection}
	if c.cfg.VerifyPeerOnResume {
		v.peer = cfg.VerifyPeerCertificate
	}
	v.ech.here = hasECH(cfg)
	if others := viewOf(cfg.VerifyConnection); others != nil {
		v.verifies = others.verifies
	}
	cfg.ClientSessionCache, cfg.VerifyConnection = v, v.verify
	return nil
}

// viewIn returns the view that Install left in a Config, nil if there is none or nothing of it counts any more.
func viewIn(cfg *tls.Config) *view {
	if v := viewOf(cfg.VerifyConnection); v != nil {
		return v
	}
	if v, ok := cfg.ClientSessionCache.(*view); ok && v.installed && cfg.VerifyConnection != nil {
		return v // the user's function calls it, perhaps
	}
	return nil
}

// View returns a tls.ClientSessionCache for one trust configuration that the caller names.
// Views of one name share tickets, and nothing else does, so a name must stand for one set of
// client certificates, roots, verification callbacks and versions, and for connections with Encrypted
// Client Hello or for those without. In return it works with
// callbacks, in QUIC libraries, and where VerifyConnection is not to be touched. Its
// handshakes count as Offered, but never as Accepted. That of a closed Client has no tickets.
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
	if name := hostname.Normal(host); name != "" && !c.isZero() {
		c.flushes.Add(1) // first: a dial under way gives no ticket back from now on
		c.pool.Flush(name)
	}
}

// Flush removes all tickets, as FlushHost does; from a Store those that the Keyring opens.
func (c *Client) Flush() {
	if !c.isZero() {
		c.flushes.Add(1)
		c.pool.FlushAll()
	}
}

// Close ends the Client: it holds no ticket from now on, and connections that use it, DialTLSContext's
// among them, do full handshakes. Install, Export and Import return an error then. It is idempotent and
// always returns nil.
func (c *Client) Close() error {
	if !c.isZero() && c.closed.CompareAndSwap(false, true) {
		c.pool.Close()
		c.trouble.close()
		c.families.Close()
	}
	return nil
}
