package policy

import (
	"os"
	"strings"
	"testing"
)

// The first code block of the README is the body of fastcache's Example, line by line: what
// a newcomer copies has been compiled and run.
func TestReadmeExampleIsTheOneThatRuns(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("../../fastcache/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(readme), "```go\n")
	block, _, closed := strings.Cut(block, "```")
	if !ok || !closed {
		t.Fatal("README.md has no go code block")
	}
	if want := indent(block); !strings.Contains(string(examples), want) {
		t.Errorf("the README's example is not in fastcache/example_test.go:\n%s", want)
	}
}

// indent moves every line that is not empty one tab to the right.
func indent(block string) string {
	var b strings.Builder
	for line := range strings.Lines(block) {
		if line != "\n" {
			b.WriteByte('\t')
		}
		b.WriteString(line)
	}
	return b.String()
}
