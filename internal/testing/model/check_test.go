package model

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// configs are the caches that random runs try. In tight ones nearly every Update overflows.
var configs = []Config{
	{TTL: time.Hour},                                                  // unbounded
	{TTL: time.Hour, MaxSessions: 4},                                  // count
	{TTL: time.Hour, MaxWeight: 64},                                   // weight
	{TTL: time.Hour, MaxPerPartial: 2},                                // quota
	{TTL: time.Hour, MaxPerPartial: 2, MaxSessions: 5, MaxWeight: 40}, // quota and full
	{TTL: 2 * time.Second, IdleTTL: time.Second, MaxSessions: 64},     // idle
	{TTL: time.Hour, MaxSessions: 5, InvalidateAll: true},             // invalidate
	{TTL: time.Hour, MaxSessions: 5, NoIndex: true},                   // no index
}

// randomOps draws from few keys, so that operations meet.
func randomOps(random *rand.Rand, n int) []Op {
	data := make([]byte, n*opBytes)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	ops := Decode(data)
	for i := range ops {
		ops[i].Partial %= 3
		ops[i].ID %= 6
		if ops[i].Kind == Close || ops[i].Kind == Fill && i%8 != 0 {
			ops[i].Kind = Lookup
		}
	}
	return ops
}

// checkRandom runs a mapCache with a fault through all configurations and returns what Check
// said first.
func checkRandom(fault string, runs int) error {
	for seed := range runs {
		for i, cfg := range configs {
			cfg.Reports = seed%2 == 0
			cfg.OneShard = true
			random := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
			if err := Check(newMapCache(cfg, fault), NewReference(cfg), randomOps(random, 100)); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestCheckAcceptsACorrectCache(t *testing.T) {
	if err := checkRandom("", 200); err != nil {
		t.Fatal(err)
	}
}

func TestCheckRejectsEveryFault(t *testing.T) {
	for _, tt := range []struct{ fault, want string }{
		{"returns expired", ""},
		{"expires late", ""},
		{"expires early", ""},
		{"loses an update", ""},
		{"update keeps the place", ""},
		{"update keeps the deadline", ""},
		{"stores what is present", ""},
		{"a life is never cut", ""},
		{"oldest first", ""},
		{"delete leaves it", ""},
		{"take leaves it", ""},
		{"keeps none", ""},
		{"quota is one too many", ""},
		{"bound is one too many", ""},
		{"evicts one too many", ""},
		{"a lower bound waits for an update", ""},
		{"a bound evicts one too many", ""},
		{"demote is ignored", "is demoted"},
		{"probation is ignored", "is on probation"},
		{"newest on probation first", "is on probation, too, and older"},
		{"revokes all but one", "removed"},
		{"counts too many", "size is"},
		{"close forgets reports", ""},
		{"reports twice", ""},
		{"reports the wrong reason", ""},
		{"lookup is no use", ""},
		{"peek is a use", ""},
		{"restores in another order", ""},
		{"restores a longer life", ""},
		{"restores all but one", "is missing"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			err := checkRandom(tt.fault, 50)
			if err == nil {
				t.Fatal("Check found nothing; want an error")
			}
			first, _, _ := strings.Cut(err.Error(), "\n")
			t.Log(first)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check says %s; want %q in it", first, tt.want)
			}
		})
	}
}

// A fatal is the TB of a test about failing.
type fatal struct{ said string }

func (f *fatal) Helper()                      {}
func (f *fatal) Fatalf(_ string, args ...any) { f.said = args[0].(error).Error() }

func TestRunPrintsWhatHappenedAndHowToRepeatIt(t *testing.T) {
	cfg := Config{TTL: time.Hour, Reports: true}
	var tb fatal
	Run(&tb, newMapCache(cfg, "delete leaves it"), NewReference(cfg), []Op{
		{Kind: Update, Partial: 1, ID: 1}, {Kind: Delete, Partial: 1, ID: 1},
	})
	for _, want := range []string{"operation 1, Delete{\"a\" \"b\"}", "was not reported; want deleted", "Delete{\"a\" \"b\"} = true",
		"{Kind: model.Delete, Partial: 1, ID: 1}"} {
		if !strings.Contains(tb.said, want) {
			t.Errorf("Run says %s\nwant %q in it", tb.said, want)
		}
	}
}

// A panicky cache panics in Size.
type panicky struct{ *mapCache }

func (panicky) Size() int { panic("size broke") }

func TestAPanicOfTheSubjectShowsTheTrace(t *testing.T) {
	defer func() {
		said, _ := recover().(string)
		if !strings.Contains(said, "size broke") || !strings.Contains(said, "model.Clear") {
			t.Errorf("Check panics with %q; want the subject's panic and the trace", said)
		}
	}()
	cfg := Config{TTL: time.Hour}
	_ = Check(panicky{newMapCache(cfg, "")}, NewReference(cfg), []Op{{Kind: Clear}})
}
