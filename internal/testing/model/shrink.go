package model

import "slices"

// shrinkTries bounds how often Shrink runs a candidate: a run takes milliseconds.
const shrinkTries = 2000

// Shrink returns a short run that still fails, made of ops by leaving operations out and by making
// those that are left plainer. It returns ops itself if that does not fail (again).
func Shrink(ops []Op, fails func([]Op) bool) []Op {
	s := shrinker{ops: slices.Clone(ops), fails: fails}
	if !s.try(ops) {
		return ops
	}
	for shorter := true; shorter && s.tries < shrinkTries; {
		before := slices.Clone(s.ops)
		s.remove()
		s.simplify()
		shorter = !slices.Equal(before, s.ops)
	}
	return s.ops
}

// A shrinker has the shortest failing run so far.
type shrinker struct {
	ops   []Op
	fails func([]Op) bool
	tries int
}

// try runs a candidate and keeps it if it fails.
func (s *shrinker) try(candidate []Op) bool {
	if s.tries++; s.tries > shrinkTries || !s.fails(slices.Clone(candidate)) {
		return false
	}
	s.ops = candidate
	return true
}

// remove leaves out chunks, large ones first, down to single operations. It goes from the end: what
// follows the failure is never needed.
func (s *shrinker) remove() {
	for size := max(len(s.ops)/2, 1); size > 0; size /= 2 {
		for end := len(s.ops); end > 0 && s.tries < shrinkTries; end -= size {
			end = min(end, len(s.ops))
			s.try(slices.Concat(s.ops[:max(end-size, 0)], s.ops[end:]))
		}
	}
}

// simplify makes single operations plainer, as long as the run fails.
func (s *shrinker) simplify() {
	for i := range s.ops {
		for _, plainer := range simplifications {
			op := s.ops[i]
			plainer(&op)
			if s.tries < shrinkTries && op != s.ops[i] {
				s.try(slices.Concat(s.ops[:i], []Op{op}, s.ops[i+1:]))
			}
		}
	}
}

// simplifications are the changes that make an operation plainer.
var simplifications = []func(*Op){
	func(op *Op) { *op = Op{Kind: op.Kind} },
	func(op *Op) {
		if op.Kind == Fill || op.Kind == UpdateTTL || op.Kind == UpdateOnProbation {
			op.Kind = Update
		}
	},
	func(op *Op) { op.Partial, op.ID = min(op.Partial, 1), min(op.ID, 1) },
	func(op *Op) { op.Partial = min(op.Partial, 1) }, // short keys that are easy to read
	func(op *Op) { op.ID = min(op.ID, 1) },
	func(op *Op) { op.ID = min(op.ID, 7) },
	func(op *Op) { op.Partial = 0 },
	func(op *Op) { op.ID = 0 },
	func(op *Op) { op.Value = 0 },
	func(op *Op) { op.Value &= 1 }, // an Advance that races
	func(op *Op) { op.Value &= 3 },
	func(op *Op) { op.Time = 0 },
	func(op *Op) { op.Time = min(op.Time, 8) }, // a second
}
