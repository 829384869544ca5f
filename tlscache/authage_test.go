package tlscache

import (
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// Clients with a certificate dial every 100 ms: each must do a full handshake every 3 s, and may
// resume in between.
func TestMaxAuthAgeBoundsChainsOfResumptions(t *testing.T) {
	const maxAge, pause = 3 * time.Second, 100 * time.Millisecond
	dials := number(200, 100)
	if raced {
		dials = 40
	}
	for _, clients := range []int{1, 16} {
		t.Run(fmt.Sprint(clients, " at once"), func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, ServerConfig{MaxAuthAge: maxAge})
					mutual(w.ca)(w.server)
					if err := w.Install(w.server); err != nil {
						t.Fatal(err)
					}
					cert := w.ca.issue(t) // one principal
					var fleet sync.WaitGroup
					for range clients {
						fleet.Go(func() {
							client := w.mtls(version, cert)
							proved, full := time.Now(), 0
							for range dials {
								if !w.resumes(client) {
									proved = time.Now()
									full++
								}
								if age := time.Since(proved); age > maxAge {
									t.Errorf("resumed %v after the client last proved who it is; want at most %v", age, maxAge)
								}
								time.Sleep(pause)
							}
							if most := int(2 * time.Duration(dials) * pause / maxAge); full > most {
								t.Errorf("%d of %d handshakes were full; want at most %d", full, dials, most)
							}
						})
					}
					fleet.Wait()
					synctest.Wait()
					if w.misses()[MissAuthAge] == 0 {
						t.Errorf("misses: %v; want some for auth age", w.misses())
					}
					w.Close()
				})
			})
		})
	}
}

func TestMaxAuthAgeLeavesAnonymousClientsAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, ServerConfig{MaxAuthAge: time.Second})
		client := w.client(tls.VersionTLS13)
		w.want("first", client, false)
		for range 10 {
			time.Sleep(time.Second)
			w.want("again", client, true)
		}
		w.Close()
	})
}

func TestSessionsNeverResumeAfterTheirTTL(t *testing.T) {
	for _, kind := range []string{"memory", "remote", "fallback tickets"} {
		t.Run(kind, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				bubble(t, func(t *testing.T) {
					memory := newMemory(t, session.MemoryConfig{})
					defer memory.Close()
					store := &faulty{Store: memory}
					cfg := ServerConfig{TTL: 90 * time.Second, Keyring: ring(t, secret(1)), Store: memory, Budget: long}
					if kind != "memory" {
						cfg.Store = store
					}
					if kind == "fallback tickets" {
						store.set(down)
					}
					w := newWorld(t, cfg)
					defer w.Close()
					m := capture(t, w, w.client(version))
					ticket := w.wrapped(m)
					time.Sleep(45 * time.Second)
					var again []byte
					if version == tls.VersionTLS12 {
						if w.unwrapped(ticket, m) == nil {
							t.Errorf("not found in the middle of its life; misses %v", w.misses())
						}
						again = w.wrapped(m.resumed())
					}
					time.Sleep(45*time.Second - time.Nanosecond)
					if w.unwrapped(ticket, m) == nil {
						t.Errorf("not found just before its TTL is over; misses %v", w.misses())
					}
					time.Sleep(time.Nanosecond)
					if w.unwrapped(ticket, m) != nil {
						t.Error("found when its TTL is over")
					}
					if again != nil && w.unwrapped(again, m) != nil {
						t.Error("resuming has prolonged it: found by the ticket of a resumption when its TTL is over")
					}
				})
			})
		})
	}
}
