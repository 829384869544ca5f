package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMetricsTellOfAResumption(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.StartTLS()
	defer server.Close()
	config := &tls.Config{Certificates: server.TLS.Certificates}
	watched, sessions, err := install(config)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go http.Serve(listener, http.NotFoundHandler())
	client := server.Client()
	trust := client.Transport.(*http.Transport).TLSClientConfig
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for range 2 {
		resp, err := client.Get("https://" + listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		client.CloseIdleConnections()
	}
	answer := httptest.NewRecorder()
	watched.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	const want = `tlssession_handshakes_total{name="public",resumed="true",role="server"} 1`
	if !strings.Contains(answer.Body.String(), want) {
		t.Errorf("/metrics says\n%s\nwant %s", answer.Body, want)
	}
}
