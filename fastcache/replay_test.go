package fastcache_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// replayed is the line on which a process says what its cache evicted.
const replayed = "evictions: "

// evictions runs a workload of one goroutine, clients that come back and others that come once, and returns
// what it evicted: in order, if that is told in one. Each session's value is the number of its Update.
func evictions(t *testing.T, cfg fastcache.Config[int]) (evicted []int) {
	t.Helper()
	var mu sync.Mutex
	cfg.OnRemove = func(r fastcache.Removal[int]) {
		mu.Lock()
		defer mu.Unlock()
		if r.Reason == fastcache.Evicted || r.Reason == fastcache.Crowded {
			evicted = append(evicted, r.Value)
		}
	}
	c, err := fastcache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 1, uint64(4*cfg.MaxSessions))
	for i := range 10 * cfg.MaxSessions {
		client := zipf.Uint64()
		if i%4 == 0 {
			client = 1<<32 + uint64(i)
		}
		k := fastcache.Key{Partial: fmt.Sprint("host", client%100), ID: fmt.Sprint(client)}
		if _, ok := c.Lookup(k); !ok {
			put(t, c, k, i)
		}
	}
	if err := c.Close(); err != nil { // which waits for the reports
		t.Fatal(err)
	}
	if c.ShardsForTest() > 1 { // their reports come in no order
		slices.Sort(evicted)
	}
	return evicted
}

// What one goroutine does to a cache under XXHash evicts the same sessions in every process, so that a finding can be
// repeated and two measurements compared.
func TestTwoProcessesEvictAlike(t *testing.T) {
	fastcache.SkipUnderRace(t)
	run := func() (line string) {
		for _, bound := range []int{1000, 20_000} { // one shard, and several
			evicted := evictions(t, fastcache.Config[int]{MaxSessions: bound})
			if len(evicted) < bound {
				t.Fatalf("%d of %d evicted; want more than fit in", len(evicted), bound)
			}
			line += fmt.Sprint(evicted)
		}
		return line
	}
	if os.Getenv("FASTCACHE_REPLAY") != "" {
		fmt.Println(replayed + run())
		return
	}
	ours := run()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcessesEvictAlike$", "-test.count=1")
	cmd.Env = append(os.Environ(), "FASTCACHE_REPLAY=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the other process: %v\n%s", err, out)
	}
	_, after, _ := strings.Cut(string(out), replayed)
	if theirs, _, _ := strings.Cut(after, "\n"); theirs != ours {
		t.Errorf("another process evicted others:\n%.2000s\nwe:\n%.2000s", theirs, ours)
	}
}

// That another hash evicts others shows that the comparison above can tell.
func TestSecretHashesEvictEachInTheirWay(t *testing.T) {
	fastcache.SkipUnderRace(t)
	cfg := fastcache.Config[int]{MaxSessions: 20_000, Hash: fastcache.SecretHash}
	one := evictions(t, cfg)
	other := evictions(t, cfg)
	if slices.Equal(one, other) {
		t.Errorf("two caches under secret hashes evicted the same %d sessions", len(one))
	}
}
