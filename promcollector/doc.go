// Package promcollector tells Prometheus how a cache, a TLS server or client, or a keyring fares. Each has a collector, to be
// registered once:
//
//	collector, err := promcollector.ForServer("public", sessions)
//	...
//	err = registry.Register(collector)
//
// A scrape takes one Stats of each. Every series has the labels name, which is the argument of that name, and role: cache, server,
// client or keyring. No label has a value that peers choose. The page docs/metrics.md lists the metrics and says which to alarm on;
// the directories alerts and grafana have rules and a dashboard.
package promcollector
