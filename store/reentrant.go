package store

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Code of the user's that the store calls may call the store. To tell a caller
// that would wait for itself from one in another store, each store calls the user
// through functions of its own: there are as many, alike but for their place in
// the program, as stores can be told apart, and a goroutine's stack shows which it
// is within.

// A place is where the store calls the user's code.
type place int

const (
	inApply   place = iota
	inCapture       // Snapshot of the machine
	inView
	inWrite // WriteTo of what that returned
	places
)

// A userCall calls the user's code.
type userCall interface{ on(s *Store) error }

// landmarks are functions that differ only in where they are.
var landmarks = [...]func(s *Store, c userCall) error{
	landmark[[1]byte], landmark[[2]byte], landmark[[3]byte], landmark[[4]byte], landmark[[5]byte], landmark[[6]byte], landmark[[7]byte], landmark[[8]byte],
	landmark[[9]byte], landmark[[10]byte], landmark[[11]byte], landmark[[12]byte], landmark[[13]byte], landmark[[14]byte], landmark[[15]byte], landmark[[16]byte],
	landmark[[17]byte], landmark[[18]byte], landmark[[19]byte], landmark[[20]byte], landmark[[21]byte], landmark[[22]byte], landmark[[23]byte], landmark[[24]byte],
	landmark[[25]byte], landmark[[26]byte], landmark[[27]byte], landmark[[28]byte], landmark[[29]byte], landmark[[30]byte], landmark[[31]byte], landmark[[32]byte],
	landmark[[33]byte], landmark[[34]byte], landmark[[35]byte], landmark[[36]byte], landmark[[37]byte], landmark[[38]byte], landmark[[39]byte], landmark[[40]byte],
	landmark[[41]byte], landmark[[42]byte], landmark[[43]byte], landmark[[44]byte], landmark[[45]byte], landmark[[46]byte], landmark[[47]byte], landmark[[48]byte],
	landmark[[49]byte], landmark[[50]byte], landmark[[51]byte], landmark[[52]byte], landmark[[53]byte], landmark[[54]byte], landmark[[55]byte], landmark[[56]byte],
	landmark[[57]byte], landmark[[58]byte], landmark[[59]byte], landmark[[60]byte], landmark[[61]byte], landmark[[62]byte], landmark[[63]byte], landmark[[64]byte],
}

//go:noinline
func landmark[T any](s *Store, c userCall) error {
	err := c.on(s)
	var size T // makes each instance a function of its own
	runtime.KeepAlive(&size)
	return err
}

// tellable is how many open stores can be told apart.
const tellable = len(landmarks) / int(places)

// slots are those that are in use, and the entries of all landmarks.
var slots struct {
	mu      sync.Mutex
	used    [tellable]bool
	once    sync.Once
	entries [len(landmarks)]uintptr
}

// entryOf calls landmark i to see where it is.
type entryOf int

func (i entryOf) on(*Store) error {
	var pc [1]uintptr
	runtime.Callers(2, pc[:])
	slots.entries[i] = runtime.FuncForPC(pc[0] - 1).Entry()
	return nil
}

// A slot says which landmarks a store has, counted from 1; 0: none, because there are
// more stores.
type slot int

// takeSlot takes a slot for a store.
func takeSlot() slot {
	slots.once.Do(func() {
		for i := range landmarks {
			_ = landmarks[i](nil, entryOf(i)) // nil
		}
	})
	slots.mu.Lock()
	defer slots.mu.Unlock()
	for i, used := range slots.used {
		if !used {
			slots.used[i] = true
			return slot(i + 1)
		}
	}
	return 0
}

// give gives the slot back.
func (n slot) give() {
	if n == 0 {
		return
	}
	slots.mu.Lock()
	defer slots.mu.Unlock()
	slots.used[n-1] = false
}

// A slotHolder has the slot of a store. It gives it back when the store is released
// and none of its calls of the user's code is under way: functions may be passed to
// View of a closed store, or have been before it was closed.
type slotHolder struct {
	slot     atomic.Int32
	released atomic.Int32 // the slot that is to be given back
	calls    atomic.Int32 // of the user's code that are under way
}

func (h *slotHolder) get() slot { return slot(h.slot.Load()) }

// enter begins a call of the user's code, and returns the slot for it.
func (h *slotHolder) enter() slot {
	h.calls.Add(1)
	return h.get()
}

func (h *slotHolder) leave() {
	if h.calls.Add(-1) == 0 {
		slot(h.released.Swap(0)).give()
	}
}

// release gives the slot back, when it can. Calls from now on have none.
func (h *slotHolder) release() {
	h.calls.Add(1)
	h.released.Store(h.slot.Swap(0))
	h.leave()
}

// landmark returns the index of the slot's landmark for p.
func (n slot) landmark(p place) int { return int(n-1)*int(places) + int(p) }

// call calls the user's code.
func (s *Store) call(p place, c userCall) error {
	n := s.slot.enter()
	defer s.slot.leave()
	if n == 0 {
		return c.on(s)
	}
	return landmarks[n.landmark(p)](s, c)
}

var errReentrant = &opError{is: ErrReentrant, msg: "the method was called from within the store's own machine or View, where it would wait for itself"}

// within reports whether the caller was called, directly or not, by the store at
// one of these places. Where it was, it costs a microsecond or so.
func (s *Store) within(at ...place) bool {
	slot := s.slot.get()
	if s.slot.calls.Load() == 0 || slot == 0 {
		return false
	}
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		for _, pc := range pcs[:n] {
			f := runtime.FuncForPC(pc - 1)
			if f == nil {
				continue
			}
			for _, p := range at {
				if f.Entry() == slots.entries[slot.landmark(p)] {
					return true
				}
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
