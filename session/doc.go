// Package session is the replaceable storage scheme of TLS sessions: the counterpart of
// Erlang/OTP's behaviour ssl_session_cache_api, whose callbacks are the methods of [Store]
// and [Indexed].
//
// [Memory] keeps sessions in this process. To keep them elsewhere, write a Store of
// his own and runs session/sessiontest on it; docs/store.md says how.
//
// A session is bytes to a Store. They contain secrets: a Store must not log them, nor the
// keys that they are stored under.
package session
