package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// An underway is what is being done that the disk may keep from ending, so that Close can say
// what it waits for.
type underway struct {
	mu  sync.Mutex
	all map[string]int // how often each is
}

// begin notes something, until end is called.
func (u *underway) begin(what string) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[string]int{}
	}
	u.all[what]++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.all[what]--; u.all[what] == 0 {
			delete(u.all, what)
		}
	}
}

func (u *underway) list() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.all))
}

// What holds the state, as far as functions of the machine do.
var inApply, inSnapshot, inRestore = "Apply", "Snapshot", "Restore"

// calling notes that a function of the machine is called, until end is. State is held.
func (f *fsm) calling(function *string) (end func()) {
	f.inside.Store(function)
	return func() { f.inside.Store(nil) }
}

// busy returns what the state waits for; nil: nothing.
func (f *fsm) busy() (what []string) {
	if in := f.inside.Load(); in != nil {
		what = append(what, *in+" of the machine")
	} else if f.state.TryLock() {
		f.state.Unlock()
	} else {
		what = append(what, "a function of View or ViewLocal")
	}
	if f.persisting.Load() > 0 {
		what = append(what, "WriteTo of a snapshot")
	}
	return what
}

// lateErr says what Close has waited for in vain.
func (n *Node) lateErr() error {
	machine, disk := n.fsm.busy(), n.under.list()
	if n.logs.stuck() > 0 {
		disk = append(disk, "writing the log")
	}
	e := &opError{msg: "closing " + n.dir + " goes on, and the directory stays locked meanwhile"}
	if len(machine) == 0 || len(disk) > 0 {
		why := ErrStalled
		if len(disk) > 0 {
			why = fmt.Errorf("%w (%s)", ErrStalled, strings.Join(disk, ", "))
		}
		e.errs = append(e.errs, why)
	}
	if len(machine) > 0 {
		why := fmt.Errorf("%s has not returned", strings.Join(machine, ", and "))
		if len(e.errs) > 0 {
			why = fmt.Errorf("%w; and %w", why, e.errs[0])
		}
		e.errs = []error{why}
	}
	return e
}
