// Package migrate holds the code of docs/migrate: for each cache that one may come from, a store of session tokens of users
// with that cache, in before, and with fastcache, in after. The pages show these files, and a test compares them.
package migrate
