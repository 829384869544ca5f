package promcollector_test

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/promcollector"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

var update = flag.Bool("update", false, "write testdata/cache.prom")

// must returns what an open of the test's returns without an error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// everything registers a collector of each role.
func everything(t *testing.T) *prometheus.Registry {
	t.Helper()
	keys := must(tlscache.NewKeyring(tlscache.NewSecret(1)))
	server := must(tlscache.NewServer(tlscache.ServerConfig{Keyring: keys}))
	client := must(tlscache.NewClient(tlscache.ClientConfig{}))
	cache := must(fastcache.New[int](fastcache.Config[int]{}))
	memory := must(session.NewMemory(session.MemoryConfig{}))
	t.Cleanup(func() { server.Close(); client.Close(); cache.Close(); memory.Close() })
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(
		must(promcollector.ForServer("public", server)), must(promcollector.ForClient("upstream", client)),
		must(promcollector.ForCache("pages", cache)), must(promcollector.ForMemory("shared", memory)),
		must(promcollector.ForKeyring("fleet", keys)),
	)
	return registry
}

func TestMetricsKeepToTheConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestACacheIsToldAsInTheGoldenFile(t *testing.T) {
	cache := must(fastcache.New[int](fastcache.Config[int]{RecordStats: true}))
	defer cache.Close()
	for _, key := range []string{"a", "b", "c"} {
		if err := cache.Update(fastcache.Key{Partial: "p", ID: key}, 1); err != nil {
			t.Fatal(err)
		}
	}
	cache.Delete(fastcache.Key{Partial: "p", ID: "a"})
	cache.Lookup(fastcache.Key{Partial: "p", ID: "a"})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(must(promcollector.ForCache("pages", cache)))
	var got bytes.Buffer
	for _, family := range must(registry.Gather()) {
		must(expfmt.MetricFamilyToText(&got, family))
	}
	const golden = "testdata/cache.prom"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := must(os.ReadFile(golden)); !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the exposition is\n%s\nwant, as in %s,\n%s", got.Bytes(), golden, want)
	}
}

func TestRegisteringTwiceIsAnError(t *testing.T) {
	cache := must(fastcache.New[int](fastcache.Config[int]{}))
	defer cache.Close()
	registry := prometheus.NewPedanticRegistry()
	for i, name := range []string{"pages", "images", "pages"} {
		err := registry.Register(must(promcollector.ForCache(name, cache)))
		if failed := err != nil; failed != (i == 2) {
			t.Errorf("Register of number %d, named %q: %v; want an error of the third alone", i, name, err)
		}
	}
}

func TestNilAndNoNameAreErrors(t *testing.T) {
	_, unset := promcollector.ForServer("public", nil)
	_, unnamed := promcollector.ForKeyring("", new(tlscache.Keyring))
	for want, err := range map[string]error{"promcollector: the Server is nil": unset, "promcollector: name is empty": unnamed} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("the error is %v; want %q", err, want)
		}
	}
}
