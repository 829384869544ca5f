package loading_test

import (
	"testing"

	"go.uber.org/goleak"
)

// No goroutine is left when all have returned.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
