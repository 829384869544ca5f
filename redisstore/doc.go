// Package redisstore keeps TLS sessions on Redis or Valkey, for a fleet whose members resume each other's sessions.
package redisstore
