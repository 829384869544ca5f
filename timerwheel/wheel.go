// Package timerwheel schedules small integers. It is a hierarchical timing wheel: scheduling,
// re-scheduling and cancelling cost the same few nanoseconds whether one slot or a million are
// scheduled, and a slot comes due at its tick exactly, never early.
//
// # What it isn't
//
// A Wheel has no clock and no goroutine: its owner says what time it is, in ticks of any length, and
// asks when to come back. It has no callbacks either. It hands out due slots one at a time, so the
// owner decides how many it takes before it lets go of its lock, may schedule and cancel between any
// two, and a panic of its code cannot lose the rest of a detached bucket, which is where other wheels
// have had their bugs. And it knows no payload: a slot is the index of the owner's own table, so all
// of a Wheel is one array without pointers, which costs the garbage collector nothing.
//
// # Levels
//
// An instant is a number in base 64. There is a level for each of its six lowest digits, and a bucket
// for each value of a digit, 384 in all. Level n says which bucket of 64^n ticks a deadline falls in:
//
//	Level  Granularity                      Range
//	                 at a tick of 2^24 ns                  at a tick of 2^24 ns
//	0      1         16.8 ms                2^6  ticks     1.07 s
//	1      2^6       1.07 s                 2^12 ticks     68.7 s
//	2      2^12      68.7 s                 2^18 ticks     73.3 min
//	3      2^18      73.3 min               2^24 ticks     3.26 days
//	4      2^24      3.26 days              2^30 ticks     208 days
//	5      2^30      208 days               2^36 ticks     36.6 years
//
// # Filing
//
// The cursor is the instant up to which buckets have been opened. A deadline is filed under the
// highest digit in which it differs from the cursor: that digit's level, that digit's bucket. So all
// slots of a level agree with the cursor in every higher digit, and everything in a level is earlier
// than anything in a higher one. Finding the first bucket is finding the lowest bit of the lowest
// bitmap that isn't empty; empty time costs nothing to cross, were it years.
//
// # Cascading
//
// When time reaches a bucket, its list is opened: moved in one piece to where Due takes from, and the
// cursor moves to the present. A slot of the opened list is due by then, or is filed again, at a lower
// level, since it agrees with the cursor in one digit more. Linux stopped cascading in 2016 and lets
// far timers fire late instead. We keep it: a session may not outlive its deadline by the granularity
// of level 3, the work is one move per level at the very most, and the owner can spread it (DueWithin).
//
// # An example
//
// With the cursor at 0, deadline 70 has the digits 1,6 (64 + 6) and is filed at level 1 in bucket 1,
// which covers 64 to 127. Advance(66) and Due open that bucket: the slot isn't due, the cursor stands
// at 66 and agrees in the digit 1, so the slot goes to level 0, bucket 6. Advance(70) and Due open
// this one, and the slot is handed out. Advance(70) right away would have handed it out of bucket 1.
//
// # The ring at the top
//
// A deadline that differs from the cursor in a seventh digit or above is in another rotation of the
// top level. That level is therefore a ring: its 63 buckets after the cursor's are the next 63 periods
// of 2^30 ticks, wherever the digit wraps. What lies farther off is filed as if it were due at the
// ring's end, keeps its true deadline, and is filed again when that bucket is reached, so any Tick up
// to the largest is a good deadline and none of them is ever taken for one in the past.
//
// # When to wake
//
// Every bucket keeps a lower bound of the deadlines in it, so that Next can name the earliest deadline
// and not merely the start of its bucket: 1000 slots that are due in 24 hours cost an owner who sleeps
// from Next to Next one wake-up. Cancel does not raise the bound, as that would mean a walk of the
// bucket: then Next may be early by as much as the bucket is wide, never late.
package timerwheel

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
)

// A Tick is an instant in units that the owner chooses, counted from wherever the owner likes.
// Every value is valid, negative ones too; nothing is computed that could overflow.
type Tick int64

