// Package usercall calls the code of a user, for an owner such as a store, and tells whether a
// goroutine is within such a call:
//
//	err := o.callbacks.Call(o, inView, call) // runs call.On(o)
//	...
//	if o.callbacks.Within(inView) {
//		return ErrReentrant // what is about to be waited for waits for this goroutine
//	}
//
// User code may call the owner again, from where it would wait for itself, and Go does not
// say which goroutine calls. So each owner calls the user by way of functions of its own,
// alike but for their place in the program: a goroutine's stack shows which it is within.
package usercall

import (
	"runtime"
	"slices"
	"sync/atomic"
)

// A Place says where the owner calls the user's code: from 0 to Places-1.
type Place int

// Places is how many places an owner may have.
const Places = 5

// A Call calls the user's code.
type Call interface {
	// On makes the call for the owner that was passed to [Owner.Call].
	On(owner any) error
}

// An Owner makes calls that can be told from those of every other owner, between Open and
// Release. Its zero value makes calls that can't be told. All methods can be called at once.
//
// Functions may be passed to the owner's methods after it was released, and calls may be
// under way then: what tells its calls apart is free for another owner once none is.
type Owner struct {
	slot     atomic.Int32
	released atomic.Int32 // the slot that is to be given back
	calls    atomic.Int32 // that are under way
}

// Open lets the owner's calls be told apart.
func (o *Owner) Open() { o.slot.Store(int32(takeSlot())) }

// Release ends that, for calls from now on.
func (o *Owner) Release() {
	o.calls.Add(1)
	o.released.Store(o.slot.Swap(0))
	o.leave()
}

// enter begins a call, and returns the slot for it.
func (o *Owner) enter() slot {
	o.calls.Add(1)
	return slot(o.slot.Load())
}

func (o *Owner) leave() {
	if o.calls.Add(-1) == 0 {
		slot(o.released.Swap(0)).give()
	}
}

// Call makes a call at a place, and returns what it returns.
func (o *Owner) Call(owner any, p Place, c Call) error {
	n := o.enter()
	defer o.leave()
	if n == 0 {
		return c.On(owner)
	}
	return landmarks[n.landmark(p)](owner, n.rest(), p, c)
}

// Within reports whether this goroutine was called, directly or not, by Call at one of these
// places. While any call of the owner is under way, that costs a microsecond or so.
func (o *Owner) Within(at ...Place) bool {
	n := slot(o.slot.Load())
	if o.calls.Load() == 0 || n == 0 {
		return false
	}
	var seen chain
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		k := runtime.Callers(skip, pcs[:])
		for _, pc := range pcs[:k] {
			if seen.ends(pc) && seen.slot == n && slices.Contains(at, seen.place) {
				return true
			}
		}
		if k < len(pcs) {
			return false
		}
	}
}
