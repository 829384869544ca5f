// Package fuzz holds the fuzz targets of the core and their corpora. It has no other code.
//
//	FuzzWheel  timerwheel against a sorted list: no slot early, lost, twice or late
//	FuzzIndex  index against a map of slices: order, revocation, walks over a changing list
//	FuzzCache  fastcache against the reference in internal/testing/model: every promise of a
//	           sequential user, in virtual time
//	FuzzSnapshot
//	           fastcache's reader of snapshots: an error changes nothing, and what is read is written alike
//	FuzzOTPPort
//	           the port program of interop/otp against a map: every frame has its answer
//
// A target's seeds and corpus run with every go test. To search for more:
//
//	go test ./fuzz -run '^$' -fuzz '^FuzzCache$' -fuzztime 5m -fuzzminimizetime 10x
//
// Without -fuzzminimizetime, most of the time goes into shrinking inputs that are merely new.
// testdata/fuzz holds, of what such runs found new, a few small inputs that reach what no other does.
//
// A failure leaves its input in testdata/fuzz/FuzzX/NAME, to be committed with the fix, and is
// repeated with
//
//	go test ./fuzz -run 'FuzzX/NAME'
//
// which prints the operations, what was answered, what the model wanted, and for FuzzCache the run
// as Go source.
package fuzz
