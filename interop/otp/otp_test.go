//go:build !race

// The race detector has nothing to find here: what it would watch runs in other processes.

package otp

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// run runs a program and returns its output. It fails the test if the program fails, or
// takes longer than any should.
func run(t *testing.T, env []string, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
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
	program := filepath.Join(t.TempDir(), "sessioncache")
	run(t, nil, "../..", "go", "build", "-o", program, "./cmd/sessioncache")
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

// The layout is one that rebar3 builds, too, without a network.
func TestRebar3BuildsTheApplication(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "src"), os.DirFS("src")); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("rebar.config")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rebar.config"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, []string{"HOME=" + dir, "REBAR_OFFLINE=1"}, dir, "rebar3", "compile")
	built, err := filepath.Glob(filepath.Join(dir, "_build/default/lib/sessioncache/ebin/*"))
	sources, _ := filepath.Glob("src/*")
	if err != nil || len(built) != len(sources) {
		t.Errorf("rebar3 built %d files, error %v; want %d", len(built), err, len(sources))
	}
}
