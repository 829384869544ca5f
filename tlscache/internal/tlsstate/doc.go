// Package tlsstate reads what a tls.SessionState holds and does not export, and says what that weighs.
//
// A session that lives in this process is a tls.SessionState, and most of it is certificates. crypto/tls exports none of
// its fields, so this package finds them by name and type, once. If this Go has other fields, everything still works:
// certificates are not shared, and weights and facts come from SessionState.Bytes, which is documented and slower.
//
// A certificate that crypto/tls parsed points into the whole message it came in. ShareCertificates gives a session
// certificates of their own size, the same ones for all sessions that have equal ones. Bytes says what a session keeps
// from the garbage collector, each certificate in full: the others that share it could go first.
//
// A session is not to be written to once it is stored. Own returns a copy to keep, Private one to hand out.
package tlsstate
