package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestConnectionsUseTLS(t *testing.T) {
	cert, pool := identity(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile, keyFile := file("cert", "CERTIFICATE", cert.Certificate[0]), file("key", "PRIVATE KEY", key)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			k.need(t)
			addr, err := freeAddr()
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(addr)
			k.start(t, socket(t), "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile)
			mine := &tls.Config{RootCAs: pool, ServerName: host, Certificates: []tls.Certificate{cert}}
			s := open(t, Config{Addrs: []string{addr}, TLS: mine})
			update(t, s, one, "s", time.Hour)
			if got, err := s.Take(t.Context(), one); err != nil || string(got) != "s" {
				t.Errorf("Take() = %q, %v; want the session", got, err)
			}
			for name, cfg := range map[string]Config{
				"another name": {TLS: &tls.Config{RootCAs: pool, ServerName: "other.example", Certificates: mine.Certificates}},
				"no TLS":       {},
			} {
				cfg.Addrs = []string{addr}
				s := openUnready(t, cfg)
				becomes(t, s, "it has tried to connect", func(st Stats) bool { return st.Dials > 2 })
				late, cancel := context.WithCancel(t.Context())
				cancel()
				if err := s.Ready(late); !errors.Is(err, ErrUnavailable) {
					t.Errorf("%s: Ready() = %v; want ErrUnavailable", name, err)
				} else {
					discreet(t, "Ready", err)
				}
			}
		})
	}
}
