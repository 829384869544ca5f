// Package interop tests tlscache against other implementations: gRPC, OpenSSL, nginx, curl, Go's own
// client. It is a module of its own, so that the core depends on none of them. The tests need
// openssl, nginx and curl; scripts/tools.sh installs them.
package interop
