package tlscache

import (
	"crypto/tls"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// cpu returns the CPU time that f takes, of the process or of its thread.
func cpu(who int, f func()) time.Duration {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			panic(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begin := used()
	f()
	return used() - begin
}

// BenchmarkServerCost compares the CPU time of the hooks, once each, with that of the resumed handshake
// in whose course they run, hooks included: of the server's thread, and of both ends. The shares are
// the hooks' in each. stock-ns is what crypto/tls itself spends on a ticket without hooks.
func BenchmarkServerCost(b *testing.B) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, store := range []string{"memory", "remote"} {
			b.Run("version="+tls.VersionName(version)[4:]+"/store="+store, func(b *testing.B) {
				cfg := ServerConfig{Keyring: ring(b, secret(1)), Budget: long}
				if store == "remote" {
					cfg.Store = remote{newMemory(b, session.MemoryConfig{})}
				}
				w := newWorld(b, cfg)
				client := w.client(version)
				w.want("first", client, false)
				m := capture(b, w, w.client(version))
				ticket := w.wrapped(m)
				stock := &world{t: b, server: w.config(stockHooks)}
				theirs := stock.wrapped(m)
				var hooks, stocks, server, both time.Duration
				for b.Loop() {
					hooks += cpu(syscall.RUSAGE_SELF, func() { // other threads call the remote store
						for range 20 {
							if w.unwrapped(ticket, m) == nil {
								b.Fatal("not found")
							}
							ticket = w.wrapped(m.resumed())
						}
					})
					stocks += cpu(syscall.RUSAGE_SELF, func() {
						for range 20 {
							if stock.unwrapped(theirs, m) == nil {
								b.Fatal("not found")
							}
							theirs = stock.wrapped(m)
						}
					})
					both += cpu(syscall.RUSAGE_SELF, func() {
						for range 20 {
							server += w.serverTime(client)
						}
					})
				}
				n := float64(20 * b.N)
				b.ReportMetric(0, "ns/op") // of the harness
				b.ReportMetric(float64(hooks)/n, "hooks-ns")
				b.ReportMetric(float64(stocks)/n, "stock-ns")
				b.ReportMetric(float64(server)/n, "server-ns")
				b.ReportMetric(float64(both)/n, "both-ends-ns")
				b.ReportMetric(100*float64(hooks)/float64(server), "%-of-server")
				b.ReportMetric(100*float64(hooks)/float64(both), "%-of-both")
			})
		}
	}
}

// serverTime does one resumed handshake and returns the CPU time of its server's end.
func (w *world) serverTime(client *tls.Config) (took time.Duration) {
	a, b := memPipe()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var err error
		took = cpu(syscall.RUSAGE_THREAD, func() { _, err = tls.Server(a, w.server).Write([]byte("x")) })
		done <- err
	}()
	c := tls.Client(b, client)
	if _, err := c.Read(make([]byte, 1)); err != nil || !c.ConnectionState().DidResume {
		w.t.Fatalf("resumed = %v, %v; want a resumed handshake", c.ConnectionState().DidResume, err)
	}
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
	return took
}
