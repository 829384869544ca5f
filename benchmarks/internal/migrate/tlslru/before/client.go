// Package client makes an HTTP client that resumes TLS sessions from the standard library's LRU.
package client

import (
	"crypto/tls"
	"net/http"
)

func New(cfg *tls.Config) (*http.Client, error) {
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1000)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}}, nil
}
