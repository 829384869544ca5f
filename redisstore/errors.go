package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/redis/rueidis"
)

// Errors that callers compare with errors.Is. What a method returns may wrap them. No error has a key, a
// session, an address or any text of the server in it, for a server's errors quote what it was sent.
var (
	// ErrUnavailable says that there is no connection, or that no answer came in time. It ends by itself.
	ErrUnavailable = errors.New("redisstore: server cannot be reached")

	// ErrNotServing says that the server answers, and that it serves nobody at present: it loads its data,
	// runs a long script, has lost its primary, or its cluster is down or moving the slot.
	ErrNotServing = errors.New("redisstore: server is not serving at present")

	// ErrReadOnly says that the server accepts no writes: it is a replica, or cannot persist them, or has
	// too few replicas.
	ErrReadOnly = errors.New("redisstore: server accepts no writes")

	// ErrFull says that the server has reached its maxmemory and evicts nothing.
	ErrFull = errors.New("redisstore: server is out of memory")

	// ErrDenied says that the server knows neither user nor password, or that the user may not do this.
	ErrDenied = errors.New("redisstore: server denies access")

	// ErrForeign says that something else is stored under a key with our prefix.
	ErrForeign = errors.New("redisstore: key is in use for something else")

	// ErrUnsupported says that the server lacks a command: it is older than Redis 6.2, or has it renamed.
	ErrUnsupported = errors.New("redisstore: server lacks a command")

	// ErrProtocol says that an answer was none that the command has.
	ErrProtocol = errors.New("redisstore: server gave an answer that makes no sense")

	// ErrServer is any other error of the server.
	ErrServer = errors.New("redisstore: server reports an error")

	// ErrNoScripts is returned by SelectSession, TakeNewest and DeletePartial with Config.NoScripts.
	ErrNoScripts = errors.New("redisstore: needs scripts, and NoScripts is set")
)

// codes are the words that a server's errors begin with.
var codes = map[string]error{
	"LOADING": ErrNotServing, "BUSY": ErrNotServing, "MASTERDOWN": ErrNotServing, "CLUSTERDOWN": ErrNotServing,
	"TRYAGAIN": ErrNotServing, "MOVED": ErrNotServing, "ASK": ErrNotServing, "UNBLOCKED": ErrNotServing,
	"READONLY": ErrReadOnly, "MISCONF": ErrReadOnly, "NOREPLICAS": ErrReadOnly,
	"OOM":    ErrFull,
	"NOPERM": ErrDenied, "NOAUTH": ErrDenied, "WRONGPASS": ErrDenied, "DENIED": ErrDenied,
	"WRONGTYPE": ErrForeign,
	"NOPROTO":   ErrUnsupported,
	"NOSCRIPT":  ErrServer, // a script that EVAL has just run: whoever flushes scripts does so all the time
}

// errOfServer returns our error for a server's, by its code alone.
func errOfServer(text string) error {
	text = strings.TrimPrefix(text, "ERR ") // the client library has cut it off already
	code, _, _ := strings.Cut(text, " ")
	if err, ok := codes[code]; ok {
		return fmt.Errorf("%w (%s)", err, code)
	}
	for _, p := range phrases {
		if strings.Contains(text, p.has) {
			return p.err
		}
	}
	if strings.HasPrefix(text, "Error running script") {
		return errOfScript(text)
	}
	return ErrServer // the first word may be anything
}

// phrases are in errors without a code of their own.
var phrases = []struct {
	has string
	err error
}{
	{"nknown command", ErrUnsupported}, // of Redis; in a script with a capital
	{"nknown subcommand", ErrUnsupported},
	{"nknown Redis command", ErrUnsupported},
	{"non local key", ErrNotServing}, // in a script, while the slot moves
	{"executing the script can't", ErrDenied},
	{"invalid password", ErrDenied},
	{"invalid username-password", ErrDenied},
}

// errOfScript looks for the code where Redis before 7 has it: behind the place in the script.
func errOfScript(text string) error {
	for word := range strings.FieldsSeq(text) {
		if err, ok := codes[strings.TrimPrefix(word, "-")]; ok {
			return fmt.Errorf("%w (in a script)", err)
		}
	}
	if strings.Contains(text, "maxmemory") {
		return fmt.Errorf("%w (in a script)", ErrFull)
	}
	return fmt.Errorf("%w (in a script)", ErrServer)
}

// errOf returns our error for one of the client library; nil stays nil.
func errOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoDial), errors.Is(err, rueidis.ErrClosing):
		return errNoConnection
	}
	if e, ok := rueidis.IsRedisErr(err); ok {
		return errOfServer(e.Error())
	}
	if rueidis.IsParseErr(err) || errors.Is(err, errFrame) {
		return ErrProtocol
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, reason(err))
}

// errNoConnection is what calls get that do not wait for one.
var errNoConnection = fmt.Errorf("%w: there is no connection", ErrUnavailable)

// reason says why a connection failed, without saying to where.
func reason(err error) string {
	var errno syscall.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, context.Canceled):
		return "the Store is closing"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	}
	return "the connection failed"
}
