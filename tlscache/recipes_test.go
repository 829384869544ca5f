package tlscache

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// writeFiles writes a certificate and its key as PEM and returns the names of the files.
func writeFiles(t testing.TB, c tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, bytes []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	return write("cert.pem", "CERTIFICATE", c.Certificate[0]), write("key.pem", "PRIVATE KEY", der)
}

// get fetches a page on a connection of its own and reports the protocol and whether it resumed.
func get(t testing.TB, addr string, client *tls.Config) (proto string, resumed bool) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://" + host + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.Proto, resp.TLS.DidResume
}

func TestHTTPServerKeepsHTTP2AndResumes(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		certFile, keyFile := writeFiles(t, w.ca.issue(t, host))

		addr := make(chan string, 1)
		server := &http.Server{Addr: "127.0.0.1:0", TLSConfig: new(tls.Config),
			Handler:     http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "hello") }),
			BaseContext: func(l net.Listener) context.Context { addr <- l.Addr().String(); return context.Background() }}
		if err := w.Install(server.TLSConfig); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- server.ListenAndServeTLS(certFile, keyFile) }()
		defer func() {
			server.Close()
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}()

		at, client := <-addr, w.client(version)
		for i := range 3 {
			if proto, resumed := get(t, at, client); proto != "HTTP/2.0" || resumed != (i > 0) {
				t.Errorf("request %d: %s, resumed = %v; want HTTP/2.0, %v", i, proto, resumed, i > 0)
			}
		}
	})
}

// serve accepts connections, writes a byte to each and closes it, until the test ends.
func serve(t testing.TB, l net.Listener) {
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Write([]byte("x"))
			}()
		}
	}()
}

// dial does one handshake over a socket, reads a byte and reports whether it resumed.
func dial(t testing.TB, addr string, client *tls.Config) bool {
	t.Helper()
	c, err := tls.Dial("tcp", addr, client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().DidResume
}

func TestListenerResumes(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		l, err := tls.Listen("tcp", "127.0.0.1:0", w.server)
		if err != nil {
			t.Fatal(err)
		}
		serve(t, l)
		client := w.client(version)
		for i := range 3 {
			if got := dial(t, l.Addr().String(), client); got != (i > 0) {
				t.Errorf("connection %d: resumed = %v; want %v", i, got, i > 0)
			}
		}
	})
}
