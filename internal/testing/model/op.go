package model

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Kind is what an operation does.
type Kind uint8

// The kinds. Drain selects a partial key and deletes each session from within the loop; Fill is
// 64 Updates of consecutive ids, which makes tables grow with few bytes; Snapshot reads what it writes into another cache.
const (
	Lookup Kind = iota
	Peek
	Update
	UpdateTTL
	Delete
	Take
	Select
	Drain
	TakeNewest
	TakeNewestKeepLast
	DeletePartial
	Demote
	All
	Entries
	Foldl
	Size
	Clear
	Advance
	Fill
	Close
	UpdateOnProbation
	LookupOrUpdate
	Touch
	SelectEntries
	SetMaxSessions
	SetMaxWeight
	Snapshot // a new kind comes last, or the corpora would mean something else
	kinds
)

var kindNames = [kinds]string{"Lookup", "Peek", "Update", "UpdateTTL", "Delete", "Take", "Select", "Drain",
	"TakeNewest", "TakeNewestKeepLast", "DeletePartial", "Demote", "All", "Entries", "Foldl", "Size",
	"Clear", "Advance", "Fill", "Close", "UpdateOnProbation", "LookupOrUpdate", "Touch", "SelectEntries", "SetMaxSessions", "SetMaxWeight", "Snapshot"}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// kindOf maps a byte, modulo its length, to a kind. What stores and what moves time comes often,
// what empties the cache comes rarely: a run that keeps emptying it tests little else.
var kindOf = [64]Kind{
	Lookup, Peek, Update, UpdateTTL, Delete, Take, Select, Drain, TakeNewest, TakeNewestKeepLast,
	DeletePartial, Demote, All, Entries, Foldl, Size, Clear, Advance, Fill, Close, UpdateOnProbation,
	21: LookupOrUpdate, 22: Touch, 23: SelectEntries, 24: SetMaxSessions, 25: SetMaxWeight, 26: Snapshot, 27: Update,
	28: Update, 29: Update, 30: Update, 31: Update, 32: UpdateTTL, 33: UpdateTTL, 34: UpdateTTL,
	35: UpdateTTL, 36: UpdateTTL, 37: UpdateTTL, 38: Advance, 39: Advance, 40: Advance, 41: Advance,
	42: Advance, 43: Advance, 44: Demote, 45: Delete, 46: Take, 47: Select, 48: TakeNewest,
	49: TakeNewestKeepLast, 50: Select, 51: UpdateOnProbation, 52: UpdateOnProbation, 53: LookupOrUpdate, 54: LookupOrUpdate,
	55: Touch, 56: Touch, 57: Update, 58: Update, 59: Update, // the rest are Lookups
}

// An Op is one operation. All fields are small numbers, so that an Op is four bytes and a
// mutation of one byte changes one thing. The zero Op looks up the empty key.
type Op struct {
	Kind    Kind
	Partial uint8 // 0..15: see Op.Key
	ID      uint8 // see Op.Key
	Value   uint8 // 0..15. Updates: the class of weight. Iterations: stop after that many, 0 never. Advance: see Racing, OnTick
	Time    uint8 // 0..15. UpdateTTL and all that takes a TTL: its index. Advance: index of the step
}

// opBytes is the length of an encoded Op.
const opBytes = 4

// Decode reads as many operations as data holds; any bytes decode, an incomplete tail is ignored.
func Decode(data []byte) []Op {
	ops := make([]Op, 0, len(data)/opBytes)
	for ; len(data) >= opBytes; data = data[opBytes:] {
		ops = append(ops, Op{
			Kind:    kindOf[data[0]%64],
			Partial: data[1] % 16,
			ID:      data[2],
			Value:   data[3] % 16,
			Time:    data[3] / 16,
		})
	}
	return ops
}

// Encode is the inverse of Decode for operations whose fields are in range.
func Encode(ops []Op) []byte {
	data := make([]byte, 0, len(ops)*opBytes)
	for _, op := range ops {
		data = append(data, byte(op.Kind), op.Partial%16, op.ID, op.Time<<4|op.Value%16)
	}
	return data
}

// The universe of keys holds what has broken caches: empty parts, NUL, parts whose concatenations
// are equal ("a"+"b" and "ab"+"", "a\x00"+"b" and "a"+"\x00b"), parts that are longer than any
// inline buffer, as long as allowed, and longer.
var (
	partials = [16]string{"", "a", "ab", "a\x00", "\x00", strings.Repeat("h", 40), strings.Repeat("p", MaxKeyPart),
		strings.Repeat("p", MaxKeyPart+1), "b", "tenant\xff", "host:443", "host:4433", strings.Repeat("h", 33),
		strings.Repeat("h", 32), "u1", "u2"}
	ids = [256]string{"", "b", "\x00b", "a", strings.Repeat("i", 40), strings.Repeat("i", MaxKeyPart),
		strings.Repeat("i", MaxKeyPart+1)}
)

func init() {
	for i := 7; i < len(ids); i++ {
		ids[i] = fmt.Sprintf("id-%d", i)
	}
}

