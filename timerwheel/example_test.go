package timerwheel_test

import (
	"fmt"

	"github.com/sessioncache/sessioncache/timerwheel"
)

// The owner sleeps until Next, says what time it is, and takes what is due.
func Example() {
	wheel := timerwheel.New(0)
	names := []string{"tea", "eggs", "bread"} // a slot is an index of the owner's own table
	wheel.Schedule(0, 180)
	wheel.Schedule(1, 390)
	wheel.Schedule(2, 3000)
	wheel.Schedule(1, 300) // soft, please
	wheel.Cancel(2)

	for {
		at, ok := wheel.Next()
		if !ok {
			break // nothing is scheduled: sleep until something is
		}
		wheel.Advance(at)
		for slot, ok := wheel.Due(); ok; slot, ok = wheel.Due() {
			fmt.Println(at, names[slot])
		}
	}
	// Output:
	// 180 tea
	// 300 eggs
}

// An owner with a lock lets go of it when the budget is used up, and comes back if Next says so.
func ExampleWheel_DueWithin() {
	wheel := timerwheel.New(0)
	for slot := range uint32(600) {
		wheel.Schedule(slot, 50)
	}
	wheel.Advance(50)
	for at, ok := wheel.Next(); ok && at <= 50; at, ok = wheel.Next() {
		due, budget := 0, 256
		for _, ok := wheel.DueWithin(&budget); ok; _, ok = wheel.DueWithin(&budget) {
			due++
		}
		fmt.Println(due, "under one lock,", wheel.Len(), "left")
	}
	// Output:
	// 256 under one lock, 344 left
	// 256 under one lock, 88 left
	// 88 under one lock, 0 left
}
