//go:build !race

// The race detector has nothing to find here: what it would watch runs in other processes.

package otp

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/interop/parts"
)

// run runs a program and returns its output. It fails the test if the program fails. EUnit ends
// what hangs; how long the rest takes is the machine's affair.
func run(t *testing.T, env []string, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, append(os.Environ(), env...), 10*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// build builds the port program into a directory of the test.
func build(t *testing.T) string {
	t.Helper()
	parts.Need(t, "otp")
	program := filepath.Join(t.TempDir(), "sessioncache")
	run(t, nil, "../../cmd/sessioncache", "go", "build", "-o", program, ".") // a module of its own
	return program
}

// compile compiles the application and its tests, and returns where they are.
func compile(t *testing.T) string {
	t.Helper()
	ebin := t.TempDir()
	args := []string{"-Werror", "+debug_info", "-o", ebin}
	for _, pattern := range []string{"src/*.erl", "test/*.erl"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, error %v", pattern, len(files), err)
		}
		args = append(args, files...)
	}
	run(t, nil, ".", "erlc", args...)
	return ebin
}

// list prints "module test" for every EUnit test.
const list = `[io:format("~s ~s~n", [M, F]) || M <- [sessioncache_api_tests, sessioncache_fault_tests, sessioncache_tls_tests],
	{F, 0} <- M:module_info(exports), lists:suffix("_test_", atom_to_list(F))], halt().`

// TestErlang runs each test of the application in a node of its own, where ssl is as it was
// installed and has no session yet, with a port program that is no other test's.
// OTP_LARGE=1 makes some of them larger.
func TestErlang(t *testing.T) {
	program, ebin := build(t), compile(t)
	tests := strings.Split(strings.TrimSpace(run(t, nil, ".", "erl", "-noshell", "-pa", ebin, "-eval", list)), "\n")
	if len(tests) < 20 {
		t.Fatalf("%d tests found; want all of them", len(tests))
	}
	for _, line := range tests {
		module, name, _ := strings.Cut(line, " ")
		t.Run(module+"/"+strings.TrimSuffix(name, "_test_"), func(t *testing.T) {
			t.Parallel()
			own := filepath.Join(t.TempDir(), "sessioncache")
			if err := os.Link(program, own); err != nil {
				t.Fatal(err)
			}
			t.Log(run(t, []string{"SESSIONCACHE_PROGRAM=" + own}, t.TempDir(), "erl", "-noshell", "-pa", ebin, "-eval",
				"R = eunit:test({generator, "+module+", "+name+"}, [verbose]), halt(case R of ok -> 0; _ -> 1 end)."))
		})
	}
}

// consult prints ok if rebar.config is a list of terms, and the resource file is one that names
// no module and loads as an application. rebar3 would fill in the modules.
const consult = `{ok, Config} = file:consult("rebar.config"), true = proplists:is_defined(erl_opts, Config), [] = proplists:get_value(deps, Config),
	{ok, [{application, sessioncache, Properties} = App]} = file:consult("src/sessioncache.app.src"),
	[] = proplists:get_value(modules, Properties), ok = application:load(App),
	{ok, Vsn} = application:get_key(sessioncache, vsn), true = is_list(Vsn),
	{ok, Needs} = application:get_key(sessioncache, applications), false = lists:member(ssl, Needs),
	{_, Opts} = lists:keyfind(erl_opts, 1, Config), io:format("~w", [Opts]), halt().`

// The layout is the one that rebar3 and other build tools know: sources and a resource file in src,
// which compile without warnings under the options in rebar.config.
func TestBuildToolsFindAnApplication(t *testing.T) {
	parts.Need(t, "otp")
	options := run(t, nil, ".", "erl", "-noshell", "-eval", consult)
	if want := "[debug_info,warnings_as_errors,warn_missing_spec]"; options != want {
		t.Fatalf("erl_opts is %q; want %q, which the next step passes on", options, want)
	}
	sources, err := filepath.Glob("src/*.erl")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d sources, error %v", len(sources), err)
	}
	ebin := t.TempDir()
	run(t, nil, ".", "erlc", append([]string{"+debug_info", "+warnings_as_errors", "+warn_missing_spec", "-o", ebin}, sources...)...)
	for _, source := range sources {
		module := strings.TrimSuffix(filepath.Base(source), ".erl")
		run(t, nil, ".", "erl", "-noshell", "-pa", ebin, "-eval", "{module, _} = code:load_file("+module+"), halt().")
	}
}
