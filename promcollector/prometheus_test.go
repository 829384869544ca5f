package promcollector_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sessioncache/sessioncache/promcollector"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

// remote is a Store that is not Local, and fails while it is down.
type remote struct {
	session.Store
	down atomic.Bool
}

var errDown = errors.New("the store is down")

func (r *remote) Lookup(ctx context.Context, key session.Key) ([]byte, error) {
	if r.down.Load() {
		return nil, errDown
	}
	return r.Store.Lookup(ctx, key)
}

func (r *remote) Update(ctx context.Context, key session.Key, s []byte, ttl time.Duration) error {
	if r.down.Load() {
		return errDown
	}
	return r.Store.Update(ctx, key, s, ttl)
}

// A real Prometheus scrapes a real TLS server: what it answers is what the server counted, and its alert fires when the Store fails.
func TestPrometheusTellsWhatTheServerCounted(t *testing.T) {
	program := need(t, "prometheus")
	memory := must(session.NewMemory(session.MemoryConfig{}))
	defer memory.Close()
	store := &remote{Store: memory}
	server := must(tlscache.NewServer(tlscache.ServerConfig{
		Store: store, Keyring: must(tlscache.NewKeyring(tlscache.NewSecret(1))), Budget: time.Minute,
	}))
	defer server.Close()
	dial := serve(t, server)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(must(promcollector.ForServer("public", server)))
	target := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer target.Close()

	tickets := tls.NewLRUClientSessionCache(4)
	for range 5 {
		dial(tickets)
	}
	dial(tls.NewLRUClientSessionCache(1))
	st := server.Stats()
	if st.Resumed == 0 || st.Full < 2 {
		t.Fatalf("the server counted %d resumed and %d full; want some and at least 2", st.Resumed, st.Full)
	}
	// Only now: a scrape amid a handshake would count it as declined, and a counter does not fall.
	ask := startPrometheus(t, program, strings.TrimPrefix(target.URL, "http://"))
	until(t, func() bool {
		return ask(`tlssession_handshakes_total{resumed="true"}`) == float64(st.Resumed) &&
			ask(`tlssession_handshakes_total{resumed="false"}`) == float64(st.Full)
	})
	const ratio = `sum(tlssession_handshakes_total{resumed="true"}) / sum(tlssession_handshakes_total)`
	if got, want := ask(ratio), float64(st.Resumed)/float64(st.Resumed+st.Full); got != want {
		t.Errorf("Prometheus has a ratio of %v; the server counted %v", got, want)
	}
	for reason, n := range st.Misses {
		if got := ask(fmt.Sprintf(`tlssession_misses_total{reason=%q}`, reason)); got != float64(n) {
			t.Errorf("Prometheus has %v misses for the reason %v; the server counted %d", got, reason, n)
		}
	}
	const firing = `count(ALERTS{alertname="SessionStoreBreakerOpen",alertstate="firing"})`
	if got := ask(firing); got >= 0 {
		t.Errorf("the alert fires %v times before the Store failed", got)
	}
	store.down.Store(true)
	until(t, func() bool { dial(tickets); return ask(firing) == 1 })
}

// until waits for a condition. What takes a second on a quiet machine has two minutes.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	over := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatal("the condition did not come")
		}
	}
}

// serve runs a TLS server and returns a function that makes one connection to it and reads a byte, so that the ticket has come.
func serve(t *testing.T, server *tlscache.Server) (dial func(tls.ClientSessionCache)) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	roots := x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(der)))
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if err := server.Install(config); err != nil {
		t.Fatal(err)
	}
	listener := must(tls.Listen("tcp", "127.0.0.1:0", config))
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Write([]byte{1})
			}()
		}
	}()
	return func(tickets tls.ClientSessionCache) {
		conn := must(tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "server.example", ClientSessionCache: tickets}))
		defer conn.Close()
		must(conn.Read(make([]byte, 1)))
	}
}

// startPrometheus runs Prometheus with the rules, whose waits are cut to a second, and returns a function that asks it for a number; -1 if there is none.
func startPrometheus(t *testing.T, program, target string) (ask func(query string) float64) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yml", strings.ReplaceAll(string(must(os.ReadFile(rules))), "for: 1m", "for: 1s"))
	write("prometheus.yml", fmt.Sprintf(`global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [rules.yml]
scrape_configs: [{job_name: server, static_configs: [{targets: [%q]}]}]
`, target))
	place := must(net.Listen("tcp", "127.0.0.1:0"))
	address := place.Addr().String()
	place.Close()
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=error")
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	until(t, func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("prometheus ended: %v\n%s", err, log.String())
		default:
		}
		resp, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return func(query string) float64 {
		return number(t, "http://"+address+"/api/v1/query?query="+url.QueryEscape(query))
	}
}

// number reads the first value of an answer of Prometheus' API.
func number(t *testing.T, from string) float64 {
	t.Helper()
	resp := must(http.Get(from))
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Data.Result) == 0 {
		return -1
	}
	return must(strconv.ParseFloat(answer.Data.Result[0].Value[1].(string), 64))
}
