package replay

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
)

const shipped = "../../traces"

// The figures that come with the traces: LRU by others' simulators, FIFO by our own older one.
var oracles = []struct {
	trace, policy string
	places        int
	percent       float64
	shipped       bool
}{
	{"web07", peers.LRU, 1200, 51.65, true},
	{"web12", peers.LRU, 1200, 66.85, true},
	{"web07", peers.FIFO, 1200, 49.05, true},
	{"web12", peers.FIFO, 1200, 62.96, true},
	{"OLTP", peers.LRU, 1000, 32.83, false},
	{"OLTP", peers.LRU, 2000, 42.47, false},
}

func TestYardsticksHitAsOthersReport(t *testing.T) {
	files, err := Files(shipped, "../../../../shared/traces", os.Getenv("SESSIONCACHE_TRACES"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range oracles {
		i := slices.IndexFunc(files, func(f string) bool { return nameOf(f) == o.trace })
		if i < 0 {
			if o.shipped {
				t.Errorf("the trace %s is not in %s", o.trace, shipped)
			}
			continue // not everybody has the large ones
		}
		trace, err := Read(files[i], 0)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := peers.Find(o.policy)
		got := 100 * float64(trace.Hits(p.Open(peers.Config{Capacity: o.places}), trace.Keys())) / float64(len(trace.Requests))
		if math.Abs(got-o.percent) > 0.005 {
			t.Errorf("%s hits %.2f %% of %s with %d places; want %.2f %%", o.policy, got, o.trace, o.places, o.percent)
		}
	}
}

func TestTracesHaveTheirSize(t *testing.T) {
	for name, want := range map[string][2]int{"web07": {76_118, 20_484}, "web12": {95_607, 13_756}} {
		trace, err := Read(filepath.Join(shipped, name+".trace.gz"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int{len(trace.Requests), trace.Unique}; got != want {
			t.Errorf("%s has %v requests and keys; want %v", name, got, want)
		}
		part, err := Read(filepath.Join(shipped, name+".trace.gz"), 1000)
		if err != nil || !slices.Equal(part.Requests, trace.Requests[:1000]) {
			t.Errorf("%s cut to 1000 requests differs from its beginning, or %v", name, err)
		}
	}
}

func TestFormats(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		file, text string
		want       []uint32
	}{
		{"words.trace", "\x00\x00\x00\x07\x01\x00\x00\x00\x00\x00\x00\x07", []uint32{0, 1, 0}},
		{"runs.lis", "5 3 0 0\n6 1 0 1\n", []uint32{0, 1, 2, 1}},
		{"rows.csv", "op_time,key,op\n1,a,GET\n2,b,GET\n3,a,SET\n", []uint32{0, 1, 0}},
	} {
		path := filepath.Join(dir, tt.file)
		if err := os.WriteFile(path, []byte(tt.text), 0o666); err != nil {
			t.Fatal(err)
		}
		trace, err := Read(path, 0)
		if err != nil || !slices.Equal(trace.Requests, tt.want) {
			t.Errorf("%s: requests %v, %v; want %v", tt.file, trace.Requests, err, tt.want)
		}
	}
	for _, tt := range []struct{ name, text string }{
		{"cut.trace", "\x00\x00\x00"}, {"short.lis", "5\n"}, {"words.lis", "a b\n"}, {"other.csv", "a,b\n1,2\n"}, {"bad.trace.gz", "no gzip"},
	} {
		path := filepath.Join(dir, tt.name)
		if err := os.WriteFile(path, []byte(tt.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path, 0); err == nil {
			t.Errorf("%s is broken and was read", tt.name)
		}
	}
	files, err := Files(dir, filepath.Join(dir, "no such directory"))
	if err != nil || len(files) != 8 {
		t.Errorf("Files found %d, %v; want 8", len(files), err)
	}
}

// bestOf returns the most hits that any sequence of evictions can have, by trying all.
func bestOf(requests []uint32, size int) int { return tryAll(requests, nil, size) }

func tryAll(requests, resident []uint32, size int) int {
	if len(requests) == 0 {
		return 0
	}
	number, rest := requests[0], requests[1:]
	if slices.Contains(resident, number) {
		return 1 + tryAll(rest, resident, size)
	}
	if len(resident) < size {
		return tryAll(rest, append(slices.Clone(resident), number), size)
	}
	most := 0
	for victim := range resident {
		others := slices.Clone(resident)
		others[victim] = number
		most = max(most, tryAll(rest, others, size))
	}
	return most
}

func TestBeladyIsTheBestThatCanBe(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		size := 1 + rng.IntN(3)
		trace := Trace{Unique: 6, Requests: make([]uint32, 14)}
		for i := range trace.Requests {
			trace.Requests[i] = uint32(rng.IntN(6))
		}
		if got, want := trace.Belady(size), bestOf(trace.Requests, size); got != want {
			t.Fatalf("Belady(%d) of %v = %d hits; want %d", size, trace.Requests, got, want)
		}
	}
}

func TestBeladyIsAboveLRU(t *testing.T) {
	p, _ := peers.Find(peers.LRU)
	for _, trace := range Made(30_000) {
		for _, size := range trace.SizesOf() {
			lru := trace.Hits(p.Open(peers.Config{Capacity: size}), trace.Keys())
			if belady := trace.Belady(size); belady < lru {
				t.Errorf("%s with %d places: Belady hits %d, LRU %d", trace.Name, size, belady, lru)
			}
		}
	}
}

func TestMadeTracesAreWhatTheySay(t *testing.T) {
	lru, _ := peers.Find(peers.LRU)
	fifo, _ := peers.Find(peers.FIFO)
	for _, trace := range Made(100_000) {
		again := Made(100_000)
		i := slices.IndexFunc(again, func(o *Trace) bool { return o.Name == trace.Name })
		if len(trace.Requests) != 100_000 || !slices.Equal(trace.Requests, again[i].Requests) {
			t.Errorf("%s has %d requests, or is another each time", trace.Name, len(trace.Requests))
		}
		size := trace.SizesOf()[0]
		share := func(p peers.Peer) float64 {
			return float64(trace.Hits(p.Open(peers.Config{Capacity: size}), trace.Keys())) / 100_000
		}
		if trace.Name == "loop" && share(lru) > 0.2 {
			t.Errorf("LRU hits %.2f of the loop; it should hardly hit a loop longer than itself", share(lru))
		}
		if trace.Name == "recency" && share(lru) <= share(fifo) {
			t.Errorf("LRU hits %.3f of recency, FIFO %.3f; recency is what LRU is for", share(lru), share(fifo))
		}
	}
}
