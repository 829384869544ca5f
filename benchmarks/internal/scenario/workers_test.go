package scenario

import (
	"runtime"
	"testing"
)

// A clock that grows by the ticks of the scheduler shows most updates as nothing, and others as some milliseconds.
func TestThreadTimeSeesEachStep(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range 1000 {
		before := threadTime()
		if took := threadTime() - before; took <= 0 {
			t.Fatalf("step %d took %v of this thread; want more than nothing", i, took)
		}
	}
}
