package metrics

import (
	"errors"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/tlscache"
)

const missHelp = "Handshakes that resumed nothing though they might have, by the reason; see tlscache.MissReason."

// misses emits every reason, so that a series is there before its first miss and its increase is seen.
func misses(by map[tlscache.MissReason]uint64, emit func(string, uint64)) {
	for r := tlscache.MissMalformed; r <= tlscache.MissDeclined; r++ {
		emit(r.String(), by[r])
	}
}

var serverRows = append([]row[tlscache.ServerStats]{
	counts("handshakes", "{handshake}", "resumed", "Handshakes that got as far as their ticket, by whether they resumed.",
		func(st tlscache.ServerStats, emit func(string, uint64)) {
			emit("true", st.Resumed)
			emit("false", st.Full)
		}),
	counts("misses", "{handshake}", "reason", missHelp,
		func(st tlscache.ServerStats, emit func(string, uint64)) { misses(st.Misses, emit) }),
	count("offers", "{ticket}", "Tickets offered.", func(st tlscache.ServerStats) uint64 { return st.Offered }),
	count("found", "{ticket}", "Offered tickets that named a session which crypto/tls was given.", func(st tlscache.ServerStats) uint64 { return st.Found }),
	counts("found_beside_store", "{ticket}", "kind", "Those of tlssession_found_total that were no handles.",
		func(st tlscache.ServerStats, emit func(string, uint64)) {
			emit("sealed", st.FoundSealed)
			emit("fallback", st.FoundFallback)
			emit("foreign", st.FoundForeign)
		}),
	counts("issued", "{ticket}", "kind", "Tickets given to clients, by what they are.",
		func(st tlscache.ServerStats, emit func(string, uint64)) {
			emit("stored", st.Stored)
			emit("reissued", st.Reissued)
			emit("sealed", st.Sealed)
			emit("fallback", st.Fallback)
			emit("foreign", st.Foreign)
			emit("dead", st.Dead)
		}),
	count("unstable", "{session}", "Sessions not stored for want of a named scope.", func(st tlscache.ServerStats) uint64 { return st.Unstable }),
	count("scope_changes", "{change}", "Connections with a scope that none had before.", func(st tlscache.ServerStats) uint64 { return st.ScopeChanges }),
	count("ungated", "{handshake}", "Handshakes that came past the Server's GetConfigForClient; should be 0.", func(st tlscache.ServerStats) uint64 { return st.Ungated }),
	gauge("bypassed_configs", "{config}", "Installed Configs whose hooks were changed since; should be 0.", func(st tlscache.ServerStats) float64 { return float64(st.Bypassed) }),
	count("too_large", "{session}", "Sessions or tickets not kept for their size.", func(st tlscache.ServerStats) uint64 { return st.TooLarge }),
	count("revoked_here", "{revocation}", "Revocations that no other process knows.", func(st tlscache.ServerStats) uint64 { return st.RevokedHere }),
	count("peers_refused", "{handshake}", "Resumptions that VerifyPeerCertificate refused.", func(st tlscache.ServerStats) uint64 { return st.PeersRefused }),
	count("panics", "{call}", "Panics of functions that the configuration names.", func(st tlscache.ServerStats) uint64 { return st.Panics }),
	gauge("confirmed", "{session}", "Sessions held whose clients have shown that they are there.", func(st tlscache.ServerStats) float64 { return float64(st.Memory.Confirmed) }),
}, append(
	within(storeRows, func(st tlscache.ServerStats) tlscache.StoreStats { return st.Store }),
	within(cacheRows, func(st tlscache.ServerStats) fastcache.Stats { return st.Memory.Stats })...)...)

var storeRows = []row[tlscache.StoreStats]{
	counts("remote_failures", "{call}", "outcome", "Calls of a Store that is not Local which came to nothing.",
		func(st tlscache.StoreStats, emit func(string, uint64)) {
			emit("timeout", st.Timeouts)
			emit("error", st.Failures)
			emit("skipped", st.Skipped)
		}),
	gauge("remote_in_flight", "{call}", "Calls of the Store that have not returned.", func(st tlscache.StoreStats) float64 { return float64(st.InFlight) }),
	gauge("remote_stranded", "{call}", "Those in flight that were given up on.", func(st tlscache.StoreStats) float64 { return float64(st.Stranded) }),
	gauge("remote_breaker_open", "1", "1 while the Store is left alone, else 0.", func(st tlscache.StoreStats) float64 { return truth(st.BreakerOpen) }),
	count("remote_lost", "{loss}", "Times that the Store lost what revocations depend on; should be 0.", func(st tlscache.StoreStats) uint64 { return st.Lost }),
}

