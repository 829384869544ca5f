package redisstore

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/session/sessiontest"
)

// documented returns the commands of the package documentation that set up a user: the lines that contain all of
// some words.
func documented(t testing.TB, words ...string) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		command := strings.Fields(strings.TrimPrefix(line, "//"))
		if len(command) > 2 && command[0] == "ACL" && !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(command, w) }) {
			for i, w := range command {
				command[i] = strings.ReplaceAll(strings.ReplaceAll(w, "PASSWORD", "right"), "~sc:", "~t")
			}
			return command
		}
	}
	t.Fatalf("doc.go has no command with %q", words)
	return nil
}

// grant sets up a user on servers as the package documentation says, and returns a Config that logs in as him.
func grant(t testing.TB, cfg Config, servers []*server, user string, words ...[]string) Config {
	t.Helper()
	for _, s := range servers {
		mustAsk(t, s.addr, "ACL", "SETUSER", user, "reset")
		for _, w := range words {
			mustAsk(t, s.addr, documented(t, append(w, user)...)...)
		}
	}
	cfg.Username, cfg.Password = user, "right"
	return cfg
}

var (
	rights  = []string{"+evalsha"}
	sharded = []string{"+cluster|slots"}
	watch   = []string{"+role"}
)

// A right too many is one that a stolen password has.
func TestEveryDocumentedRightIsNeeded(t *testing.T) {
	for _, c := range []struct {
		user, right string
		noScripts   bool
	}{{"sessions", "+evalsha", false}, {"plain", "+getdel", true}} {
		command := documented(t, c.user, c.right)
		for _, right := range command {
			if !strings.HasPrefix(right, "+") || right == "+hello" || right == "+eval" { // without HELLO it is RESP2; EVAL is for the first time
				continue
			}
			t.Run(c.user+" without "+right, func(t *testing.T) {
				cfg := standalone(t, kinds[0])
				cfg.NoScripts = c.noScripts
				cfg = grant(t, cfg, []*server{{addr: cfg.Addrs[0]}}, c.user, []string{c.right})
				mustAsk(t, cfg.Addrs[0], "ACL", "SETUSER", c.user, "-"+right[1:])
				if right == "+ping" {
					s := openUnready(t, cfg)
					if eventually(func() bool { _, _, _, err := s.keeper.state(); return errors.Is(err, ErrDenied) }) != nil {
						t.Error("the keeper is never denied its ping")
					}
					return
				}
				s := open(t, cfg)
				for i := range 20 { // enough for Update to look for expired ones
					err := s.Update(t.Context(), session.Key{Partial: one.Partial, ID: string(rune('a' + i))}, nil, time.Hour)
					if errors.Is(err, ErrDenied) {
						return
					}
				}
				for _, err := range everyCall(t.Context(), s) {
					if errors.Is(err, ErrDenied) {
						return
					}
				}
				t.Errorf("no call is denied; want the right out of the documentation")
			})
		}
	}
}

// A Store without scripts has no index: it is held to what session.Store promises, and to All and Size.
func TestStoresWithoutScriptsAreStores(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			cfg := standalone(t, k)
			cfg.NoScripts = true
			cfg = grant(t, cfg, []*server{{addr: cfg.Addrs[0]}}, "plain", []string{"+getdel"})
			sessiontest.TestStore(t, func(t testing.TB) session.Store { return struct{ session.Store }{open(t, cfg)} })
			s := open(t, cfg)
			update(t, s, one, "s", time.Hour)
			if n, err := s.Size(t.Context()); n != 1 || err != nil {
				t.Errorf("Size() = %d, %v; want 1", n, err)
			}
			for e, err := range s.All(t.Context()) {
				if err != nil || e.Key != one || string(e.Session) != "s" {
					t.Errorf("All yields %+v, %v; want the session", e, err)
				}
			}
			for call, err := range everyCall(t.Context(), s) {
				if index := slices.Contains([]string{"SelectSession", "TakeNewest", "DeletePartial"}, call); index != errors.Is(err, ErrNoScripts) {
					t.Errorf("%s = %v; want ErrNoScripts of what needs the index, and of nothing else", call, err)
				}
			}
		})
	}
}
