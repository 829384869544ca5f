package timerwheel

// A failer is what checkInvariants needs of a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkInvariants walks the whole Wheel and fails the test at the first promise of wheel.go or
// list.go that does not hold. Random tests call it after every operation.
func checkInvariants(t failer, w *Wheel) {
	t.Helper()
	if w.cursor > w.now {
		t.Fatalf("cursor %d is after now %d", w.cursor.tick(), w.now.tick())
	}
	inList := make([]bool, len(w.nodes))
	linked := 0
	for head := uint32(firstBucket); head < firstSlot; head++ {
		linked += checkList(t, w, head, inList)
	}
	if linked != w.Len() {
		t.Fatalf("Len() = %d; the lists hold %d slots", w.Len(), linked)
	}
	for id := uint32(firstSlot); int(id) < len(w.nodes); id++ {
		if linked := w.nodes[id].next != unlinked; linked != inList[id] {
			t.Fatalf("slot %d: linked is %v; in a list is %v", id-firstSlot, linked, inList[id])
		}
	}
	if w.nodes[0] != (node{}) {
		t.Fatalf("node 0 is %+v; want it unused", w.nodes[0])
	}
	if w.occupied[levels]>>1 != 0 {
		t.Fatalf("occupied[%d] is %#x; there is one opened list", levels, w.occupied[levels])
	}
}

// checkList walks one list, notes its slots in inList and returns how many there are.
func checkList(t failer, w *Wheel, head uint32, inList []bool) (slots int) {
	t.Helper()
	prev := head
	for id := w.nodes[head].next; id != head; id = w.nodes[id].next {
		if id < firstSlot || int(id) >= len(w.nodes) {
			t.Fatalf("list %d holds node %d, which is no slot", head, id)
		}
		if inList[id] {
			t.Fatalf("slot %d is linked twice", id-firstSlot)
		}
		inList[id] = true
		if got := w.nodes[id].prev; got != prev {
			t.Fatalf("slot %d: prev is %d; want %d", id-firstSlot, got, prev)
		}
		if head != opened {
			checkFiled(t, w, head, id)
		}
		prev = id
		slots++
	}
	if got := w.nodes[head].prev; got != prev {
		t.Fatalf("list %d: last is %d; want %d", head, got, prev)
	}
	bit := w.occupied[(head-firstBucket)/buckets]>>((head-firstBucket)%buckets)&1 == 1
	if bit != (prev != head) {
		t.Fatalf("list %d: occupied is %v; it holds slots is %v", head, bit, prev != head)
	}
	return slots
}

// checkFiled works out the bucket from its definition and not with the code under test.
func checkFiled(t failer, w *Wheel, head, id uint32) {
	t.Helper()
	deadline, bound := w.nodes[id].when, w.nodes[head].when
	level, bucket := (head-firstBucket)/buckets, instant((head-firstBucket)%buckets)
	width := instant(1)
	for range level {
		width *= buckets
	}
	if deadline <= w.cursor {
		t.Fatalf("slot %d: deadline %d is not after the cursor %d", id-firstSlot, deadline, w.cursor)
	}
	distance := (bucket - w.cursor/width) % buckets
	if distance == 0 {
		t.Fatalf("slot %d is in the bucket under the cursor, level %d bucket %d", id-firstSlot, level, bucket)
	}
	if bound > deadline {
		t.Fatalf("level %d bucket %d: bound %d is after deadline %d", level, bucket, bound, deadline)
	}
	if bound/width != w.cursor/width+distance {
		t.Fatalf("level %d bucket %d: bound %d is outside the bucket", level, bucket, bound)
	}
	if level == topLevel { // the deadline may be beyond the ring
		if deadline/width < w.cursor/width+distance {
			t.Fatalf("slot %d: deadline %d is before its bucket %d", id-firstSlot, deadline, bucket)
		}
		return
	}
	if deadline/width/buckets != w.cursor/width/buckets || deadline/width%buckets != bucket {
		t.Fatalf("slot %d: deadline %d is at level %d bucket %d with the cursor at %d", id-firstSlot, deadline, level, bucket, w.cursor)
	}
}
