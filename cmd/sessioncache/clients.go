package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/tlscache"
)

const (
	// tls12Every makes every fourth client one that speaks TLS 1.2 at most.
	tls12Every = 4

	// pace is how many handshakes a second a fleet begins at most, however large it is: both together
	// a third of two cores, so that latencies show the handshake and not the queue for a core.
	pace = 500

	// The popularity of host k is proportional to (zipfShift+k)^-zipfSkew: of 300 hosts the
	// first ten get three quarters of the visits. By a model of the run, a machine that
	// manages only 5000 handshakes in 20 s still resumes 90 %; with a skew of 1.25, 82 %.
	zipfSkew  = 1.7
	zipfShift = 2
)

// A fleet is the clients and what they share.
type fleet struct {
	clients  []*client
	hosts    []*host
	sessions *tlscache.Client // nil: stock crypto/tls
	addr     string
	tls13    *tls.Config   // of most clients, without a server name
	tls12    *tls.Config   // of every fourth
	think    time.Duration // the mean pause of a client between two visits

	begun          atomic.Uint64 // visits
	full, resumed  atomic.Uint64 // handshakes that completed
	noSession      atomic.Uint64 // full ones that had no session to offer
	revokedFull    atomic.Uint64 // handshakes that offered a session revoked before they began
	revokedResumed atomic.Uint64 // those of them that resumed: never
}

// A client visits one host after the other. Its fields belong to the goroutine that runs
// it, until the fleet has stopped.
type client struct {
	fleet      *fleet
	config     *tls.Config
	random     *rand.Rand
	popularity *rand.Zipf

	fullTimes, resumedTimes []time.Duration
	failures                map[string]int // by cause
	incomplete              uint64         // failures before the handshake completed
}

func newFleet(clients int, hosts []*host, addr string, roots *x509.CertPool) (*fleet, error) {
	sessions, err := tlscache.NewClient(tlscache.ClientConfig{})
	if err != nil {
		return nil, err
	}
	f := &fleet{hosts: hosts, sessions: sessions, addr: addr,
		think: time.Second * time.Duration(clients) / pace}
	f.tls13 = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	f.tls12 = f.tls13.Clone()
	f.tls12.MaxVersion = tls.VersionTLS12
	for _, cfg := range []*tls.Config{f.tls13, f.tls12} {
		if err := sessions.Install(cfg); err != nil {
			return nil, err
		}
	}
	for i := range clients {
		f.clients = append(f.clients, newClient(f, i))
	}
	return f, nil
}

// newStockFleet is the same fleet with the cache of crypto/tls, as large as there are hosts, so that its size makes no
// difference.
func newStockFleet(clients int, hosts []*host, addr string, roots *x509.CertPool) *fleet {
	f := &fleet{hosts: hosts, addr: addr, think: time.Second * time.Duration(clients) / pace}
	of := func(newest uint16) *tls.Config {
		return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, MaxVersion: newest,
			ClientSessionCache: tls.NewLRUClientSessionCache(len(hosts))}
	}
	f.tls13, f.tls12 = of(tls.VersionTLS13), of(tls.VersionTLS12)
	for i := range clients {
		f.clients = append(f.clients, newClient(f, i))
	}
	return f
}

// newClient returns the client of an index. It visits the same hosts in every run.
func newClient(f *fleet, i int) *client {
	c := &client{fleet: f, config: f.tls13, failures: make(map[string]int)}
	if i%tls12Every == tls12Every-1 {
		c.config = f.tls12
	}
	c.random = rand.New(rand.NewPCG(uint64(i), 1))
	c.popularity = rand.NewZipf(c.random, zipfSkew, zipfShift, uint64(len(f.hosts)-1))
	return c
}

// run lets all clients visit hosts until ctx ends. Handshakes under way are finished.
func (f *fleet) run(ctx context.Context) {
	var clients sync.WaitGroup
	for _, c := range f.clients {
		clients.Go(func() {
			for c.pause(ctx) {
				c.visit()
			}
		})
	}
	clients.Wait()
}

// pause waits for a while and reports whether to go on.
func (c *client) pause(ctx context.Context) bool {
	t := time.NewTimer(time.Duration(c.random.Float64() * 2 * float64(c.fleet.think)))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// visit does one handshake with a host and reads what the server says.
func (c *client) visit() {
	c.fleet.begun.Add(1)
	to := c.fleet.hosts[c.popularity.Uint64()]
	revocations := to.finished.Load()
	raw, err := net.DialTimeout("tcp", c.fleet.addr, ioTimeout)
	if err != nil {
		c.fail("connect", err)
		c.incomplete++
		return
	}
	defer hangUp(raw)
	if err := raw.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		c.fail("connect", err)
		c.incomplete++
		return
	}
	cfg := c.config.Clone()
	cfg.ServerName = to.name
	offer := &dated{ClientSessionCache: cfg.ClientSessionCache, to: to}
	cfg.ClientSessionCache = offer
	conn := tls.Client(raw, cfg)
	begin := time.Now()
	if err := conn.Handshake(); err != nil {
		c.fail("handshake", err)
		c.incomplete++
		return
	}
	c.record(conn.ConnectionState().DidResume, time.Since(begin), offer, revocations)
	if msg, err := io.ReadAll(conn); err != nil || string(msg) != greeting {
		c.fail("read", err)
	}
}

// hangUp closes a connection that both sides are done with. The reset spares the operating
// system a minute of TIME_WAIT, of which a run would make more than there are ports.
func hangUp(raw net.Conn) {
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the close is merely an ordinary one
	}
	raw.Close()
}

// record notes a handshake that completed. revocations is how many of its host had finished
// before it began.
func (c *client) record(resumed bool, took time.Duration, offer *dated, revocations uint32) {
	f := c.fleet
	if resumed {
		c.resumedTimes = append(c.resumedTimes, took)
		f.resumed.Add(1)
	} else {
		c.fullTimes = append(c.fullTimes, took)
		f.full.Add(1)
	}
	switch {
	case !offer.made:
		f.noSession.Add(1)
	case offer.epoch >= revocations:
		// Not revoked: the client received it after the last revocation had begun.
	case resumed:
		f.revokedResumed.Add(1)
	default:
		f.revokedFull.Add(1)
	}
}

// fail counts a failure under the step that failed and the cause.
func (c *client) fail(step string, err error) {
	c.failures[step+": "+cause(err)]++
}

// cause names the kind of an error without its details.
func cause(err error) string {
	var badCert *tls.CertificateVerificationError
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "cut short"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case isReset(err):
		return "reset"
	case isRefused(err):
		return "refused"
	case isNoFreePort(err):
		return "no free port"
	case isTooManyFiles(err):
		return "too many open files"
	case errors.As(err, &badCert):
		return "certificate"
	}
	if _, name, ok := alertOf(err); ok {
		return "alert " + name
	}
	return "other"
}

// counts are the fleet's counters at one time.
type counts struct {
	full, resumed, noSession    uint64
	revokedFull, revokedResumed uint64
}

func (f *fleet) count() counts {
	return counts{f.full.Load(), f.resumed.Load(), f.noSession.Load(),
		f.revokedFull.Load(), f.revokedResumed.Load()}
}

// failures returns the failures of all clients by cause. The fleet has stopped.
func (f *fleet) failures() map[string]int {
	all := make(map[string]int)
	for _, c := range f.clients {
		for what := range maps.Keys(c.failures) {
			all[what] += c.failures[what]
		}
	}
	return all
}
