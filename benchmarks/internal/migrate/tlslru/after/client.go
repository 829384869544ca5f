// Package client makes an HTTP client that resumes TLS sessions from a tlscache.Client.
package client

import (
	"crypto/tls"
	"net/http"

	"github.com/sessioncache/sessioncache/tlscache"
)

func New(cfg *tls.Config) (*http.Client, error) {
	tickets, err := tlscache.NewClient(tlscache.ClientConfig{MaxSessions: 1000})
	if err != nil {
		return nil, err
	}
	if err := tickets.Install(cfg); err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: true}}, nil
}
