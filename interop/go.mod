module github.com/sessioncache/sessioncache/interop

go 1.26

replace github.com/sessioncache/sessioncache => ../
