package tlscache

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A distant Store answers like one at the other end of a connection that all calls share: one goroutine writes, the
// way takes 200 µs, another reads.
type distant struct {
	session.Store
	requests chan func()
}

func newDistant(t testing.TB, s session.Store) *distant {
	d := &distant{s, make(chan func())}
	t.Cleanup(func() { close(d.requests) })
	go func() {
		for r := range d.requests {
			time.AfterFunc(200*time.Microsecond, r)
		}
	}()
	return d
}

func (d *distant) far(ctx context.Context, call func()) error {
	done := make(chan struct{})
	select {
	case d.requests <- func() { call(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *distant) Lookup(ctx context.Context, key session.Key) (b []byte, err error) {
	var got []byte
	var why error
	if err := d.far(ctx, func() { got, why = d.Store.Lookup(context.Background(), key) }); err != nil {
		return nil, err
	}
	return got, why
}

func (d *distant) Update(ctx context.Context, key session.Key, b []byte, ttl time.Duration) error {
	var why error
	if err := d.far(ctx, func() { why = d.Store.Update(context.Background(), key, b, ttl) }); err != nil {
		return err
	}
	return why
}

// TestBusy is no test: it keeps processors busy for as long as it is told, as another process.
func TestBusy(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("TLSCACHE_BUSY"))
	if err != nil {
		return
	}
	runtime.GOMAXPROCS(1)
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

// busy keeps the processors busy until stop is called: with goroutines of this process, or with others.
func busy(b *testing.B, who string, n int) (stop func()) {
	var wg sync.WaitGroup
	var stopped atomic.Bool
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	for range n {
		wg.Go(func() {
			if who == "processes" {
				cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBusy$")
				cmd.Env = append(os.Environ(), "TLSCACHE_BUSY=2m")
				_ = cmd.Run()
				return
			}
			for !stopped.Load() {
			}
		})
	}
	return func() { stopped.Store(true); cancel(); wg.Wait() }
}

// BenchmarkBusyMachine measures what a Store that answers at once costs where processors are scarce: the resumptions
// that are lost, and how long handshakes take, of four clients at once.
func BenchmarkBusyMachine(b *testing.B) {
	for _, store := range []string{"memory", "distant"} {
		for _, load := range []struct {
			who string
			n   int
		}{{"nobody", 0}, {"goroutines", 8}, {"processes", 8}} {
			b.Run(fmt.Sprintf("store=%s/busy=%s-%d", store, load.who, load.n), func(b *testing.B) {
				var s session.Store = remote{newMemory(b, session.MemoryConfig{})}
				if store == "distant" {
					s = newDistant(b, s)
				}
				w := newWorld(b, ServerConfig{Store: s, Keyring: ring(b, secret(1)), NoFallback: true})
				stop := busy(b, load.who, load.n)
				defer stop()
				clients := make([]*tls.Config, 4)
				for i := range clients {
					clients[i] = w.client(tls.VersionTLS13)
					w.resumes(clients[i])
				}
				before := w.Stats()
				var mu sync.Mutex
				var took []time.Duration
				for b.Loop() {
					var wg sync.WaitGroup
					for _, c := range clients {
						wg.Go(func() {
							begin := time.Now()
							w.resumes(c)
							mu.Lock()
							defer mu.Unlock()
							took = append(took, time.Since(begin))
						})
					}
					wg.Wait()
				}
				st := w.Stats()
				slices.Sort(took)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(100*float64(st.Full-before.Full)/float64(len(took)), "%-lost")
				b.ReportMetric(float64(st.Store.Timeouts), "timeouts")
				b.ReportMetric(float64(st.Store.Skipped), "skipped")
				b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
			})
		}
	}
}
