package tlscache

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/internal/secretdir"
	"github.com/sessioncache/sessioncache/internal/testing/kubelet"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
)

// skewed returns a clock that is off from that of the bubble, for a keyring.
func skewed(k *Keyring, by time.Duration) {
	const ages = 50 * 365 * 24 * time.Hour // a bubble begins long before the fake clock's birth
	c := new(clock.Fake)
	c.Pass(ages)
	c.Set(by - ages)
	c.Under(&k.clock)
}

// Twins are two processes on one Store, which follow sources of their own.
type twins struct {
	*world
	keys    [2]*Keyring
	servers [2]*tls.Config
}

// twinsOf returns two processes. The clock of the second is off.
func twinsOf(t *testing.T, sources [2]Source, cfg FollowConfig, off time.Duration) *twins {
	t.Helper()
	p := new(twins)
	memory := newMemory(t, session.MemoryConfig{MaxTTL: session.MaxTTL})
	for i, source := range sources {
		k, err := OpenKeyring(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			skewed(k, off)
		}
		follow(t, k, source, cfg)
		p.keys[i] = k
		sc := ServerConfig{Store: remote{memory}, Keyring: k, Budget: long}
		if i == 0 {
			p.world = newWorld(t, sc)
			p.servers[0] = p.server
		} else {
			_, p.servers[1] = p.elsewhere(sc)
		}
	}
	// Two processes that write the first witness of an empty Store at once cost a full handshake (ADR 17).
	for _, server := range p.servers {
		resumes(t, server, p.client(tls.VersionTLS12))
		synctest.Wait()
	}
	return p
}

// sessions are clients of some versions with a session of one process each.
func (p *twins) sessions() (clients []*tls.Config) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, server := range p.servers {
			client := p.client(version)
			if resumes(p.t, server, client) {
				p.t.Error("a new client resumed")
			}
			clients = append(clients, client)
		}
	}
	return clients
}

// resume lets clients resume at both processes, each with the session that it got from the other.
func (p *twins) resume(what string, clients []*tls.Config) {
	p.t.Helper()
	for i, client := range clients {
		for n := range p.servers {
			if at := (i + n + 1) % 2; !resumes(p.t, p.servers[at], client) {
				p.t.Errorf("%s: client %d does not resume at process %d: active are %d and %d, misses %v", what, i, at,
					p.keys[0].active().ID, p.keys[1].active().ID, p.misses())
			}
		}
	}
}

// A rotator is a directory of secrets that is rotated.
type rotator struct {
	dir    string
	rotate func(t *testing.T)
}

// rotators are the ways in which a directory is rotated: in place, and by the kubelet.
func rotators(t *testing.T, f func(t *testing.T, r rotator)) {
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "secrets")
		if _, err := secretdir.New(dir, time.Now()); err != nil {
			t.Fatal(err)
		}
		bubble(t, func(t *testing.T) {
			f(t, rotator{dir, func(t *testing.T) {
				if _, _, err := secretdir.Rotate(dir, time.Now(), secretdir.DefaultKeep); err != nil {
					t.Fatal(err)
				}
			}})
		})
	})
	t.Run("mount", func(t *testing.T) {
		if os.PathSeparator == '\\' {
			t.Skip("links need a privilege here")
		}
		bubble(t, func(t *testing.T) {
			next := uint32(3)
			files := func() map[string][]byte {
				m := map[string][]byte{}
				for id := max(next, 4) - 4; id < next; id++ {
					s := secret(id + 1)
					m[fmt.Sprintf("%d.secret", id+1)] = s.Bytes[:]
				}
				return m
			}
			m := kubelet.New(t, files())
			f(t, rotator{m.Dir, func(t *testing.T) { next++; m.Swap(t, files()) }})
		})
	})
}

