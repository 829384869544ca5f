package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

const root = "../../.."

// The list must not rot: who changes a line that a mutant changes, changes the mutant too.
func TestEachMutantFitsTheCode(t *testing.T) {
	all, err := readAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 36 {
		t.Errorf("the list has %d mutants; want at least 36", len(all))
	}
	for _, m := range all {
		if _, err := m.mutated(root); err != nil {
			t.Error(err)
		}
		var tests string
		for _, dir := range m.hinted() {
			tests += testsOf(t, dir)
		}
		for name := range strings.SplitSeq(m.tests, "|") {
			if name != "" && !strings.Contains(tests, "\nfunc "+name+"(") {
				t.Errorf("%s: %q have no test %s", m.name, m.hinted(), name)
			}
		}
	}
}

// testsOf returns the text of all test files of a package.
func testsOf(t *testing.T, dir string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	var all strings.Builder
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func TestParseReadsEveryLine(t *testing.T) {
	got, err := parse("list.txt", `# A comment.

mutant one-line
file   index/group.go
breaks something
tests  TestA|TestB
race
# A comment within.
- 	n--
+ 	n++


mutant many-lines
file timerwheel/list.go
breaks something else
- if a {
-
- 	- b
- }
`, map[string]bool{})
	want := []mutant{
		{"one-line", "index/group.go", "something", "TestA|TestB", true, "\tn--", "\tn++"},
		{"many-lines", "timerwheel/list.go", "something else", "", false, "if a {\n\n\t- b\n}", ""},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parse = %+v, %v; want %+v", got, err, want)
	}
}

func TestParseNamesTheFault(t *testing.T) {
	const fine = "mutant a\nfile index/group.go\nbreaks x\n- y"
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown word", fine + "\nold y", `list.txt:1: line begins with "old"; want mutant, file, breaks, tests, race, - or +`},
		{"the line is that of the block", "# one\n\n\n- y", `list.txt:4: name is ""; want words-with-dashes after mutant`},
		{"a name that is no file name", "mutant a/b", `list.txt:1: name is "a/b"; want words-with-dashes after mutant`},
		{"a file of tests' helpers", "mutant a\nfile internal/testing/model/model.go", `list.txt:1: a: file is "internal/testing/model/model.go"; want one of a package that has a list here`},
		{"no promise", "mutant a\nfile index/group.go\n- y", "list.txt:1: a: want the promise that it breaks, after breaks"},
		{"no old text", "mutant a\nfile index/group.go\nbreaks x\n+ y", "list.txt:1: a: want the text that it replaces, after -"},
		{"no change", fine + "\n+ y", "list.txt:1: a: the new text is the old one"},
		{"a name twice", fine + "\n\n" + fine, "list.txt:6: a second mutant is named a"},
	} {
		if _, err := parse("list.txt", tt.text, map[string]bool{}); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v; want %s", tt.name, err, tt.want)
		}
	}
}

func TestOldTextMustOccurOnce(t *testing.T) {
	m := mutant{name: "a", file: "index/group.go", old: "n++", new: "n--"}
	for text, want := range map[string]string{
		"i++":      "a: its old text occurs 0 times in index/group.go; want once",
		"n++; n++": "a: its old text occurs 2 times in index/group.go; want once",
	} {
		if _, err := m.apply(text); err == nil || err.Error() != want {
			t.Errorf("apply(%q): got %v; want %s", text, err, want)
		}
	}
	if got, err := m.apply("i++; n++"); got != "i++; n--" || err != nil {
		t.Errorf("apply = %q, %v; want i++; n--", got, err)
	}
}

// wheelFault is a fault of a real file, for tests that run no go test.
var wheelFault = mutant{name: "a", file: "timerwheel/wheel.go", breaks: "a promise", tests: "TestA", old: "package timerwheel\n", new: "package timerwheel \n"}

func TestOverlayPutsTheMutantInPlaceOfTheFile(t *testing.T) {
	name, err := writeOverlay(root, filepath.Join(t.TempDir(), "a"), wheelFault)
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Replace map[string]string }
	text, _ := os.ReadFile(name)
	if err := json.Unmarshal(text, &overlay); err != nil {
		t.Fatal(err)
	}
	original, _ := filepath.Abs("../../../timerwheel/wheel.go")
	mutated, _ := os.ReadFile(overlay.Replace[original])
	if len(overlay.Replace) != 1 || !strings.Contains(string(mutated), wheelFault.new) {
		t.Errorf("overlay is %s; want the mutant for %s alone", text, original)
	}
}

