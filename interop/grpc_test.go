package interop

import (
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

func TestGRPCResumes(t *testing.T) {
	for name, version := range versions {
		for _, mutual := range []bool{false, true} {
			if mutual {
				name += ", client certificate"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				var mu sync.Mutex
				var resumed []bool // by connection, as the server saw it
				note := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
					p, _ := peer.FromContext(ctx)
					mu.Lock()
					defer mu.Unlock()
					resumed = append(resumed, p.AuthInfo.(credentials.TLSInfo).State.DidResume)
					return next(ctx, req)
				}
				server := grpc.NewServer(grpc.Creds(credentials.NewTLS(w.config(mutual))), grpc.UnaryInterceptor(note))
				grpc_health_v1.RegisterHealthServer(server, health.NewServer())
				l := w.listen()
				done := make(chan error, 1)
				go func() { done <- server.Serve(l) }()
				defer func() {
					server.Stop()
					check(t, <-done)
				}()

				client := w.client(version)
				if mutual {
					client.Certificates = append(client.Certificates, w.cert)
				}
				for range 3 {
					conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(client)))
					check(t, err)
					_, err = grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
					check(t, err)
					check(t, conn.Close())
				}
				if len(resumed) != 3 || resumed[0] || !resumed[1] || !resumed[2] {
					t.Errorf("connections resumed = %v; want the second and third; stats %+v", resumed, w.server.Stats())
				}
			})
		}
	}
}
