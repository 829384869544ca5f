package faults

import "testing"

func TestAnErrorNamesEveryFault(t *testing.T) {
	var l List
	if err := l.Err("p"); err != nil {
		t.Errorf("%v of no faults; want nil", err)
	}
	l.Add("a is %d; want 1", 2)
	l.Add("b is nil")
	for pkg, want := range map[string]string{"p": "p: a is 2; want 1; b is nil", "": "a is 2; want 1; b is nil"} {
		if err := l.Err(pkg); err == nil || err.Error() != want {
			t.Errorf("Err(%q) = %v; want %q", pkg, err, want)
		}
	}
}
