package tlscache

import (
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

func TestClientsResume(t *testing.T) {
	stores := map[string]func(t *testing.T) ServerConfig{
		"own memory": func(t *testing.T) ServerConfig { return ServerConfig{} },
		"remote": func(t *testing.T) ServerConfig {
			return ServerConfig{Store: remote{newMemory(t, session.MemoryConfig{})}, Keyring: ring(t, secret(1)), Budget: time.Minute}
		},
	}
	for what, store := range stores {
		t.Run(what, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				w := newWorld(t, store(t))
				client := w.client(version)
				w.want("first", client, false)
				for range 3 {
					w.want("again", client, true)
				}
				st := w.Stats()
				if st.Full != 1 || st.Resumed != 3 || st.Offered != 3 || st.Found != 3 || st.Dead != 0 || st.Fallback != 0 {
					t.Errorf("stats: %+v", st)
				}
			})
		})
	}
}

func TestStatsTellOfTheDefaultMemory(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	client := w.client(0x0304)
	w.want("first", client, false)
	if st := w.Stats().Memory; st.Sessions != 1 || st.Inserted != 1 {
		t.Errorf("Memory holds %d sessions, %d were stored; want 1, 1", st.Sessions, st.Inserted)
	}
}
