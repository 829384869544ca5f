package main

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestRegressionsAreSeen(t *testing.T) {
	recorded := []count{{"lookup", 100, 2}, {"update", 1000, 4}}
	for _, tt := range []struct {
		name    string
		counted []count
		want    int
	}{
		{"nothing changed", recorded, 0},
		{"faster", []count{{"lookup", 50, 1}, {"update", 900, 3}}, 0},
		{"within the tolerance", []count{{"lookup", 101.9, 2.18}}, 0},
		{"more instructions", []count{{"lookup", 102.1, 2}}, 1},
		{"more misses", []count{{"lookup", 100, 2.3}}, 1},
		{"both, of two", []count{{"lookup", 102.1, 2.3}, {"update", 1100, 5}}, 4},
		{"a new operation", []count{{"new", 9999, 99}}, 0},
	} {
		if got := regressions(tt.counted, recorded); len(got) != tt.want {
			t.Errorf("%s: %d regressions, %v; want %d", tt.name, len(got), got, tt.want)
		}
	}
}

func TestStateIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guard.txt")
	counts := []count{{"lookup-hit", 123.4, 1.5}, {"update-new/noindex", 2000, 0}}
	if err := write(path, counts); err != nil {
		t.Fatal(err)
	}
	got, err := read(path)
	if err != nil || !slices.Equal(got, counts) {
		t.Errorf("read back %v, %v; want %v", got, err, counts)
	}
	if _, err := read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a state that does not exist was read")
	}
}

func TestProfilesAreRead(t *testing.T) {
	got, err := parseProfile("version: 1\nevents: Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw\n\nfn=(1) f\n0 5\n\ntotals: 900 1 2 3 4 5 6 77 8\n")
	if err != nil || got != [2]int{900, 77} {
		t.Errorf("parseProfile = %v, %v; want 900 instructions and 77 misses", got, err)
	}
	for _, broken := range []string{"", "events: Ir\ntotals: 5\n", "events: Ir DLmr\ntotals: x y\n"} {
		if _, err := parseProfile(broken); err == nil {
			t.Errorf("parseProfile accepts %q", broken)
		}
	}
}

func TestOperationsCheckThemselves(t *testing.T) {
	names := map[string]bool{}
	for _, op := range operations {
		if names[op.name] {
			t.Errorf("two operations are called %s", op.name)
		}
		names[op.name] = true
		if err := op.repeat(300); err != nil {
			t.Errorf("%s: %v", op.name, err)
		}
	}
	if err := runChild("no-such-operation,5"); err == nil {
		t.Error("an operation that does not exist was run")
	}
	wrong := operation{name: "wrong", fresh: true, run: lookup}
	if err := wrong.repeat(1); err == nil {
		t.Error("a lookup that must hit and misses was counted")
	}
}
