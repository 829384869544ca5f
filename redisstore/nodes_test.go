package redisstore

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// spread returns keys of which each node of a cluster has some.
func spread(n int) (keys []session.Key) {
	for i := range n {
		keys = append(keys, session.Key{Partial: fmt.Sprint("partial ", i), ID: "id"})
	}
	return keys
}

func TestAFrozenNodeLeavesTheOthers(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			d := cluster(t, k)
			cfg := d.cfg
			cfg.Timeout = time.Second
			s := open(t, cfg)
			keys := spread(60)
			for _, key := range keys {
				update(t, s, key, "s", time.Hour)
			}
			frozen := d.servers[1].cmd.Process
			if err := frozen.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			thaw := func() { _ = frozen.Signal(syscall.SIGCONT) }
			defer thaw()
			becomes(t, s, "the node is missed", func(st Stats) bool { return st.Reachable == 3 && st.Nodes == 4 })
			served, failed := 0, 0
			for _, key := range keys {
				switch _, err := s.Lookup(t.Context(), key); {
				case err == nil:
					served++
				case errors.Is(err, ErrUnavailable):
					failed++
				default:
					t.Errorf("Lookup() = %v with a node frozen; want the session or ErrUnavailable", err)
				}
			}
			if served == 0 || failed == 0 || served < failed {
				t.Errorf("%d sessions are served and %d are not with one node of three frozen; want two thirds", served, failed)
			}
			thaw()
			if err := eventually(func() bool { return allServed(t.Context(), s, keys) }); err != nil {
				t.Errorf("not all sessions are served after the node goes on; Stats() = %+v", s.Stats())
			}
		})
	}
}

func allServed(ctx context.Context, s *Store, keys []session.Key) bool {
	for _, key := range keys {
		if _, err := s.Lookup(ctx, key); err != nil {
			return false
		}
	}
	return true
}

// A replica that lags has sessions that are gone, so they are not looked for there.
func TestSessionsAreCountedAtThePrimaries(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s := open(t, cluster(t, k).cfg)
			if err := eventually(func() bool { return s.Stats().Nodes == 4 }); err != nil {
				t.Fatalf("Stats() = %+v; want 4 nodes", s.Stats())
			}
			if nodes, err := s.primaries(t.Context()); len(nodes) != 3 || err != nil {
				t.Errorf("%d nodes are walked, %v; want the 3 primaries of 4 nodes", len(nodes), err)
			}
		})
	}
}

// A slot moves to another node, and the keys in it one by one.
func TestSessionsAreFoundWhileTheirSlotMoves(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			d := cluster(t, k)
			s := open(t, d.cfg)
			update(t, s, one, "s", time.Hour)
			slot := mustAsk(t, d.servers[0].addr, "CLUSTER", "KEYSLOT", s.nameOf(one.Partial).index)
			from, to := -1, -1
			var ids [3]string
			for i, srv := range d.servers[:3] {
				ids[i] = mustAsk(t, srv.addr, "CLUSTER", "MYID")
				if n, err := ask(srv.addr, "CLUSTER", "COUNTKEYSINSLOT", slot); err == nil && n != "0" {
					from = i
				}
			}
			to = (from + 1) % 3
			mustAsk(t, d.servers[to].addr, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[from])
			mustAsk(t, d.servers[from].addr, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
			host, port := "127.0.0.1", d.servers[to].addr[len("127.0.0.1:"):]
			for _, name := range []string{s.nameOf(one.Partial).session(one.ID), s.nameOf(one.Partial).index} {
				mustAsk(t, d.servers[from].addr, "MIGRATE", host, port, name, "0", "5000")
				if got, err := s.Lookup(t.Context(), one); err != nil || string(got) != "s" {
					t.Errorf("Lookup() = %q, %v while the slot moves; want the session", got, err)
				}
			}
			for { // what other tests have left in the slot
				name := mustAsk(t, d.servers[from].addr, "CLUSTER", "GETKEYSINSLOT", slot, "1")
				if name == "" {
					break
				}
				mustAsk(t, d.servers[from].addr, "MIGRATE", host, port, name, "0", "5000")
			}
			for _, i := range []int{to, from} {
				mustAsk(t, d.servers[i].addr, "CLUSTER", "SETSLOT", slot, "NODE", ids[to])
			}
			if e, err := s.TakeNewest(t.Context(), one.Partial, false); err != nil || e.Key != one {
				t.Errorf("TakeNewest() = %v after the slot has moved; want the session", err)
			}
		})
	}
}

// The sentinel promotes the replica, and the Store follows without being told.
func TestAFailoverEndsByItself(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			d, err := watched(k, k.need(t)) // one of its own: its primary dies
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, d.cfg)
			update(t, s, one, "s", time.Hour)
			d.servers[0].stop()
			works := func() bool { return s.Update(t.Context(), one, []byte("new"), time.Hour) == nil }
			if err := eventually(works); err != nil {
				t.Fatalf("Update() fails for ever after the primary's death; Stats() = %+v", s.Stats())
			}
			if got, err := s.Take(t.Context(), one); err != nil || string(got) != "new" {
				t.Errorf("Take() = %q, %v from the new primary; want the session", got, err)
			}
		})
	}
}
