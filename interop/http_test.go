package interop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sessioncache/sessioncache/interop/parts"
)

// serveHTTP answers every request with whether its connection resumed, and closes the connection.
func (w *world) serveHTTP(cfg *tls.Config) (addr string) {
	w.t.Helper()
	l := w.listen()
	server := &http.Server{TLSConfig: cfg, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Connection", "close")
		fmt.Fprintln(rw, r.TLS.DidResume)
	})}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(l, "", "") }()
	w.t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			w.t.Error(err)
		}
	})
	return l.Addr().String()
}

// With TLS 1.2, Debian's curl asks for no ticket (SSL_OP_NO_TICKET) and so resumes with no Go server: it is
// to fare as on stock tickets.
func TestCurlResumes(t *testing.T) {
	parts.Need(t, "curl")
	for _, tt := range []struct {
		version string
		flags   []string
		want    string // empty: the same as on stock tickets
	}{
		{"tls1_2", []string{"--tlsv1.2", "--tls-max", "1.2"}, ""},
		{"tls1_3", []string{"--tlsv1.3"}, "false\ntrue\ntrue\n"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			w := newWorld(t)
			fetch := func(cfg *tls.Config) string {
				_, port, err := net.SplitHostPort(w.serveHTTP(cfg))
				check(t, err)
				url := "https://" + host + ":" + port + "/"
				return run(t, "curl", slices.Concat(tt.flags, []string{"--silent", "--show-error", "--http1.1",
					"--cacert", w.certFile, "--resolve", host + ":" + port + ":127.0.0.1", url, url, url})...)
			}
			ours, stock := fetch(w.config(false)), fetch(&tls.Config{Certificates: []tls.Certificate{w.cert}})
			if ours != stock || tt.want != "" && ours != tt.want {
				t.Errorf("curl got %q, on stock tickets %q; want %q; stats %+v", ours, stock, tt.want, w.server.Stats())
			}
		})
	}
}

func TestGoClientResumes(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			addr := w.serveHTTP(w.config(false))
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.client(version)}}
			var got strings.Builder
			for range 3 {
				resp, err := client.Get("https://" + addr + "/")
				check(t, err)
				_, err = io.Copy(&got, resp.Body)
				check(t, err)
				check(t, resp.Body.Close())
			}
			if want := "false\ntrue\ntrue\n"; got.String() != want {
				t.Errorf("got %q; want %q", &got, want)
			}
		})
	}
}
