package interop

import (
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sessioncache/sessioncache/interop/parts"
)

// serve greets every client and hangs up, until the listener is closed.
func serve(t *testing.T, l net.Listener, cfg *tls.Config) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			go func() {
				conn := tls.Server(c, cfg)
				defer conn.Close()
				_, _ = conn.Write([]byte("hello\n"))
			}()
		}
	}()
}

// sClient runs openssl s_client until the server hangs up, and returns how many of its connections were
// new and reused.
func (w *world) sClient(l net.Listener, args ...string) (fresh, reused int) {
	w.t.Helper()
	out := run(w.t, "openssl", append([]string{"s_client", "-connect", l.Addr().String(), "-servername", host,
		"-CAfile", w.certFile, "-verify_return_error", "-ign_eof"}, args...)...)
	if !strings.Contains(out, "hello") {
		w.t.Errorf("openssl did not read what the server wrote:\n%s", out)
	}
	return strings.Count(out, "\nNew, TLSv"), strings.Count(out, "\nReused, TLSv")
}

func TestOpenSSLResumesASessionFromAFile(t *testing.T) {
	parts.Need(t, "openssl")
	for flag := range versions {
		for _, mutual := range []bool{false, true} {
			name, args := flag, []string{"-" + flag}
			w := newWorld(t)
			if mutual {
				name += ", client certificate"
				args = append(args, "-cert", w.certFile, "-key", w.keyFile)
			}
			t.Run(name, func(t *testing.T) {
				l := w.listen()
				serve(t, l, w.config(mutual))
				file := filepath.Join(t.TempDir(), "session.pem")
				if fresh, reused := w.sClient(l, append(args, "-sess_out", file)...); fresh != 1 || reused != 0 {
					t.Errorf("first: %d new, %d reused; want 1, 0", fresh, reused)
				}
				for range 2 {
					if fresh, reused := w.sClient(l, append(args, "-sess_in", file, "-sess_out", file)...); fresh != 0 || reused != 1 {
						t.Errorf("with the session: %d new, %d reused; want 0, 1; misses %v", fresh, reused, w.server.Stats().Misses)
					}
				}
			})
		}
	}
}

// With TLS 1.3, s_client -reconnect hangs up before it has read a ticket, with any server: the same
// run on stock tickets says so. -sess_out and -sess_in above read first.
func TestOpenSSLReconnectResumes(t *testing.T) {
	parts.Need(t, "openssl")
	for flag, want := range map[string]int{"tls1_2": 5, "tls1_3": 0} {
		t.Run(flag, func(t *testing.T) {
			w := newWorld(t)
			ours, stock := w.listen(), w.listen()
			serve(t, ours, w.config(false))
			serve(t, stock, &tls.Config{Certificates: []tls.Certificate{w.cert}})
			for name, l := range map[string]net.Listener{"ours": ours, "stock tickets": stock} {
				if fresh, reused := w.sClient(l, "-"+flag, "-reconnect"); fresh != 6-want || reused != want {
					t.Errorf("%s: %d new, %d reused; want %d, %d; stats %+v", name, fresh, reused, 6-want, want, w.server.Stats())
				}
			}
		})
	}
}