// Two processes follow one directory, and learn of a rotation at different times. Sessions of each resume at the other
// before, during and after it, at every second while one knows of it and the other does not.
func TestSessionsResumeAcrossRotationsOfADirectory(t *testing.T) {
	rotators(t, func(t *testing.T, r rotator) {
		source := FileSecrets(r.dir)
		p := twinsOf(t, [2]Source{source, source}, FollowConfig{}, 0)
		later(3)
		for day := range 2 {
			before := p.sessions()
			was := p.keys[0].active().ID
			r.rotate(t)
			for second := range 36 {
				if second%6 == 0 || p.keys[0].active().ID != p.keys[1].active().ID {
					p.resume(fmt.Sprintf("day %d, second %d", day, second), before)
					p.resume(fmt.Sprintf("day %d, second %d, new", day, second), p.sessions())
				}
				time.Sleep(time.Second)
			}
			for i, k := range p.keys {
				if k.active().ID == was {
					t.Errorf("day %d: process %d has not rotated", day, i)
				}
			}
			time.Sleep(20 * time.Hour)
			p.resume(fmt.Sprintf("day %d, later", day), before)
			time.Sleep(4 * time.Hour)
		}
	})
}

// Secrets of periods change when the clock of each process says so.
func TestClocksThatDifferByMinutesLoseNoSession(t *testing.T) {
	for _, off := range []time.Duration{4 * time.Minute, -4 * time.Minute} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const period = 12 * time.Hour
				time.Sleep(time.Hour) // a bubble begins with a period
				var sources [2]Source
				for i := range sources {
					s, err := DerivedSecrets([]byte(strings.Repeat("m", SecretSize)), period)
					if err != nil {
						t.Fatal(err)
					}
					s.(*derivedSecrets).now = func() time.Time { return time.Now().Add(time.Duration(i) * off) }
					sources[i] = s
				}
				p := twinsOf(t, sources, FollowConfig{}, off)
				old, apart := p.sessions(), false
				time.Sleep(period - time.Hour - 6*time.Minute)
				for minute := range 12 {
					apart = apart || p.keys[0].active().ID != p.keys[1].active().ID
					p.resume(fmt.Sprintf("minute %d", minute), old)
					p.resume(fmt.Sprintf("minute %d, new", minute), p.sessions())
					time.Sleep(time.Minute)
				}
				if !apart {
					t.Error("both processes rotated at once; want minutes in between")
				}
				if p.keys[0].Stats().Rotations != 1 || p.keys[1].Stats().Rotations != 1 {
					t.Error("a process has not rotated")
				}
			})
		})
	}
}

// Whatever becomes of the directory, clients go on to resume, at both processes, and rotations go on when it is whole again.
func TestNoFaultOfADirectoryEndsResumption(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
	}{
		{name: "missing", spoil: os.RemoveAll},
		{name: "empty", spoil: func(dir string) error { return keepFiles(dir, 0) }},
		{name: "shortened to the oldest", spoil: func(dir string) error { return keepFiles(dir, 1) }},
		{name: "shortened by the next", spoil: func(dir string) error { return keepFiles(dir, 3) }},
		{name: "half written", spoil: func(dir string) error { return os.WriteFile(filepath.Join(dir, "9.secret"), make([]byte, 16), 0o600) }},
		{name: "wrong mode", spoil: func(dir string) error { return os.Chmod(filepath.Join(dir, "2.secret"), 0o644) }},
		{name: "a dangling link", spoil: func(dir string) error { return os.Symlink("..gone", filepath.Join(dir, "..data")) }},
		{name: "other bytes", spoil: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "2.secret"), []byte(strings.Repeat("x", 32)), 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if os.PathSeparator == '\\' {
				t.Skip("there are no such modes and links here")
			}
			bubble(t, func(t *testing.T) {
				dir := t.TempDir()
				fill(t, dir, 1, 2, 3, 4)
				source := FileSecrets(dir)
				p := twinsOf(t, [2]Source{source, source}, FollowConfig{}, 0)
				later(3)
				before := p.sessions()
				if err := tt.spoil(dir); err != nil {
					t.Fatal(err)
				}
				for hour := range 4 {
					time.Sleep(time.Hour - 2*time.Minute)
					p.resume(fmt.Sprintf("hour %d", hour), before)
					for _, k := range p.keys {
						st := k.Stats()
						if hour == 0 && st.Failure == "" {
							t.Errorf("Stats say nothing: %+v", st)
						}
						if strings.Contains(st.Failure, dir) {
							t.Errorf("Stats name the directory: %s", st.Failure)
						}
						for id := range uint32(4) {
							if k.find(id+1) == nil {
								t.Errorf("hour %d: secret %d is gone", hour, id+1)
							}
						}
					}
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				fill(t, dir, 1, 2, 3, 4, 5)
				for second := range 10 {
					p.resume(fmt.Sprintf("whole again, second %d", 4*second), before)
					time.Sleep(4 * time.Second)
				}
				for i, k := range p.keys {
					if st := k.Stats(); st.Active != 4 || st.Failure != "" {
						t.Errorf("process %d when it is whole again: %+v; want 4 active", i, st)
					}
				}
			})
		})
	}
}

