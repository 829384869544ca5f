// Package otpport serves a session cache over a pair of pipes, to the Erlang process that
// started the program: the Go half of interop/otp, which makes the cache an
// ssl_session_cache_api of Erlang/OTP.
//
// # The protocol, version 1
//
// Both directions carry frames: a length of 4 bytes, then as many bytes as it says, what
// Erlang calls {packet, 4}. All numbers are big-endian.
//
//	request = version:8 (1)  op:8      id:64  body
//	answer  = version:8 (1)  status:8  id:64  body
//
// The owner chooses the id; the answer repeats it. Answers may come in another order than
// their requests, but each request sees the effect of all that were sent before it.
//
//	op          body                       answer
//	1 lookup    key                        ok session, or absent
//	2 update    key session                ok
//	3 delete    key                        ok, or absent
//	4 size                                 ok count:64
//	5 select    partial                    pages of sized sessions, newest first
//	6 keys                                 pages of keys, in no order
//	7 fetch     key, any number of times   pages of a key and its sized session each, without the absent
//
//	key    = sized partial, sized id       both opaque, at most 64 KiB each
//	sized  = length:32, bytes              a session that ends its frame has no length
//	pages  = any number of answers with status more, then one with status ok
//
//	status      body
//	0 ok        as above; the last answer to its request
//	1 more      a page, others follow
//	2 absent
//	3 error     code:8, then a text for people
//
//	code
//	1 version     the version is not 1
//	2 op          no such op
//	3 body        the body is not what the op wants, or the frame is too short for an id (0 is answered)
//	4 length      the frame is longer than the bound; its bytes are skipped (0 is answered)
//	5 refused     the session is not stored: the bounds are reached, or a part of the key is too long
//	6 incomplete  a frame began and did not arrive; the program ends (0 is answered)
//
// After an error with code 1 to 5 the next frame is served as if nothing had happened. A
// request is at most MaxFrame bytes, a page at most what its one session needs, or about
// 32 KiB: no listing needs a huge message, and other answers come between its pages.
package otpport
