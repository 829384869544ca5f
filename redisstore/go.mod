module github.com/sessioncache/sessioncache/redisstore

go 1.26

replace github.com/sessioncache/sessioncache => ../

require (
	github.com/redis/rueidis v1.0.79
	github.com/sessioncache/sessioncache v0.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
