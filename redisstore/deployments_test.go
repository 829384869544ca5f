package redisstore

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// admins are clients that ask servers what the Store does not, by address.
var admins sync.Map

func admin(addr string) (rueidis.Client, error) {
	if c, ok := admins.Load(addr); ok {
		return c.(rueidis.Client), nil
	}
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true, DisableRetry: true, AlwaysRESP2: true,
		ReadBufferEachConn: 32 << 10, WriteBufferEachConn: 32 << 10,
		DialCtxFn: func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return d.DialContext(ctx, network(addr), addr)
		},
	})
	if err != nil {
		if c != nil {
			c.Close()
		}
		return nil, err
	}
	if other, loaded := admins.LoadOrStore(addr, c); loaded {
		c.Close()
		return other.(rueidis.Client), nil
	}
	return c, nil
}

// ask sends a command to a server and returns the answer as text.
func ask(addr string, command ...string) (string, error) {
	c, err := admin(addr)
	if err != nil {
		return "", err
	}
	msg, err := c.Do(context.Background(), c.B().Arbitrary(command...).Build()).ToMessage()
	if err != nil {
		return "", err
	}
	if n, err := msg.AsInt64(); err == nil {
		return fmt.Sprint(n), nil
	}
	if all, err := msg.AsStrSlice(); err == nil {
		return strings.Join(all, "\n"), nil
	}
	return msg.ToString()
}

// mustAsk is ask in a test.
func mustAsk(t testing.TB, addr string, command ...string) string {
	t.Helper()
	answer, err := ask(addr, command...)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return answer
}

// eventually waits until something holds; only a fault takes long.
func eventually(holds func() bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// cluster returns one of three primaries and a replica of the first, which all tests share.
func cluster(t testing.TB, k kind) *deployment {
	t.Helper()
	program := k.need(t)
	return once(t, k.name+" cluster", func() (*deployment, error) {
		d := &deployment{cfg: Config{Mode: Cluster}}
		err := d.several(k, program, 4, func(i int, addr string) []string {
			return []string{"--cluster-enabled", "yes", "--cluster-config-file", fmt.Sprintf("nodes%d", i), "--cluster-node-timeout", "5000", "--repl-diskless-sync-delay", "0"}
		})
		if err != nil {
			return nil, err
		}
		return d, d.join()
	})
}

// several starts servers on ports.
func (d *deployment) several(k kind, program string, n int, args func(i int, addr string) []string) error {
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		return err
	}
	stopAtEnd(func() { os.RemoveAll(dir) })
	for i := range n {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		s, err := k.launch(program, own, addr, args(i, addr)...)
		if err != nil {
			return err
		}
		stopAtEnd(s.stop)
		d.servers = append(d.servers, s)
		d.cfg.Addrs = append(d.cfg.Addrs, addr)
	}
	return nil
}

// join makes a cluster of primaries, each with a third of the slots, and the last as a replica, and waits until
// all know it.
func (d *deployment) join() error {
	bounds := []int{0, 5461, 10923, 16384}
	for i, s := range d.servers[:3] {
		if _, err := ask(s.addr, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(bounds[i]), fmt.Sprint(bounds[i+1]-1)); err != nil {
			return err
		}
		if _, err := ask(s.addr, "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1)); err != nil {
			return err
		}
	}
	for _, s := range d.servers[1:] {
		host, port, _ := net.SplitHostPort(s.addr)
		if _, err := ask(d.servers[0].addr, "CLUSTER", "MEET", host, port); err != nil {
			return err
		}
	}
	first, err := ask(d.servers[0].addr, "CLUSTER", "MYID")
	if err != nil {
		return err
	}
	replica := d.servers[3].addr
	return eventually(func() bool {
		role, err := ask(replica, "INFO", "replication")
		if err == nil && strings.Contains(role, "role:master") {
			_, _ = ask(replica, "CLUSTER", "REPLICATE", first) // which works once it knows the first
		}
		if err != nil || !strings.Contains(role, "master_link_status:up") {
			return false
		}
		for _, s := range d.servers {
			info, err := ask(s.addr, "CLUSTER", "INFO")
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") ||
				!strings.Contains(info, "cluster_known_nodes:4") {
				return false
			}
		}
		return true
	})
}

// sentinels returns a primary, a replica and a sentinel that watches them.
func sentinels(t testing.TB, k kind) *deployment {
	t.Helper()
	program := k.need(t)
	return once(t, k.name+" sentinel", func() (*deployment, error) { return watched(k, program) })
}

// watched starts what sentinels returns.
func watched(k kind, program string) (*deployment, error) {
	d := &deployment{}
	err := d.several(k, program, 2, func(i int, _ string) []string {
		if i == 0 {
			return []string{"--repl-diskless-sync-delay", "0"}
		}
		host, port, _ := net.SplitHostPort(d.servers[0].addr)
		return []string{"--replicaof", host + " " + port}
	})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rs")
	if err != nil {
		return nil, err
	}
	stopAtEnd(func() { os.RemoveAll(dir) })
	host, port, _ := net.SplitHostPort(d.servers[0].addr)
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n", host, port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s, err := k.launch(program, dir, addr, conf, "--sentinel")
	if err != nil {
		return nil, err
	}
	stopAtEnd(s.stop)
	d.servers = append(d.servers, s)
	d.cfg = Config{Mode: Sentinel, Primary: "main", Addrs: []string{addr}}
	return d, eventually(func() bool { // a failover needs a replica that the sentinel knows
		replicas, err := ask(addr, "SENTINEL", "CKQUORUM", "main")
		master, errMaster := ask(addr, "INFO", "sentinel")
		return err == nil && replicas != "" && errMaster == nil && strings.Contains(master, "slaves=1")
	})
}