// Key returns the key that op is about.
func (op Op) Key() Key { return Key{op.PartialKey(), ids[op.ID]} }

// PartialKey returns the partial key that op is about.
func (op Op) PartialKey() string { return partials[op.Partial%16] }

const days = 24 * time.Hour

var ttls = [16]time.Duration{0, -1, math.MinInt64, 1, time.Millisecond, Tick - 1, Tick, Tick + 1, time.Second, 70 * time.Second,
	time.Hour, 24 * time.Hour, 30 * days, 400 * days, 40 * 365 * days, math.MaxInt64}

// TTL returns the life that an UpdateTTL, UpdateOnProbation, LookupOrUpdate or Touch gives; the first three are illegal.
func (op Op) TTL() time.Duration { return ttls[op.Time%16] }

// The steps of Advance that depend on what the reference holds.
const (
	toDeadline     = -1 // to the nearest deadline
	beforeDeadline = -2 // to a nanosecond before it
	pastDeadline   = -3 // to a tick after it
)

var steps = [16]time.Duration{1, time.Millisecond, Tick, toDeadline, beforeDeadline, pastDeadline, Tick - 1, Tick / 2,
	500 * time.Millisecond, time.Second, 64*Tick + 1, 70 * time.Second, time.Hour, 24 * time.Hour, 400 * days, 37 * 365 * days}

// Step returns how far an Advance goes; a negative step is one of toDeadline and its like.
func (op Op) Step() time.Duration { return steps[op.Time%16] }

// Racing reports whether an Advance leaves timers that are due alone: the next operation may meet
// them late.
func (op Op) Racing() bool { return op.Kind == Advance && op.Value&1 != 0 }

// OnTick reports whether an Advance goes on to the start of a tick. Timers are due there only, and in
// virtual time nothing else can make one late: at any later time it has run.
func (op Op) OnTick() bool { return op.Kind == Advance && op.Value&2 != 0 }

var bounds = [16]int{4, 0, 1, 2, 3, 5, 6, 8, 12, 20, 50, 64, 70, 200, 1000, -1}

// Bound returns what a SetMaxSessions or SetMaxWeight asks for; 0 and less are illegal.
func (op Op) Bound() int { return bounds[op.Value%16] }

var weights = [16]int64{1, 1, 1, 2, 3, 4, 5, 8, 16, 32, 63, 64, 65, 0, math.MaxInt64, -1}

// WeightOf is the Weigh of every subject: a value carries its class of weight in its low bits.
func WeightOf(value uint64) int64 { return weights[value%16] }

// String returns op as a line of a trace.
func (op Op) String() string {
	switch op.Kind {
	case Lookup, Peek, Delete, Take, Demote:
		return fmt.Sprintf("%v%v", op.Kind, op.Key())
	case Update, Fill:
		return fmt.Sprintf("%v%v weight %d", op.Kind, op.Key(), weights[op.Value%16])
	case UpdateTTL, UpdateOnProbation, LookupOrUpdate:
		return fmt.Sprintf("%v%v weight %d ttl %v", op.Kind, op.Key(), weights[op.Value%16], op.TTL())
	case Touch:
		return fmt.Sprintf("%v%v ttl %v", op.Kind, op.Key(), op.TTL())
	case Select, SelectEntries:
		return fmt.Sprintf("%v %s, stop after %d", op.Kind, short(op.PartialKey()), op.Value)
	case Drain, TakeNewest, TakeNewestKeepLast, DeletePartial:
		return fmt.Sprintf("%v %s", op.Kind, short(op.PartialKey()))
	case All, Entries:
		return fmt.Sprintf("%v, stop after %d", op.Kind, op.Value)
	case SetMaxSessions, SetMaxWeight:
		return fmt.Sprintf("%v %d", op.Kind, op.Bound())
	case Advance:
		return "Advance " + op.step()
	default:
		return op.Kind.String()
	}
}

func (op Op) step() string {
	text := op.Step().String()
	switch op.Step() {
	case toDeadline:
		text = "to the next deadline"
	case beforeDeadline:
		text = "to 1ns before the next deadline"
	case pastDeadline:
		text = "to a tick past the next deadline"
	}
	if op.OnTick() {
		text += ", on to the tick"
	}
	if op.Racing() {
		text += ", racing the timers"
	}
	return text
}

// GoString returns op as a Go literal.
func (op Op) GoString() string {
	text := "{Kind: model." + op.Kind.String()
	for _, f := range []struct {
		name  string
		value uint8
	}{{"Partial", op.Partial}, {"ID", op.ID}, {"Value", op.Value}, {"Time", op.Time}} {
		if f.value != 0 {
			text += fmt.Sprintf(", %s: %d", f.name, f.value)
		}
	}
	return text + "}"
}

// Source returns ops as Go source that can be pasted into a test, each with its meaning.
func Source(ops []Op) string {
	var b strings.Builder
	b.WriteString("ops := []model.Op{\n")
	for _, op := range ops {
		fmt.Fprintf(&b, "\t%#v, // %v\n", op, op)
	}
	b.WriteString("}\n")
	return b.String()
}