// fill writes the files of secrets.
func fill(t *testing.T, dir string, ids ...uint32) {
	t.Helper()
	for _, id := range ids {
		s := secret(id)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.secret", id)), s.Bytes[:], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// keepFiles removes all but the first files of a directory.
func keepFiles(dir string, n int) error {
	files, err := os.ReadDir(dir)
	for _, f := range files[min(n, len(files)):] {
		if err == nil {
			err = os.Remove(filepath.Join(dir, f.Name()))
		}
	}
	return err
}

func TestDerivedSecretsAreThoseOfTheirPeriodInEveryProcess(t *testing.T) {
	const day = 24 * time.Hour
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	at := func(master string, period time.Duration, now time.Time) (Secret, map[uint32]Secret) {
		t.Helper()
		s, err := DerivedSecrets([]byte(master), period)
		if err != nil {
			t.Fatal(err)
		}
		s.(*derivedSecrets).now = func() time.Time { return now }
		active, accepted, err := s.Secrets(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		all := map[uint32]Secret{active.ID: active}
		for _, s := range accepted {
			all[s.ID] = s
		}
		return active, all
	}
	master := strings.Repeat("m", SecretSize)
	active, all := at(master, day, noon)
	// Pinned: a process of another release must derive the same.
	if got := fmt.Sprintf("%d %x", active.ID, active.Bytes[:8]); got != pinnedDerived {
		t.Errorf("the secret of the day is %s; want %s", got, pinnedDerived)
	}
	if len(all) != 1+1+8 || all[active.ID+1].ID == 0 || all[active.ID-8].ID == 0 {
		t.Errorf("%d secrets; want the active one, the next and those of 8 days", len(all))
	}
	next, others := at(master, day, noon.Add(day))
	if next != all[active.ID+1] || others[active.ID] != active {
		t.Error("the next day has another secret than was announced, or another former one")
	}
	if other, _ := at(strings.Repeat("n", SecretSize), day, noon); other.Bytes == active.Bytes {
		t.Error("two masters derive one secret")
	}
	if other, _ := at(master, 2*day, noon.Add(time.Duration(active.ID)*day)); other.Bytes == active.Bytes {
		t.Error("two periods derive one secret")
	}
	if _, all := at(master, MinDerivedPeriod, noon); len(all) > secretdir.MaxSecrets {
		t.Errorf("%d secrets of the shortest period; want at most %d", len(all), secretdir.MaxSecrets)
	}
	if first, all := at(master, day, time.Unix(0, 0)); first.ID != 0 || len(all) != 2 {
		t.Errorf("in 1970: %v of %d; want 0 and the next", first, len(all))
	}
}

const pinnedDerived = "20787 8654f5de33aba97b"

func TestFaultyDerivationsAreErrors(t *testing.T) {
	_, err := DerivedSecrets([]byte("hunter2"), time.Second)
	want := "tlscache: master has 7 bytes; want at least 32 random ones; period is 1s; want from 3h0m0s to 720h0m0s, in whole seconds"
	if err == nil || err.Error() != want {
		t.Errorf("DerivedSecrets: %v; want %s", err, want)
	}
	s, err := DerivedSecrets(make([]byte, SecretSize), MaxDerivedPeriod)
	if err != nil {
		t.Fatal(err)
	}
	s.(*derivedSecrets).now = func() time.Time { return time.Unix(-1<<40, 0) }
	if _, _, err := s.Secrets(t.Context()); err == nil || !strings.Contains(err.Error(), "before 1970") {
		t.Errorf("secrets of a time before 1970: %v; want an error", err)
	}
}

func TestSourcesPrintNothing(t *testing.T) {
	derived, err := DerivedSecrets([]byte(strings.Repeat("m", SecretSize)), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb+" "+verb, FileSecrets("hunter2"), derived); got != "tlscache.FileSecrets tlscache.DerivedSecrets" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
