module github.com/sessioncache/sessioncache/cmd/sessioncache

go 1.26.0

replace (
	github.com/sessioncache/sessioncache => ../../
	github.com/sessioncache/sessioncache/redisstore => ../../redisstore
)

require github.com/sessioncache/sessioncache v0.0.0

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect
)