const (
	levels    = 6
	digitBits = 6
	buckets   = 1 << digitBits
	digitMask = buckets - 1

	topLevel = levels - 1
	topShift = topLevel * digitBits

	// ringSpan is how far ahead of the cursor the top level files. One bucket less than a whole turn,
	// because the cursor's own bucket must not also stand for the period 64 buckets later.
	ringSpan = uint64(buckets-1) << topShift
)

// A Wheel holds the deadlines of slots and hands out the slots whose deadline has come.
//
// A Wheel is not safe for concurrent use. Its owner supplies the time, so a Wheel never reads a
// clock and never blocks. The zero Wheel is not usable, and panics with these words; call New. A Wheel must
// not be copied.
// It takes 6 KiB and 16 bytes for every slot up to the largest one ever scheduled; it gives
// nothing back, so an owner that shrank drops it and schedules what is left in a new one.
//
// invariant: cursor <= now, and cursor < deadline of every slot in a bucket, so the bucket that the
// cursor stands in is empty at every level.
// invariant: a slot at level n < topLevel agrees with the cursor in all digits above n.
type Wheel struct {
	cursor instant // buckets up to here have been opened
	now    instant // the largest Advance
	len    int     // slots in any list

	// occupied has a bit for every list: set ⟺ the list isn't empty. The last word is for the opened list.
	occupied [levels + 1]uint64

	// nodes holds the heads of all lists and then one node per slot; see node.
	nodes []node
}

// An instant is a Tick with its order kept and its sign gone: the digits that filing looks at are
// those of an unsigned number, so crossing tick 0 is a carry like any other.
type instant uint64

func instantOf(t Tick) instant { return instant(t) ^ 1<<63 }
func (i instant) tick() Tick   { return Tick(i ^ 1<<63) }

// New returns an empty Wheel whose time is now. It needs no particular start: zero, a negative tick
// and one near the largest do equally well.
func New(now Tick) *Wheel {
	w := &Wheel{cursor: instantOf(now), now: instantOf(now), nodes: make([]node, firstSlot)}
	for head := firstBucket; head < firstSlot; head++ {
		w.nodes[head].next, w.nodes[head].prev = uint32(head), uint32(head)
	}
	return w
}

// CopyFrom gives the Wheel the time and the deadlines of another, in place of its own. It costs a copy of the memory, and
// allocates none where Reserve has made room for as many slots.
func (w *Wheel) CopyFrom(other *Wheel) {
	w.mustBeMade()
	other.mustBeMade()
	nodes := append(w.nodes[:0], other.nodes...)
	*w = *other
	w.nodes = nodes
}

// Schedule makes slot due at deadline, in place of any deadline it had. A deadline that is not after
// the time of the last Advance is due at once: Due hands the slot out without another Advance.
//
// It takes constant time. It allocates only to grow to a slot larger than any before, so slots
// should be dense; a slot above 2^32 - 387 panics, long after memory has run out.
func (w *Wheel) Schedule(slot uint32, deadline Tick) {
	if uint64(slot)+firstSlot >= uint64(len(w.nodes)) {
		w.grow(slot)
	}
	id := slot + firstSlot
	if w.nodes[id].next == unlinked {
		w.len++
	} else {
		w.unlink(id)
	}
	w.file(id, instantOf(deadline))
}

// Cancel forgets the slot's deadline and reports whether it had one. A slot that Due has handed out
// has none. It takes constant time.
func (w *Wheel) Cancel(slot uint32) bool {
	if uint64(slot)+firstSlot >= uint64(len(w.nodes)) {
		return false
	}
	id := slot + firstSlot
	if w.nodes[id].next == unlinked {
		return false
	}
	w.unlink(id)
	w.len--
	return true
}

// Advance sets the time. A time before the present one changes nothing: a clock that is set back
// makes slots due later, not twice. It takes constant time however far the jump; Due does the work.
func (w *Wheel) Advance(now Tick) {
	w.now = max(w.now, instantOf(now))
}

