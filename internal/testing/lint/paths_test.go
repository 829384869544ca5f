package lint

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// machinePath matches an absolute path into a person's home or work directory, but not
// the same words inside a longer path or a URL.
var machinePath = regexp.MustCompile(`(?:^|[^\w.~%})>*-])/(?:work|root|home|Users)/`)

// machinePaths reports lines of text files that name such a path. It looks at every
// file below fsys but at git's own and at those that skip names.
func machinePaths(fsys fs.FS, skip []string) (faults []string, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" && d.IsDir():
			return fs.SkipDir
		case !d.Type().IsRegular() || d.Name() == ".git" || slices.Contains(skip, name):
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil || bytes.IndexByte(text, 0) >= 0 { // binary
			return err
		}
		line := 0
		for text := range bytes.Lines(text) {
			line++
			if machinePath.Match(text) {
				faults = append(faults, fmt.Sprintf("%s:%d: names a path of one machine: %s", name, line, bytes.TrimSpace(text)))
			}
		}
		return nil
	})
	return faults, err
}

// ignored lists the files that .gitignore names: profiles and such may hold any path.
// Without git there is no list, and the rule is stricter, not off.
func ignored(root string) []string {
	out, err := exec.Command("git", "-C", root, "ls-files", "-z", "--others", "--ignored", "--exclude-standard").Output()
	if err != nil {
		return nil
	}
	return strings.Split(string(out), "\x00")
}

func TestFilesNameNoMachinePaths(t *testing.T) {
	const root = "../../.."
	faults, err := machinePaths(os.DirFS(root), ignored(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

func TestMachinePathsReportsBrokenFiles(t *testing.T) {
	// Put together here, or this file would break the rule itself.
	home, work := "/"+"root/go", "/"+"work/main"
	faults, err := machinePaths(mapFS(map[string]string{
		"README.md":    "fine\ncd " + work + "\nhttps://example.com" + work + "\n../.." + work,
		".ci/run":      work,
		"a/testdata/x": "file://" + home,
		"a/binary":     "\x00" + work,
		"a/cpu.prof":   work,
		".git/config":  work,
	}), []string{"a/cpu.prof"})
	want := []string{
		".ci/run:1: names a path of one machine: " + work,
		"README.md:2: names a path of one machine: cd " + work,
		"a/testdata/x:1: names a path of one machine: file://" + home,
	}
	if err != nil || !slices.Equal(faults, want) {
		t.Errorf("got %q, %v; want %q", faults, err, want)
	}
}