func TestSurvivorIsReported(t *testing.T) {
	missing := wheelFault
	missing.old = "no such text"
	for _, tt := range []struct {
		name    string
		m       mutant
		verdict verdict // of every step
		steps   int
		want    string
		wantErr string
	}{
		{
			name: "what passes all tests survived", m: wheelFault, steps: 4,
			want:    "a    1s  SURVIVED: a promise\n0 caught, 1 survived, 0 errors in 0 s\n",
			wantErr: "mutants: 1 of 1 were not caught:\na    1s  SURVIVED: a promise\n",
		},
		{
			name: "the first failure is enough", m: wheelFault, verdict: verdict{outcome: caught, test: "TestA", how: "hang"}, steps: 1,
			want: "a    1s  TestA (hang)\n1 caught, 0 survived, 0 errors in 0 s\n",
		},
		{
			name: "what does not compile is no catch", m: wheelFault, verdict: verdict{outcome: faulty, output: "undefined: x\n"}, steps: 1,
			want:    "a    1s  ERROR: undefined: x\n0 caught, 0 survived, 1 errors in 0 s\n",
			wantErr: "mutants: 1 of 1 were not caught:\na    1s  ERROR: undefined: x\n",
		},
		{
			name: "what is not there is no catch", m: missing,
			want:    "a    1s  ERROR: a: its old text occurs 0 times in timerwheel/wheel.go; want once\n0 caught, 0 survived, 1 errors in 0 s\n",
			wantErr: "mutants: 1 of 1 were not caught:\na    1s  ERROR: a: its old text occurs 0 times in timerwheel/wheel.go; want once\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ran := 0
			v := try(root, t.TempDir(), tt.m, steps(tt.m, ""), func(string, step) verdict { ran++; return tt.verdict })
			var out strings.Builder
			r := newReport(&out, []mutant{tt.m}, false)
			r.add(tt.m, v, time.Second)
			err := r.end()
			if ran != tt.steps || out.String() != tt.want {
				t.Errorf("%d steps and\n%swant %d and\n%s", ran, &out, tt.steps, tt.want)
			}
			if got := errorText(err); got != tt.wantErr {
				t.Errorf("got error %q; want %q", got, tt.wantErr)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestStepsBeginWhereTheFaultIs(t *testing.T) {
	for _, tt := range []struct {
		m    mutant
		only string
		want []step
	}{
		{mutant{file: "fastcache/cache.go", tests: "TestA"}, "Histories", []step{{dir: "fastcache", tests: "Histories"}}},
		{mutant{file: "fastcache/cache.go"}, "", []step{{dir: "fastcache"}, {dir: "fuzz"}}},
		{mutant{file: "index/group.go", tests: "TestA|TestB", race: true}, "", []step{
			{dir: "index", tests: "^(TestA|TestB)$", race: true, limit: time.Minute},
			{dir: "index", race: true}, {dir: "fuzz", race: true}, {dir: "fastcache", race: true},
		}},
		{mutant{file: "tlscache/internal/guard/guard.go", tests: "TestA"}, "", []step{
			{dir: "tlscache/internal/guard", tests: "^(TestA)$", limit: time.Minute, elsewhere: true},
			{dir: "tlscache", tests: "^(TestA)$", limit: time.Minute, elsewhere: true},
			{dir: "tlscache/internal/guard"}, {dir: "tlscache"},
		}},
	} {
		if got := steps(tt.m, tt.only); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("steps(%+v, %q) = %+v; want %+v", tt.m, tt.only, got, tt.want)
		}
	}
}

// The outputs are what go test -json printed, cut short.
func TestJudgeTellsWhatCaughtTheMutant(t *testing.T) {
	const (
		run  = `{"Action":"run","Test":"TestA"}` + "\n" + `{"Action":"run","Test":"TestA/x"}` + "\n"
		ends = `{"Action":"fail","Package":"p"}` + "\n"
	)
	says := func(text string) string { return `{"Action":"output","Test":"TestA","Output":"` + text + `\n"}` + "\n" }
	for _, tt := range []struct {
		name   string
		output string
		passed bool
		want   verdict
	}{
		{name: "all pass", output: `{"Action":"pass","Package":"p"}`, passed: true, want: verdict{outcome: survived}},
		{name: "no such test", output: says("ok p 0.1s [no tests to run]"), passed: true, want: verdict{outcome: faulty}},
		{name: "a test fails in a subtest", output: run + `{"Action":"fail","Test":"TestA/x"}` + "\n" + ends, want: verdict{caught, "TestA", "", ""}},
		{name: "a test hangs", output: run + says("panic: test timed out after 1s") + ends, want: verdict{caught, "TestA", "hang", ""}},
		{name: "a race", output: run + says("WARNING: DATA RACE") + `{"Action":"fail","Test":"TestA"}` + "\n" + ends, want: verdict{caught, "TestA", "race", ""}},
		{name: "a crash", output: run + says("x") + says("fatal error: x") + ends, want: verdict{caught, "TestA", "crash", ""}},
		{name: "no build", output: `{"Action":"build-output","Output":"undefined: x\n"}` + "\n" + `{"Action":"fail","Package":"p","FailedBuild":"p"}`, want: verdict{outcome: faulty}},
		{name: "go itself fails", want: verdict{outcome: faulty}},
	} {
		got := judge([]byte(tt.output), !tt.passed)
		if got.output = ""; got != tt.want {
			t.Errorf("%s: judge = %+v; want %+v", tt.name, got, tt.want)
		}
	}
}

// A slow machine makes no mutant look caught: what does not end in time runs again, with as much time as the tests
// without the fault show to be due.
func TestASlowMachineIsNoHang(t *testing.T) {
	for _, tt := range []struct {
		name    string
		needs   time.Duration // by the tests with the fault
		without time.Duration // what they need without it
		want    verdict
		ran     string // the limits
		cleanly int    // runs without the fault
	}{
		{"ends in time", time.Minute, time.Minute, verdict{outcome: survived}, "[1m0s]", 0},
		{"hangs, on a machine that has the time", time.Hour, 12 * time.Second, verdict{outcome: caught, how: hang}, "[1m0s]", 1},
		{"only slow", 3 * time.Minute, 2 * time.Minute, verdict{outcome: survived}, "[1m0s 10m0s]", 1},
		{"hangs, on a slow machine", time.Hour, 2 * time.Minute, verdict{outcome: caught, how: hang}, "[1m0s 10m0s]", 1},
	} {
		var ran []time.Duration
		cleanly := 0
		got := patiently(time.Minute, func(limit time.Duration) verdict {
			ran = append(ran, limit)
			if tt.needs > limit {
				return verdict{outcome: caught, how: hang}
			}
			return verdict{outcome: survived}
		}, func() time.Duration { cleanly++; return tt.without })
		if got != tt.want || fmt.Sprint(ran) != tt.ran || cleanly != tt.cleanly {
			t.Errorf("%s: %+v, with limits %v, %d times without the fault; want %+v, %v, %d", tt.name, got, ran, cleanly, tt.want, tt.ran, tt.cleanly)
		}
	}
}

func TestHeadCutsALongText(t *testing.T) {
	for text, want := range map[string]string{"": "", "a": "a", "a\nb": "a\nb", "a\nb\n": "a\nb\n", "a\nb\nc\nd": "a\nb\n"} {
		if got := head(text, 2); got != want {
			t.Errorf("head(%q, 2) = %q; want %q", text, got, want)
		}
	}
}

func TestFlagsKeepToTwoAtATime(t *testing.T) {
	opt, err := parseFlags([]string{"-run", "^idle", "-p", "8", "-timeout", "1m", "-v"})
	want := options{run: regexp.MustCompile("^idle"), timeout: time.Minute, jobs: 2, verbose: true}
	if err != nil || !reflect.DeepEqual(opt, want) {
		t.Errorf("parseFlags = %+v, %v; want %+v", opt, err, want)
	}
	done := make(chan int, 3)
	parallel(2, []int{1, 2, 3}, func(n int) { done <- n })
	if sum := <-done + <-done + <-done; sum != 6 {
		t.Errorf("parallel did items of sum %d; want each of 1, 2 and 3 once", sum)
	}
}