// Due hands out one slot whose deadline has come and forgets its deadline; false says that none is
// left. The order is unspecified. Every other method may be called before the next Due.
func (w *Wheel) Due() (slot uint32, ok bool) {
	unlimited := math.MaxInt
	return w.DueWithin(&unlimited)
}

// DueWithin is Due for an owner who must not work long at a stretch. It takes one from *budget for
// every slot that it hands out or files again, and returns false once *budget is used up. Then slots
// may be left over: if any of them is due, Next is not after the time of the last Advance.
// A false with budget to spare means that none is due, as with Due.
func (w *Wheel) DueWithin(budget *int) (slot uint32, ok bool) {
	w.mustBeMade()
	for *budget > 0 {
		if w.nodes[opened].next == opened && !w.open() {
			return 0, false
		}
		id := w.nodes[opened].next
		*budget--
		w.unlink(id)
		if deadline := w.nodes[id].when; deadline > w.now {
			w.file(id, deadline)
			continue
		}
		w.len--
		return id - firstSlot, true
	}
	return 0, false
}

// Peek copies to slots those that the next calls of Due will hand out, in their order, and returns
// how many it copied. It stops at the first that Due will file again instead, so there may be more.
// It takes none out. An owner whose slots stand for memory far apart can load that for many at a time.
func (w *Wheel) Peek(slots []uint32) int {
	w.mustBeMade()
	if w.nodes[opened].next == opened {
		w.open()
	}
	n := 0
	for id := w.nodes[opened].next; id != opened && n < len(slots) && w.nodes[id].when <= w.now; id = w.nodes[id].next {
		slots[n] = id - firstSlot
		n++
	}
	return n
}

// Next returns the tick to wake at, that is to call Advance and Due; false means never, because
// nothing is scheduled. It is never later than the earliest deadline, or than the present time if
// that is later still. Not after the present time, it means that Due has work now; once Due has
// returned false, Next is after the present time.
//
// Next is the earliest deadline exactly, with two exceptions in which it is earlier: after a Cancel
// or a re-schedule, for as long as the slot's old bucket has been neither empty nor reached, and for
// slots that were filed more than 63 * 2^30 ticks ahead of the time at which Due had last returned
// false. Waking then is cheap and makes the following Next better.
func (w *Wheel) Next() (at Tick, ok bool) {
	w.mustBeMade()
	if w.nodes[opened].next != opened {
		return w.now.tick(), true
	}
	head, _, ok := w.first()
	if !ok {
		return 0, false
	}
	return w.nodes[head].when.tick(), true
}

// Len returns the number of scheduled slots, those due but not handed out included.
func (w *Wheel) Len() int { return w.len }

// All yields every scheduled slot with its deadline, by ascending slot, and takes time in proportion
// to the largest slot ever scheduled. The loop's body may call every method; a slot that it schedules
// meanwhile is yielded if it is larger than the one just yielded.
func (w *Wheel) All() iter.Seq2[uint32, Tick] {
	return func(yield func(slot uint32, deadline Tick) bool) {
		for id := firstSlot; id < len(w.nodes); id++ {
			if w.nodes[id].next == unlinked {
				continue
			}
			if !yield(uint32(id-firstSlot), w.nodes[id].when.tick()) {
				return
			}
		}
	}
}

// Upcoming yields the slots that are due at the tick after the last Advance, and may yield others: it
// yields what shares their lists. It takes none out, and is complete once Due has returned false. An owner whose clock is finer than a tick finds
// with it what is over already and not due yet. The loop's body must not change the Wheel.
func (w *Wheel) Upcoming() iter.Seq[uint32] {
	return func(yield func(slot uint32) bool) {
		w.mustBeMade()
		if w.now == math.MaxUint64 {
			return
		}
		head, _ := w.place(w.now + 1)
		for _, head := range [...]uint32{head, opened} {
			for id := w.nodes[head].next; id != head; id = w.nodes[id].next {
				if !yield(id - firstSlot) {
					return
				}
			}
		}
	}
}

