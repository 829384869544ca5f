package orders

import "testing"

// All runs a scenario in all orders that can differ, fails the test if one of them fails, and logs how
// many there were.
func All(t *testing.T, scenario func(*Run)) {
	t.Helper()
	result := Explore(scenario)
	if result.Failure != "" {
		t.Errorf("%s\n%v", result.Failure, result)
		return
	}
	t.Logf("%s: %v", t.Name(), result)
}
