package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessioncache/sessioncache/session"
)

// What no error may have in it.
var secret = session.Key{Partial: "secret.example:443", ID: "secret id"}

const secretSession = "secret session"

// faultCalls are the calls that a server's state can make fail, and what they do beside.
func faultCalls(t testing.TB, s *Store) map[string]error {
	ctx := t.Context()
	_, lookup := s.Lookup(ctx, secret)
	_, sel := s.SelectSession(ctx, secret.Partial, 0)
	_, newest := s.TakeNewest(ctx, secret.Partial, false)
	update := s.Update(ctx, secret, []byte(secretSession), time.Hour)
	_, take := s.Take(ctx, secret)
	del := s.Delete(ctx, secret)
	_, partial := s.DeletePartial(ctx, secret.Partial)
	all := map[string]error{
		"Lookup": lookup, "SelectSession": sel, "Update": update, "TakeNewest": newest, "Take": take, "Delete": del, "DeletePartial": partial,
	}
	for name, err := range all {
		if errors.Is(err, session.ErrNotFound) {
			all[name] = nil // an answer
		}
		discreet(t, name, err)
	}
	return all
}

// discreet checks that an error has no key, session or address in it.
func discreet(t testing.TB, call string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, word := range []string{"secret", "127.0.0.1", "/", "c2VjcmV0", "user_script"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%s = %v, which has %q in it; want no key, session, address or script", call, err, word)
		}
	}
}

// wantFaults checks that the calls named return an error, and the others none.
func wantFaults(t *testing.T, s *Store, want error, calls string) {
	t.Helper()
	for name, err := range faultCalls(t, s) {
		if fails := strings.Contains(" "+calls+" ", " "+name+" "); fails && !errors.Is(err, want) {
			t.Errorf("%s = %v; want %v", name, err, want)
		} else if !fails && err != nil {
			t.Errorf("%s = %v; want nil", name, err)
		}
	}
}

const (
	reads  = "Lookup"
	writes = "Update TakeNewest Take Delete DeletePartial"
	index  = "SelectSession " + writes // what looks at the index
)

// What the package documentation's table says.
func TestServerStatesAreToldApart(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			for _, c := range []struct {
				name  string
				state func(t *testing.T, addr string, s *Store)
				want  error
				calls string
			}{
				{"another type under a session's key", func(t *testing.T, addr string, s *Store) {
					mustAsk(t, addr, "RPUSH", s.nameOf(secret.Partial).session(secret.ID), "x")
				}, ErrForeign, "Lookup"}, // Update replaces it
				{"another type under an index's key", func(t *testing.T, addr string, s *Store) {
					mustAsk(t, addr, "SET", s.nameOf(secret.Partial).index, "x")
				}, ErrForeign, index},
				{"out of memory", func(t *testing.T, addr string, _ *Store) { mustAsk(t, addr, "CONFIG", "SET", "maxmemory", "1") }, ErrFull, "Update"},
				{"too few replicas", func(t *testing.T, addr string, s *Store) {
					update(t, s, secret, secretSession, time.Hour) // one to take
					mustAsk(t, addr, "CONFIG", "SET", "min-replicas-to-write", "1")
				}, ErrReadOnly, writes},
				{"a replica", func(t *testing.T, addr string, s *Store) {
					update(t, s, secret, secretSession, time.Hour)
					mustAsk(t, addr, "REPLICAOF", "127.0.0.1", "1")
				}, ErrReadOnly, writes},
				{"a replica without its primary", func(t *testing.T, addr string, _ *Store) {
					mustAsk(t, addr, "CONFIG", "SET", "replica-serve-stale-data", "no")
					mustAsk(t, addr, "REPLICAOF", "127.0.0.1", "1")
				}, ErrNotServing, reads + " " + index},
				{"a user who has lost his rights", func(t *testing.T, addr string, _ *Store) {
					mustAsk(t, addr, "ACL", "SETUSER", "default", "-@all", "+ping", "+hello")
				}, ErrDenied, reads + " " + index},
				{"a user who has lost his keys", func(t *testing.T, addr string, _ *Store) {
					mustAsk(t, addr, "ACL", "SETUSER", "default", "resetkeys")
				}, ErrDenied, reads + " " + index},
			} {
				t.Run(c.name, func(t *testing.T) {
					srv := k.start(t, socket(t))
					s := open(t, Config{Addrs: []string{srv.addr}})
					wantFaults(t, s, nil, "") // each answers where it can, and the scripts are known
					c.state(t, srv.addr, s)
					wantFaults(t, s, c.want, c.calls)
				})
			}
		})
	}
}

// A user whose rights are not those of the package documentation leaves nothing on the server for ever.
func TestARefusedUpdateLeavesNoKeyWithoutATTL(t *testing.T) {
	for _, right := range []string{"set", "zadd", "pexpire", "pttl", "zrevrange", "zcard"} {
		t.Run("without "+right, func(t *testing.T) {
			srv := kinds[0].start(t, socket(t))
			mustAsk(t, srv.addr, "ACL", "SETUSER", "limited", "on", ">p", "~*", "+@all", "-"+right)
			s := open(t, Config{Addrs: []string{srv.addr}, Username: "limited", Password: "p"})
			for _, id := range []string{"1", "2"} {
				err := s.Update(t.Context(), session.Key{Partial: secret.Partial, ID: id}, []byte(secretSession), time.Hour)
				if !errors.Is(err, ErrDenied) {
					t.Errorf("Update() = %v; want ErrDenied", err)
				}
				discreet(t, "Update", err)
			}
			for k, left := range keysOf(t, s) {
				if left == "-1" {
					t.Errorf("an Update that was refused leaves %q without a TTL", k)
				}
			}
		})
	}
}

