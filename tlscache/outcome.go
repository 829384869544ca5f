package tlscache

import (
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// An Outcome says how a handshake went. It contains no name, and nothing that says which session it was.
type Outcome struct {
	// Resumed says whether the handshake resumed a session.
	Resumed bool

	// Miss is why what the client offered was not resumed: of several tickets, why the first was not. On a Client it is
	// also why there was no ticket to offer. Zero: it resumed, nothing was offered to the Server, or it is not known.
	Miss MissReason

	// Version is that of TLS: tls.VersionTLS13.
	Version uint16

	// Server stands for the server name. Zero: the client sent none, as for an IP address.
	Server Fingerprint

	// Age is how old the session is that was resumed. On a Server: how long ago its client did the full handshake
	// that it descends from; zero for tickets of the hooks from before. On a Client: how long ago the ticket came, in whole
	// seconds; zero where that is not known, as for an IP address. Where several connections to one server resume at the same time, an installed
	// Client may exchange their ages.
	Age time.Duration
}

// A Fingerprint stands for a server name: an HMAC under the active secret of the Keyring. It is the same in all processes
// with that secret, tells nobody without it the name, and is another once the secret is rotated.
type Fingerprint [16]byte

// String returns it in hex, and nothing for a zero one.
func (f Fingerprint) String() string {
	if f == (Fingerprint{}) {
		return ""
	}
	return hex.EncodeToString(f[:])
}

// MarshalText is String.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// fingerprints are the names of server names in Outcomes. They differ from those in a Store: who reads that and a log
// must not find one in the other.
type fingerprints struct{ names nameCache }

func (f *fingerprints) of(k *sealing.Keys, serverName string) Fingerprint {
	server := hostname.Normal(serverName)
	if server == "" {
		return Fingerprint{}
	}
	return Fingerprint(f.names.name(k, "outcome", server))
}

// report calls a user's OnHandshake, if there is one. A panic of it costs the report and not the connection: it is
// counted, and logged where that says something new.
func report(f func(Outcome), o Outcome, panicked func()) {
	if f == nil {
		return
	}
	if guard.Protect(func() error { f(o); return nil }) != nil {
		panicked()
	}
}

// sayPanic logs the panic of a user's function.
func (l *lines) sayPanic(function string, n uint64) {
	if seldom(n) {
		l.say(slog.LevelError, "tlscache: a function of the configuration panicked; the handshake went on without it",
			slog.String("function", function), slog.Uint64("panics", n))
	}
}

// seldom reports whether the n-th time that something happens is worth a line: the first, second, fourth, eighth …
func seldom(n uint64) bool { return n&(n-1) == 0 }

// missed notes why a ticket was not resumed.
func (c *connection) missed(reason MissReason) {
	c.s.counts.misses[reason].Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.miss == 0 {
		c.mu.miss = reason
	}
}

// report tells of a handshake that is about to succeed.
func (c *connection) report(cs tls.ConnectionState) {
	s, f := c.s, c.resumed()
	o := Outcome{Resumed: cs.DidResume, Version: cs.Version, Server: s.fingerprints.of(s.keyring.active(), cs.ServerName)}
	switch {
	case cs.DidResume && f.ours > 0:
		o.Age = max(0, f.auth.Since(s.keyring.clock.Read()))
	case cs.DidResume:
	case f.ours+f.foreign > 0:
		o.Miss = MissDeclined
	default:
		o.Miss = f.miss
	}
	report(s.cfg.OnHandshake, o, func() { s.log.sayPanic("OnHandshake", s.counts.panics.Add(1)) })
}

// An attempt is what a Client had to offer in a handshake.
type attempt struct {
	created uint64     // when the ticket came, in seconds since 1970
	miss    MissReason // why there was none; zero: there was
}

// outcome returns what became of it.
func (a attempt) outcome(cs tls.ConnectionState, now clock.Stamp) Outcome {
	o := Outcome{Resumed: cs.DidResume, Version: cs.Version}
	switch {
	case !cs.DidResume:
		o.Miss = orDefault(a.miss, MissDeclined)
	case a.miss == 0:
		o.Age = max(0, time.Unix(0, now.Wall).Truncate(time.Second).Sub(time.Unix(int64(a.created), 0)))
	}
	return o
}

const (
	// maxAttempts bounds the handshakes of one server name that an installed Client has in mind, maxAttempted the names.
	maxAttempts  = 64
	maxAttempted = 1024
)

// attempts are the handshakes under way of an installed Client, by key: crypto/tls does not tell VerifyConnection which
// ticket its connection offered. The zero value is ready; it is safe for concurrent use.
type attempts struct {
	mu struct {
		sync.Mutex
		of map[string][]attempt
	}
}

func (as *attempts) begin(key string, a attempt) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.mu.of == nil || len(as.mu.of) >= maxAttempted && as.mu.of[key] == nil {
		as.mu.of = make(map[string][]attempt) // of handshakes that ended in ways that nobody hears of
	}
	under := as.mu.of[key]
	if len(under) >= maxAttempts {
		under = under[1:]
	}
	as.mu.of[key] = append(under, a)
}

// end returns the first attempt of a key that can have had an outcome.
func (as *attempts) end(key string, fits func(attempt) bool) (a attempt, ok bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	under := as.mu.of[key]
	for i := range under {
		if a = under[i]; fits(a) {
			if under = append(under[:i:i], under[i+1:]...); len(under) == 0 {
				delete(as.mu.of, key)
			} else {
				as.mu.of[key] = under
			}
			return a, true
		}
	}
	return attempt{}, false
}

func (a attempt) offered() bool { return a.miss == 0 }

// begin notes what a view has to offer.
func (v *view) begin(key string, l tickets.Loan, why MissReason) {
	switch {
	case v.client.cfg.OnHandshake == nil:
	case l == nil:
		v.client.attempts.begin(key, attempt{miss: why})
	default:
		v.client.attempts.begin(key, attempt{created: l.Lent().Facts.Created})
	}
}

// outcome returns the outcome of a handshake that a view saw succeed.
func (v *view) outcome(cs tls.ConnectionState) Outcome {
	o := Outcome{Resumed: cs.DidResume, Version: cs.Version}
	if cs.ServerName == "" {
		return o // see observe
	}
	a, ok := v.client.attempts.end(v.key(cs.ServerName), func(a attempt) bool { return a.offered() || !cs.DidResume })
	if !ok {
		return o
	}
	return a.outcome(cs, v.client.now(v.time))
}

// report tells of a handshake that is about to succeed.
func (c *Client) report(cs tls.ConnectionState, outcome func() Outcome) {
	if c.cfg.OnHandshake == nil {
		return
	}
	o := outcome()
	o.Server = c.fingerprints.of(c.keyring.active(), cs.ServerName)
	report(c.cfg.OnHandshake, o, func() { c.log.sayPanic("OnHandshake", c.stats.panics.Add(1)) })
}
