package migrate

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	bigcacheafter "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/bigcache/after"
	bigcachebefore "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/bigcache/before"
	gocacheafter "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/gocache/after"
	gocachebefore "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/gocache/before"
	golanglruafter "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/golanglru/after"
	golanglrubefore "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/golanglru/before"
	otterafter "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/otter/after"
	otterbefore "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/otter/before"
	ristrettoafter "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/ristretto/after"
	ristrettobefore "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/ristretto/before"
	tlslruafter "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/tlslru/after"
	tlslrubefore "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/tlslru/before"
	ttlcacheafter "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/ttlcache/after"
	ttlcachebefore "github.com/sessioncache/sessioncache/benchmarks/internal/migrate/ttlcache/before"
)

// sessions is what the packages of before and after have in common.
type sessions interface {
	Put(user, id, token string) error
	Get(user, id string) (string, bool)
	LogOut(user string)
	Close()
}

// opening lets a constructor of any of them open a store.
func opening[S sessions](open func(int, time.Duration) (S, error)) func(int, time.Duration) (sessions, error) {
	return func(limit int, ttl time.Duration) (sessions, error) { return open(limit, ttl) }
}

func TestCodeBeforeAndAfterAMigrationDoesTheSame(t *testing.T) {
	for name, open := range map[string]func(int, time.Duration) (sessions, error){
		"bigcache, before":  opening(bigcachebefore.New),
		"bigcache, after":   opening(bigcacheafter.New),
		"gocache, before":   opening(gocachebefore.New),
		"gocache, after":    opening(gocacheafter.New),
		"golanglru, before": opening(golanglrubefore.New),
		"golanglru, after":  opening(golanglruafter.New),
		"otter, before":     opening(otterbefore.New),
		"otter, after":      opening(otterafter.New),
		"ristretto, before": opening(ristrettobefore.New),
		"ristretto, after":  opening(ristrettoafter.New),
		"ttlcache, before":  opening(ttlcachebefore.New),
		"ttlcache, after":   opening(ttlcacheafter.New),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(100, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			want := func(user, id, token string) {
				t.Helper()
				if got, ok := s.Get(user, id); got != token || ok != (token != "") {
					t.Errorf("Get(%s, %s) = %q, %v; want %q", user, id, got, ok, token)
				}
			}
			put := func(user, id, token string) {
				t.Helper()
				if err := s.Put(user, id, token); err != nil {
					t.Fatal(err)
				}
			}
			want("alice", "laptop", "")
			put("alice", "laptop", "1")
			put("alice", "phone", "2")
			put("bob", "laptop", "3")
			put("alice", "phone", "4")
			want("alice", "laptop", "1")
			want("alice", "phone", "4")
			want("bob", "laptop", "3")
			s.LogOut("alice")
			want("alice", "laptop", "")
			want("alice", "phone", "")
			want("bob", "laptop", "3")
		})
	}
}

func TestClientsBeforeAndAfterAMigrationResume(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, open := range map[string]func(*tls.Config) (*http.Client, error){"before": tlslrubefore.New, "after": tlslruafter.New} {
		client, err := open(&tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		for round := range 2 {
			response, err := client.Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			client.CloseIdleConnections()
			if resumed := response.TLS.DidResume; resumed != (round == 1) {
				t.Errorf("%s: connection %d resumed: %v", name, round, resumed)
			}
		}
	}
}
