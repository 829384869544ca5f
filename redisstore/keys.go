package redisstore

import (
	"encoding/base64"
	"strings"

	"github.com/sessioncache/sessioncache/session"
)

// A session is one string key, and a partial key's index one sorted set:
//
//	sc:s{.aG9zdDo0NDM}id      the session, under a TTL of its own
//	sc:i{.aG9zdDo0NDM}        the ids of the partial key's sessions, the newest with the highest score
//
// The partial key is encoded, so no brace of it ends the tag; the id stands behind, where every byte is
// its own, to the end of the key. So two keys of sessions are never the same key of the server. The dot
// keeps the tag of an empty partial key from being none, which would be hashed whole: a partial key's
// sessions and its index share a slot of a cluster.
const (
	sessionKind = "s{."
	indexKind   = "i{."
	tagEnd      = "}"
)

// names are the keys of one partial key.
type names struct {
	head  string // of every session: its key without the id
	index string
}

// nameOf returns the keys of a partial key.
func (s *Store) nameOf(partial string) names {
	tag := base64.RawURLEncoding.EncodeToString([]byte(partial)) + tagEnd
	return names{head: s.cfg.Prefix + sessionKind + tag, index: s.cfg.Prefix + indexKind + tag}
}

// session returns the key of a session.
func (n names) session(id string) string { return n.head + id }

// keyOf returns the session that a key of the server is of, if it is one of ours.
func (s *Store) keyOf(name string) (session.Key, bool) {
	rest, ours := strings.CutPrefix(name, s.cfg.Prefix+sessionKind)
	tag, id, ended := strings.Cut(rest, tagEnd)
	partial, err := base64.RawURLEncoding.Strict().DecodeString(tag)
	if !ours || !ended || err != nil {
		return session.Key{}, false
	}
	return session.Key{Partial: string(partial), ID: id}, true
}
