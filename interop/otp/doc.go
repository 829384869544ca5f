// Package otp holds an OTP application that keeps the TLS sessions of Erlang/OTP's ssl in this
// cache, and tests that run ssl on it. The application is in src, its Erlang tests in test;
// docs/otp.md describes it. There is no Go code but what drives the tests.
package otp
