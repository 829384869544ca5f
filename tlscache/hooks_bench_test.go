package tlscache

import (
	"crypto/tls"
	"testing"
)

// BenchmarkHooks times UnwrapSession and WrapSession of one resumption; stock is what crypto/tls does
// without hooks.
func BenchmarkHooks(b *testing.B) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(b, ServerConfig{})
		m := capture(b, w, w.client(version))
		for _, server := range []string{"ours", "stock"} {
			b.Run("version="+tls.VersionName(version)[4:]+"/server="+server, func(b *testing.B) {
				hooks := &world{t: b, server: w.server}
				if server == "stock" {
					hooks.server = w.config(stockHooks)
				}
				ticket := hooks.wrapped(m)
				next := m.resumed()
				b.ReportAllocs()
				for b.Loop() {
					if hooks.unwrapped(ticket, m) == nil {
						b.Fatal("not found")
					}
					ticket = hooks.wrapped(next)
				}
			})
		}
	}
}
