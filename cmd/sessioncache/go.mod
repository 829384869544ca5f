module github.com/sessioncache/sessioncache/cmd/sessioncache

go 1.26.0

replace (
	github.com/sessioncache/sessioncache => ../../
	github.com/sessioncache/sessioncache/redisstore => ../../redisstore
)

require (
	github.com/creack/pty v1.1.24
	github.com/mattn/go-isatty v0.0.24
	github.com/sessioncache/sessioncache v0.0.0
	github.com/spf13/cobra v1.10.2
	github.com/spf13/pflag v1.0.9
	golang.org/x/term v0.48.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect
	golang.org/x/sys v0.50.0 // indirect
)