var clientRows = append([]row[tlscache.ClientStats]{
	count("offers", "{ticket}", "Tickets offered.", func(st tlscache.ClientStats) uint64 { return st.Offered }),
	count("accepted", "{handshake}", "Offers that resumed.", func(st tlscache.ClientStats) uint64 { return st.Accepted }),
	count("failed", "{handshake}", "Offers whose handshake failed.", func(st tlscache.ClientStats) uint64 { return st.Failed }),
	counts("misses", "{handshake}", "reason", missHelp,
		func(st tlscache.ClientStats, emit func(string, uint64)) { misses(st.Misses, emit) }),
	count("stored", "{ticket}", "Tickets taken in.", func(st tlscache.ClientStats) uint64 { return st.Stored }),
	count("refused", "{ticket}", "Tickets not taken in.", func(st tlscache.ClientStats) uint64 { return st.Refused }),
	count("mixed_ech", "{handshake}", "Handshakes of clones that differ from their original in ECH; should be 0.", func(st tlscache.ClientStats) uint64 { return st.MixedECH }),
	count("peers_refused", "{handshake}", "Resumptions that VerifyPeerCertificate refused.", func(st tlscache.ClientStats) uint64 { return st.PeersRefused }),
	count("panics", "{call}", "Panics of functions that the configuration names.", func(st tlscache.ClientStats) uint64 { return st.Panics }),
	count("too_large", "{session}", "Sessions or tickets not kept for their size.", func(st tlscache.ClientStats) uint64 { return st.TooLarge }),
	gauge("held", "{ticket}", "Tickets held.", func(st tlscache.ClientStats) float64 { return float64(st.Held) }),
	counts("unused", "{ticket}", "reason", "Tickets that left unused.",
		func(st tlscache.ClientStats, emit func(string, uint64)) {
			emit("expired", st.Expired)
			emit("size", st.Evicted)
		}),
	counts("carried", "{ticket}", "outcome", "Tickets of Export and Import, by what became of them.",
		func(st tlscache.ClientStats, emit func(string, uint64)) {
			emit("exported", st.Exported)
			emit("imported", st.Imported)
			emit("left out", st.LeftOut)
			emit("foreign", st.Foreign)
			emit("late", st.Late)
		}),
}, within(storeRows, func(st tlscache.ClientStats) tlscache.StoreStats { return st.Store })...)

var keyringRows = []row[tlscache.KeyringStats]{
	gauge("secrets_accepted", "{secret}", "Secrets beside the active one.", func(st tlscache.KeyringStats) float64 { return float64(st.Accepted) }),
	gauge("secret_active_seconds", "s", "How long the active secret has been that in this process.", func(st tlscache.KeyringStats) float64 { return st.ActiveFor.Seconds() }),
	count("secret_rotations", "{rotation}", "Times that another secret became active.", func(st tlscache.KeyringStats) uint64 { return st.Rotations }),
	gauge("secrets_following", "1", "1 while a Follow runs, else 0.", func(st tlscache.KeyringStats) float64 { return truth(st.Following) }),
	counts("secret_reads", "{read}", "outcome", "Readings of the source of secrets.",
		func(st tlscache.KeyringStats, emit func(string, uint64)) {
			emit("ok", st.Reads)
			emit("error", st.Failures)
		}),
	gauge("secret_read_age_seconds", "s", "How long ago the source was last read; 0 if never.", func(st tlscache.KeyringStats) float64 { return st.ReadAge.Seconds() }),
	gauge("secret_failing_seconds", "s", "How long readings have failed; 0 while all is well.", func(st tlscache.KeyringStats) float64 { return st.FailingFor.Seconds() }),
	gauge("secrets_missing", "{secret}", "Secrets held that the source no longer has.", func(st tlscache.KeyringStats) float64 { return float64(st.Missing) }),
}

// Server reads a Server, with its Store and, where it has one, its session.Memory.
func Server(name string, s *tlscache.Server) (*Source, error) {
	if s == nil {
		return nil, errors.New("the Server is nil")
	}
	return newSource(name, "server", serverRows, s.Stats)
}

// Client reads a Client, with its Store.
func Client(name string, c *tlscache.Client) (*Source, error) {
	if c == nil {
		return nil, errors.New("the Client is nil")
	}
	return newSource(name, "client", clientRows, c.Stats)
}

// Keyring reads a Keyring.
func Keyring(name string, k *tlscache.Keyring) (*Source, error) {
	if k == nil {
		return nil, errors.New("the Keyring is nil")
	}
	return newSource(name, "keyring", keyringRows, k.Stats)
}
