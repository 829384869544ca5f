// Package model says what a session cache may answer. It has one language of operations, a
// plain reference cache, and a driver that applies a run of operations to both a subject and
// the reference and stops at the first answer that the contract does not allow.
//
// A run can also be recorded, for Diff to compare with the same run by a cache that is laid out
// otherwise, and Shrink makes a failing run short.
//
// # What it isn't
//
// It is sequential: one operation at a time, in virtual time. Races are for other tests. And
// the reference predicts no eviction: which session goes is the cache's choice. The reference
// follows the reports of removals instead, and judges each: was the session there, is the reason
// legal for this operation at this moment, was room needed at all.
//
// The package imports nothing of ours, so that any package's test may use it: it brings its own
// plain types, and a Subject translates.
package model
