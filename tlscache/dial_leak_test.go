package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// A countedConn counts the connections that are open.
type countedConn struct {
	net.Conn
	open *atomic.Int64
	once atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.once.Swap(true) {
		c.open.Add(-1)
	}
	return c.Conn.Close()
}

// Whatever ends a dial, it leaves no connection open: its caller has none to close.
func TestADialThatFailsLeavesNoConnectionOpen(t *testing.T) {
	errRefused := errors.New("refused")
	panicked := func(dial func() (net.Conn, error)) (err error) {
		defer func() {
			if recover() != nil {
				err = errRefused
			}
		}()
		_, err = dial()
		return err
	}
	for name, tt := range map[string]struct {
		cfg    ClientConfig
		tls    func(*tls.Config)
		server func(net.Conn)
		ctx    func(context.Context) (context.Context, context.CancelFunc)
	}{
		"the server speaks no TLS": {server: func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }},
		"the server hangs up":      {server: func(c net.Conn) { c.Close() }},
		"unknown roots":            {tls: func(cfg *tls.Config) { cfg.RootCAs = newAuthority(t, "another").pool() }},
		"VerifyConnection refuses": {tls: func(cfg *tls.Config) { cfg.VerifyConnection = func(tls.ConnectionState) error { return errRefused } }},
		"VerifyConnection panics":  {tls: func(cfg *tls.Config) { cfg.VerifyConnection = func(tls.ConnectionState) error { panic("no") } }},
		"the context is cancelled": {server: func(net.Conn) {}, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}},
		"its time is over": {server: func(net.Conn) {}, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}},
		"HandshakeTimeout is over": {server: func(net.Conn) {}, cfg: ClientConfig{HandshakeTimeout: time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ca := newAuthority(t, "CA")
				served := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, testName)}}
				cfg := tt.cfg
				cfg.TLS = &tls.Config{RootCAs: ca.pool(), Time: func() time.Time { return ca.cert.NotBefore.Add(time.Hour) }}
				if tt.tls != nil {
					tt.tls(cfg.TLS)
				}
				var open atomic.Int64
				var server net.Conn
				cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
					open.Add(1)
					a, b := net.Pipe()
					server = b
					go func() {
						if tt.server != nil {
							go func() { _, _ = b.Read(make([]byte, 1<<14)) }()
							tt.server(b)
							return
						}
						_ = tls.Server(b, served).Handshake()
						b.Close()
					}()
					return &countedConn{Conn: a, open: &open}, nil
				}
				c, err := NewClient(cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tt.ctx != nil {
					ctx, cancel = tt.ctx(ctx)
				}
				defer cancel()
				err = panicked(func() (net.Conn, error) { return c.DialTLSContext(ctx, "tcp", testName+":443") })
				if err == nil {
					t.Error("DialTLSContext = nil; want an error")
				}
				if n := open.Load(); n != 0 {
					t.Errorf("%d connections stay open after %v; want none", n, err)
				}
				server.Close()
			})
		})
	}
}
