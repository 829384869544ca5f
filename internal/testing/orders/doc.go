// Package orders runs concurrent code in every order that its threads' steps can take.
//
// A test that starts goroutines sees the orders that the machine happens to choose, and not the one that
// loses a wake-up once a year. Here a run has one thread at a time, each a coroutine, which stops before
// every atomic operation, every lock and every reading of the clock. Explore decides who goes on,
// repeats the run with another decision, and ends when all orders have been seen that can differ.
// Go's atomics are sequentially consistent, so what lies between two of these steps cannot be seen by
// others, provided that it is free of data races.
//
// # The code is the one that ships
//
// Check builds the package under test, and those below it, from their own source files; only the
// imports of sync/atomic, sync, time and hash/maphash lead to packages of the same names in std, each
// go statement to Go, channels to Close and Receive. There is no model that could drift from the code. A fault of
// internal/testing/mutants is seen like any other change of a file.
//
// The scenarios are tests of the package itself, under the build tag sessioncache_orders. Each makes a
// small state, two or three threads of an operation or two, and says what must hold at each answer
// and at rest.
//
// # Which orders can differ
//
// Two steps that touch different variables, or only read one, may be swapped without a difference. Explore
// therefore runs one order of each class of equals: it notes which steps of a run raced, as happens-before
// by vector clocks tells, and tries for each such pair the other order from the point before it
// (source sets: Abdulla, Aronis, Jonsson, Sagonas, "Optimal dynamic partial order reduction", POPL
// 2014); sleep sets keep it from repeating itself. That none is lost is itself a test: random small
// programs have the same results here and where every order is run.
//
// # Plain accesses
//
// The fields that the code shares under a lock, or publishes by an atomic store, are accessed by way of Reading
// and Writing, which are no steps. In every order the vector clocks tell whether two accesses to one, of
// which one writes, have neither happened before the other: that is a data race and fails the run. So an entry
// that is completed after its publication is found, and a field that is read without its lock, by a
// scenario in which the race detector had to wait for the schedule. Check names the fields; an array
// counts as one.
//
// # Time
//
// The clock stands still unless a thread calls Advance. A timer that is due runs whenever the explorer
// likes, up to the lateness that the scenario allows: Advance waits for a timer that would be
// later. So a pass of the alarm meets every instant, and late timers are the rule.
//
// # What it cannot see
//
// Orders of more threads or operations than a scenario has; plain accesses to other variables, such as those
// within the timing wheel, which the race detector covers; the memory of a machine that reorders, from which
// Go's memory model shields us; and loops that wait for another thread without saying so, which it
// reports as endless.
package orders
