package tlscache

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"
)

// burst is how many connections are opened at once.
const burst = 64

// openTogether does n handshakes at once and reads from none before all are done, so that
// no ticket comes in between. It reports how many resumed.
func openTogether(t *testing.T, p *peer, cfg *tls.Config, n int) (resumed int) {
	t.Helper()
	conns := make([]*tls.Conn, n)
	var opening sync.WaitGroup
	for i := range conns {
		opening.Go(func() {
			raw, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Error(err)
				return
			}
			conn := tls.Client(raw, cfg)
			if err := conn.Handshake(); err != nil {
				t.Error(err)
				raw.Close()
				return
			}
			conns[i] = conn
		})
	}
	opening.Wait()
	for _, conn := range conns {
		if conn == nil {
			continue
		}
		ok, err := readGreeting(conn)
		if err != nil {
			t.Error(err)
		}
		if ok {
			resumed++
		}
	}
	return resumed
}

// Two tickets and 64 dials: each resumes in the default mode, two in SingleUse. The module
// interop does the same with a server that sends two tickets per connection.
func TestABurstResumesFromTwoTickets(t *testing.T) {
	for _, singleUse := range []bool{false, true} {
		p := startPeer(t, nil)
		want := burst
		if singleUse {
			want = 2
		}
		for range number(500, 5) {
			c := newTestClient(t, ClientConfig{SingleUse: singleUse})
			cfg := p.installed(t, c)
			openTogether(t, p, cfg, 2)
			if held := c.Stats().Held; held != 2 {
				t.Fatalf("%d tickets held after two connections; want 2", held)
			}
			if resumed := openTogether(t, p, cfg, burst); resumed != want {
				t.Errorf("SingleUse %v: %d of %d resumed; want %d", singleUse, resumed, burst, want)
			}
		}
		offered, twice := p.offers()
		if singleUse && twice > 0 {
			t.Errorf("SingleUse: of %d offers, %d were of a ticket that had been offered before", offered, twice)
		}
		if !singleUse && twice == 0 {
			t.Error("no ticket was offered twice in the default mode: the count sees nothing")
		}
	}
}
