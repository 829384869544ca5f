package main

import (
	"errors"
	"flag"
	"strconv"
	"time"
)

// A number is the value of a flag that is a whole number or a duration. Where what stands on the command line is
// none, its error says what is wanted; package flag says "parse error" and no more. Ranges are checked later, all
// at once.
type number[T int | int64 | time.Duration] struct {
	value *T
	want  string // as in "a whole number from 1 to 1000"
	parse func(string) (T, error)
	print func(T) string
}

func (n number[T]) String() string {
	if n.value == nil {
		return "" // package flag asks a zero one
	}
	return n.print(*n.value)
}

func (n number[T]) Set(s string) error {
	v, err := n.parse(s)
	if err != nil {
		return errors.New("want " + n.want)
	}
	*n.value = v
	return nil
}

// intVar is flag.FlagSet's IntVar, with a range to be told.
func intVar(fs *flag.FlagSet, p *int, name string, value int, limits, usage string) {
	*p = value
	fs.Var(number[int]{p, "a whole number " + limits, strconv.Atoi, strconv.Itoa}, name, usage)
}

// int64Var is flag.FlagSet's Int64Var, with a range to be told.
func int64Var(fs *flag.FlagSet, p *int64, name string, value int64, limits, usage string) {
	*p = value
	parse := func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
	fs.Var(number[int64]{p, "a whole number " + limits, parse, func(n int64) string { return strconv.FormatInt(n, 10) }}, name, usage)
}

// durationVar is flag.FlagSet's DurationVar, with a range to be told.
func durationVar(fs *flag.FlagSet, p *time.Duration, name string, value time.Duration, limits, usage string) {
	*p = value
	fs.Var(number[time.Duration]{p, "a duration " + limits + ", as in 90s or 1h30m", time.ParseDuration, time.Duration.String}, name, usage)
}

// A boolValue is a flag that needs no value. The name makes pflag show none.
type boolValue struct{ value *bool }

func (b boolValue) IsBoolFlag() bool { return true }

func (b boolValue) String() string { return strconv.FormatBool(b.value != nil && *b.value) }

func (b boolValue) Set(s string) error {
	v, err := strconv.ParseBool(s)
	if err != nil {
		return errors.New("want a boolean, true or false")
	}
	*b.value = v
	return nil
}

// boolVar is flag.FlagSet's BoolVar, off by default, whose error says what is wanted.
func boolVar(fs *flag.FlagSet, p *bool, name, usage string) { fs.Var(boolValue{p}, name, usage) }