func TestALongScriptIsNotServing(t *testing.T) {
	srv := kinds[0].start(t, socket(t), "--busy-reply-threshold", "1")
	s := open(t, Config{Addrs: []string{srv.addr}})
	c, err := net.Dial("unix", srv.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "EVAL \"while true do end\" 0\r\n") // until it is killed
	busy := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := s.Lookup(ctx, secret)
		discreet(t, "Lookup", err)
		return errors.Is(err, ErrNotServing)
	}
	if err := eventually(busy); err != nil {
		t.Errorf("Lookup() is never ErrNotServing while a script runs")
	}
	mustAsk(t, srv.addr, "SCRIPT", "KILL")
	if err := eventually(func() bool { return s.Update(t.Context(), secret, nil, time.Hour) == nil }); err != nil {
		t.Errorf("Update() fails after the script has ended")
	}
}

func TestANodeOfAClusterIsNoStandaloneServer(t *testing.T) {
	d := cluster(t, kinds[0])
	s := open(t, Config{Addrs: d.cfg.Addrs[:1]})
	var moved error
	for i := range 100 {
		if _, err := s.Lookup(t.Context(), session.Key{Partial: fmt.Sprint(i)}); !errors.Is(err, session.ErrNotFound) {
			moved = err
		}
	}
	if !errors.Is(moved, ErrNotServing) {
		t.Errorf("Lookup of a slot that the node has not = %v; want ErrNotServing", moved)
	}
	discreet(t, "Lookup", moved)
}

func TestAWrongPasswordIsDenied(t *testing.T) {
	srv := kinds[0].start(t, socket(t), "--requirepass", "right")
	for name, cfg := range map[string]Config{"wrong": {Password: "wrong"}, "none": {}, "of nobody": {Username: "nobody", Password: "right"}} {
		t.Run(name, func(t *testing.T) {
			cfg.Addrs = []string{srv.addr}
			s := openUnready(t, cfg)
			late, cancel := context.WithCancel(t.Context())
			cancel()
			if eventually(func() bool { return errors.Is(s.Ready(late), ErrDenied) }) != nil {
				t.Errorf("Ready() = %v; want ErrDenied", s.Ready(late))
			}
			discreet(t, "Ready", s.Ready(late))
		})
	}
	open(t, Config{Addrs: []string{srv.addr}, Password: "right"})
}

func TestAServerWithoutACommandIsUnsupported(t *testing.T) {
	srv := kinds[0].start(t, socket(t), "--rename-command", "GETDEL", "")
	for _, noScripts := range []bool{false, true} {
		s := open(t, Config{Addrs: []string{srv.addr}, NoScripts: noScripts})
		if _, err := s.Take(t.Context(), secret); !errors.Is(err, ErrUnsupported) {
			t.Errorf("Take() of a server without GETDEL = %v, NoScripts %v; want ErrUnsupported", err, noScripts)
		} else {
			discreet(t, "Take", err)
		}
	}
}

// What only old servers say, or none of the tests can bring about. Some quote what they were sent.
func TestErrorsOfServersAreTranslated(t *testing.T) {
	for text, want := range map[string]error{
		"LOADING Redis is loading the dataset in memory":                   ErrNotServing,
		"CLUSTERDOWN The cluster is down":                                  ErrNotServing,
		"TRYAGAIN Multiple keys request during rehashing of slot":          ErrNotServing,
		"MISCONF Redis is configured to save RDB snapshots":                ErrReadOnly,
		"ERR invalid password":                                             ErrDenied,
		"ERR unknown command 'GETDEL', with args beginning with: 'secret'": ErrUnsupported,
		"ERR Error running script (call to f_0): @user_script:2: @user_script: 2: -OOM command not allowed when used memory > 'maxmemory'.": ErrFull,
		"ERR Error running script (call to f_0): @user_script:2: @user_script: 2: Unknown Redis command called from script secret":          ErrUnsupported,
		"ERR Error running script (call to f_0): @user_script:2: WRONGTYPE Operation against a key holding the wrong kind of value secret":  ErrForeign,
		"ERR Error running script (call to f_0): @user_script:2: secret":                                                                    ErrServer,
		"ERR Script attempted to access a non local key in a cluster node script: secret":                                                   ErrNotServing,
		"ERR secret":    ErrServer,
		"secret secret": ErrServer,
		"secret":        ErrServer,
		"":              ErrServer,
	} {
		err := errOfServer(text)
		if !errors.Is(err, want) {
			t.Errorf("%q becomes %v; want %v", text, err, want)
		}
		discreet(t, text, err)
	}
	at := errors.New("secret.example at 127.0.0.1")
	for _, err := range []error{
		&net.DNSError{Err: "no such host", Name: "secret.example", Server: "127.0.0.1"},
		&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, Err: syscall.ECONNREFUSED},
		&net.AddrError{Err: "missing port", Addr: "secret"}, &tls.CertificateVerificationError{Err: at}, at,
	} {
		if got := errOf(err); !errors.Is(got, ErrUnavailable) {
			t.Errorf("%v becomes %v; want ErrUnavailable", err, got)
		} else {
			discreet(t, "dial", got)
		}
	}
	if errOf(nil) != nil || !errors.Is(errOf(rueidis.ErrClosing), ErrUnavailable) {
		t.Errorf("errOf(nil) = %v, of ErrClosing %v; want nil and ErrUnavailable", errOf(nil), errOf(rueidis.ErrClosing))
	}
}
