package tlscache

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A rpcStore serves a Store to other processes.
type rpcStore struct{ store session.Store }

// An RPCCall, exported for net/rpc, is one call of a Store and its answer.
type RPCCall struct {
	Method string
	Key    session.Key
	Bytes  []byte
	TTL    time.Duration
	Absent bool
}

// Call does one call.
func (s *rpcStore) Call(in RPCCall, out *RPCCall) (err error) {
	ctx := context.Background()
	switch in.Method {
	case "lookup":
		out.Bytes, err = s.store.Lookup(ctx, in.Key)
	case "take":
		out.Bytes, err = s.store.Take(ctx, in.Key)
	case "update":
		err = s.store.Update(ctx, in.Key, in.Bytes, in.TTL)
	case "delete":
		err = s.store.Delete(ctx, in.Key)
	}
	if out.Absent = errors.Is(err, session.ErrNotFound); out.Absent {
		return nil
	}
	return err
}

// A socketStore is a Store at the other end of a socket.
type socketStore struct{ client *rpc.Client }

func (s socketStore) call(ctx context.Context, in RPCCall) ([]byte, error) {
	var out RPCCall
	call := s.client.Go("Store.Call", in, &out, make(chan *rpc.Call, 1))
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-call.Done:
	}
	if call.Error == nil && out.Absent {
		return nil, session.ErrNotFound
	}
	return out.Bytes, call.Error
}

func (s socketStore) Lookup(ctx context.Context, key session.Key) ([]byte, error) {
	return s.call(ctx, RPCCall{Method: "lookup", Key: key})
}

func (s socketStore) Take(ctx context.Context, key session.Key) ([]byte, error) {
	return s.call(ctx, RPCCall{Method: "take", Key: key})
}

func (s socketStore) Update(ctx context.Context, key session.Key, b []byte, ttl time.Duration) error {
	_, err := s.call(ctx, RPCCall{Method: "update", Key: key, Bytes: b, TTL: ttl})
	return err
}

func (s socketStore) Delete(ctx context.Context, key session.Key) error {
	_, err := s.call(ctx, RPCCall{Method: "delete", Key: key})
	return err
}

func (s socketStore) Close() error { return s.client.Close() }

// An instance is what a process of the fleet must know to serve.
type instance struct {
	StoreAddr         string
	CertFile, KeyFile string
	Secret            [SecretSize]byte
	SingleUse         bool
}

// listen serves TLS on loopback with the sessions of the fleet.
func (i instance) listen() (net.Listener, *Server, error) {
	client, err := rpc.Dial("tcp", i.StoreAddr)
	if err != nil {
		return nil, nil, err
	}
	keyring, err := NewKeyring(Secret{ID: 1, Bytes: i.Secret})
	if err != nil {
		return nil, nil, err
	}
	s, err := NewServer(ServerConfig{Store: socketStore{client}, Keyring: keyring, SingleUse: i.SingleUse, Budget: long, NoFallback: true})
	if err != nil {
		return nil, nil, err
	}
	cert, err := tls.LoadX509KeyPair(i.CertFile, i.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	if err := s.Install(cfg); err != nil {
		return nil, nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	return l, s, err
}

// TestInstance is the other process, not a test: it says where it listens, and on each line that it
// reads revokes all sessions, until its standard input ends.
func TestInstance(t *testing.T) {
	config := os.Getenv("TLSCACHE_INSTANCE")
	if config == "" {
		return
	}
	var i instance
	if err := json.Unmarshal([]byte(config), &i); err != nil {
		t.Fatal(err)
	}
	l, s, err := i.listen()
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l)
	fmt.Println("listening", l.Addr())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println("revoked", s.RevokeAll(t.Context()))
	}
}

// startInstance starts the other process. It returns where it listens, and what makes it revoke.
func startInstance(t *testing.T, i instance) (addr string, revoke func()) {
	t.Helper()
	config, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestInstance$")
	cmd.Env = append(os.Environ(), "TLSCACHE_INSTANCE="+string(config))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v", err)
		}
	})
	lines := bufio.NewReader(out)
	if _, err := fmt.Fscanf(lines, "listening %s\n", &addr); err != nil {
		t.Fatalf("the other process does not say where it listens: %v", err)
	}
	return addr, func() {
		fmt.Fprintln(in)
		var err string
		if _, scanErr := fmt.Fscanf(lines, "revoked %s\n", &err); scanErr != nil || err != "<nil>" {
			t.Fatalf("the other process revoked: %q, %v", err, scanErr)
		}
	}
}

func TestHandlesOfOneProcessResumeInAnother(t *testing.T) {
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("SingleUse=%v", single), func(t *testing.T) {
			store, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			rpcs := rpc.NewServer()
			if err := rpcs.RegisterName("Store", &rpcStore{newMemory(t, session.MemoryConfig{})}); err != nil {
				t.Fatal(err)
			}
			go func() {
				for c, err := store.Accept(); err == nil; c, err = store.Accept() {
					go rpcs.ServeConn(c)
				}
			}()

			w := newWorld(t, ServerConfig{}) // for its authority and clients
			i := instance{StoreAddr: store.Addr().String(), Secret: secret(1).Bytes, SingleUse: single}
			i.CertFile, i.KeyFile = writeFiles(t, w.ca.issue(t, host))
			l, s, err := i.listen()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			serve(t, l)
			other, revokeThere := startInstance(t, i)

			versions(t, func(t *testing.T, version uint16) {
				client := w.client(version)
				for step, tt := range []struct {
					addr string
					want bool
				}{{l.Addr().String(), false}, {other, true}, {l.Addr().String(), true}, {other, true}} {
					if got := dial(t, tt.addr, client); got != tt.want {
						t.Errorf("step %d: resumed = %v; want %v", step, got, tt.want)
					}
				}
				revokeThere()
				if dial(t, l.Addr().String(), client) {
					t.Error("what the other process revoked resumes here")
				}
				if st := s.Stats(); st.Misses[MissRevoked] == 0 {
					t.Errorf("misses: %v; want one for revoked", st.Misses)
				}
			})
		})
	}
}
