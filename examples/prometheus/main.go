// Prometheus is a TLS server whose sessions Prometheus can watch: https on -listen, and /metrics on -metrics.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sessioncache/sessioncache/promcollector"
	"github.com/sessioncache/sessioncache/tlscache"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8443", "address of the server")
	metrics := flag.String("metrics", "127.0.0.1:9100", "address of /metrics")
	cert := flag.String("cert", "cert.pem", "file of the certificate")
	key := flag.String("key", "key.pem", "file of its key")
	flag.Parse()
	log.Fatal(run(*listen, *metrics, *cert, *key))
}

// run serves until a listener fails.
func run(listen, metricsAddr, certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	watched, sessions, err := install(config)
	if err != nil {
		return err
	}
	defer sessions.Close()

	failed := make(chan error, 2)
	go func() { failed <- http.ListenAndServe(metricsAddr, watched) }()
	listener, err := tls.Listen("tcp", listen, config)
	if err != nil {
		return err
	}
	go func() {
		failed <- http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, "resumed:", r.TLS.DidResume)
		}))
	}()
	return <-failed
}

// install puts a session cache into config and returns the handler that tells of it.
func install(config *tls.Config) (http.Handler, *tlscache.Server, error) {
	sessions, err := tlscache.NewServer(tlscache.ServerConfig{})
	if err != nil {
		return nil, nil, err
	}
	if err := sessions.Install(config); err != nil {
		return nil, nil, err
	}
	collector, err := promcollector.ForServer("public", sessions)
	if err != nil {
		return nil, nil, err
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(collector); err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux, sessions, nil
}
