package tlscache_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sessioncache/sessioncache/tlscache"
)

// visit requests a page over a connection of its own and prints whether that resumed.
func visit(transport *http.Transport, url string) {
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		log.Fatal(err)
	}
	fmt.Println("resumed:", resp.TLS.DidResume)
}

// Whatever takes a *tls.Config resumes once the Client is installed in it.
func Example_clientResumption() {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()

	client, err := tlscache.NewClient(tlscache.ClientConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	cfg := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone() // trusts the server
	if err := client.Install(cfg); err != nil {
		log.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: cfg}
	visit(transport, server.URL)
	visit(transport, server.URL)
	// Output:
	// resumed: false
	// resumed: true
}

// DialTLSContext keeps tickets per address, for servers that share a name and no keys.
func ExampleClient_DialTLSContext() {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs

	client, err := tlscache.NewClient(tlscache.ClientConfig{
		TLS: &tls.Config{RootCAs: trusted, NextProtos: []string{"h2", "http/1.1"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	transport := &http.Transport{DialTLSContext: client.DialTLSContext, ForceAttemptHTTP2: true}
	visit(transport, server.URL)
	visit(transport, server.URL)
	// Output:
	// resumed: false
	// resumed: true
}

// A process that starts again resumes with the tickets of the one before.
func ExampleClient_Export() {
	keys, err := tlscache.NewKeyring(tlscache.NewSecret(1)) // the same in both processes
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	trusting := server.Client().Transport.(*http.Transport).TLSClientConfig

	var file bytes.Buffer
	for range 2 { // processes
		client, err := tlscache.NewClient(tlscache.ClientConfig{})
		if err != nil {
			log.Fatal(err)
		}
		if file.Len() > 0 {
			if err := client.Import(&file, tlscache.ImportConfig{Keyring: keys}); err != nil {
				log.Fatal(err)
			}
		}
		cfg := trusting.Clone()
		if err := client.Install(cfg); err != nil {
			log.Fatal(err)
		}
		visit(&http.Transport{TLSClientConfig: cfg}, server.URL)
		if err := client.Export(&file, tlscache.ExportConfig{Keyring: keys}); err != nil {
			log.Fatal(err)
		}
		client.Close()
	}
	// Output:
	// resumed: false
	// resumed: true
}