// file puts an unlinked node where its deadline belongs: in the opened list if it is due, else in
// the bucket of the highest digit in which deadline and cursor differ.
func (w *Wheel) file(id uint32, deadline instant) {
	head, key := w.place(deadline)
	w.push(head, id, deadline, key)
}

// place returns the list that a deadline belongs to and the key that counts for its lower bound.
func (w *Wheel) place(deadline instant) (head uint32, key instant) {
	if deadline <= w.now {
		return opened, deadline
	}
	key = deadline
	level := uint(bits.Len64(uint64(deadline^w.cursor))-1) / digitBits // cursor <= now < deadline: some bit differs
	if level >= topLevel {
		level = topLevel
		key = min(deadline, w.ringEnd())
	}
	digit := uint32(key>>(level*digitBits)) & digitMask
	return firstBucket + uint32(level)*buckets + digit, key
}

// ringEnd is the last instant that the top level can file under.
func (w *Wheel) ringEnd() instant {
	if end := w.cursor + instant(ringSpan); end > w.cursor {
		return end
	}
	return math.MaxUint64 // fewer than 63 buckets are left until the end of time
}

// first returns the head of the bucket that the cursor reaches first, and the instant at which it does.
func (w *Wheel) first() (head uint32, start instant, ok bool) {
	for level := range uint(levels) {
		word := w.occupied[level]
		if word == 0 {
			continue
		}
		// Turned so that bit 0 is the cursor's own bucket, the lowest bit is the nearest bucket. Below
		// the top no digit wraps and the turn changes nothing.
		at := w.cursor >> (level * digitBits)
		at += instant(bits.TrailingZeros64(bits.RotateLeft64(word, -int(at&digitMask))))
		return firstBucket + uint32(level)*buckets + uint32(at&digitMask), at << (level * digitBits), true
	}
	return 0, 0, false
}

// open moves the cursor to the present time and the slots of every bucket it reaches on the way to
// the opened list. It reports whether there were any.
//
// Buckets are taken by what they hold and not by a range to sweep, so the one under the cursor cannot
// be missed and a late or enormous Advance skips none. All of them are taken before the first slot is
// filed again: filed against a cursor that has only come to its bucket, a slot would be in the way
// again, up to once per level, and one beyond the ring once per turn, which for a jump over all ticks
// is 2^28 times. There are at most 384 buckets to take; what takes longer, their slots, has a budget.
func (w *Wheel) open() bool {
	found := false
	for {
		head, start, ok := w.first()
		if !ok || start > w.now {
			break
		}
		w.splice(head)
		found = true
	}
	w.cursor = w.now // no bucket is left that starts before: each slot still differs in the same digit first
	return found
}

// mustBeMade panics for the zero Wheel, whose lists have no heads. The compiler then knows that they are there.
func (w *Wheel) mustBeMade() {
	if len(w.nodes) < firstSlot {
		panic("timerwheel: the zero Wheel is not usable; call New")
	}
}

// Reserve makes room for slots below n, and takes no more memory than that. Without it, a wheel grows with its largest
// slot, by a factor. A number above 2^32 - 386 panics.
func (w *Wheel) Reserve(n int) {
	w.mustBeMade()
	if uint64(max(n, 0)) > math.MaxUint32-firstSlot+1 {
		panic(fmt.Sprintf("timerwheel: n is %d; want at most %d", n, uint32(math.MaxUint32-firstSlot+1)))
	}
	if size := n + firstSlot; size > len(w.nodes) {
		nodes := make([]node, size)
		copy(nodes, w.nodes)
		w.nodes = nodes
	}
}

// grow makes room for slot. Go's append grows by a factor, so a slot costs constant time on average.
func (w *Wheel) grow(slot uint32) {
	w.mustBeMade()
	if slot > math.MaxUint32-firstSlot {
		panic(fmt.Sprintf("timerwheel: slot is %d; want at most %d", slot, uint32(math.MaxUint32-firstSlot)))
	}
	w.nodes = append(w.nodes, make([]node, int(slot)+firstSlot+1-len(w.nodes))...)
}
