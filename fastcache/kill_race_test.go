package fastcache

import (
	"sync"
	"testing"
	"time"
)

// Of all who kill a session at once one wins. Two goroutines that kill a long row of
// sessions in the same order meet often: the one behind finds them dead and catches up.
func TestPromise4OneKillWins(t *testing.T) {
	const killers, meetings, row = 2, 40, 1 << 13
	// A busy machine runs one after the other; then they must be sent off again.
	for met, begin := 0, time.Now(); met < meetings && time.Since(begin) < 3*time.Second; {
		nodes := make([]*node[int], row)
		for i := range nodes {
			nodes[i] = newNode(Key{ID: "id"}, i, false, false)
			nodes[i].Item.until.Store(never)
		}
		var wins [killers]int
		var wg sync.WaitGroup
		start := make(chan struct{})
		for k := range killers {
			wg.Go(func() {
				<-start
				for _, n := range nodes {
					if kill(n, Taken, 0) {
						wins[k]++
					}
				}
			})
		}
		close(start)
		wg.Wait()
		if wins[0] > row/100 && wins[1] > row/100 {
			met++
		}
		if wins[0]+wins[1] != row {
			t.Fatalf("%d sessions were killed %v times; want each once", row, wins)
		}
	}
}
