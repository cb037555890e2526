package usercall

import (
	"runtime"
	"slices"
	"sync"
)

// One function for each place is enough for the calls of the first owners. Those of the
// owners after them go through a chain of functions, which has a digit of the owner's number
// in each.

// digits is the base of these numbers.
const digits = 16

// landmarks are functions that differ only in where they are: one for each place, of each
// digit. findLandmarks fills them in.
var landmarks [digits * Places]func(owner any, n slot, p Place, c Call) error

// landmark makes a call, by way of the landmarks of n.
//
//go:noinline
func landmark[T any](owner any, n slot, p Place, c Call) error {
	var err error
	if n == 0 {
		err = c.On(owner)
	} else {
		err = landmarks[n.landmark(p)](owner, n.rest(), p, c)
	}
	var size T // makes each instance a function of its own
	runtime.KeepAlive(&size)
	return err
}

// slots are those that are in use, and which landmark begins where.
var slots struct {
	mu   sync.Mutex
	used []bool // by slot, less one

	once    sync.Once
	name    string // of all landmarks
	entries map[uintptr]int
}

// entryOf calls landmark i to see where it is.
type entryOf int

func (i entryOf) On(any) error {
	var pc [1]uintptr
	runtime.Callers(2, pc[:])
	f := runtime.FuncForPC(pc[0] - 1)
	slots.name = f.Name()
	slots.entries[f.Entry()] = int(i)
	return nil
}

// findLandmarks fills in what landmarks there are.
func findLandmarks() {
	landmarks = [...]func(owner any, n slot, p Place, c Call) error{
		landmark[[1]byte], landmark[[2]byte], landmark[[3]byte], landmark[[4]byte], landmark[[5]byte], landmark[[6]byte], landmark[[7]byte], landmark[[8]byte],
		landmark[[9]byte], landmark[[10]byte], landmark[[11]byte], landmark[[12]byte], landmark[[13]byte], landmark[[14]byte], landmark[[15]byte], landmark[[16]byte],
		landmark[[17]byte], landmark[[18]byte], landmark[[19]byte], landmark[[20]byte], landmark[[21]byte], landmark[[22]byte], landmark[[23]byte], landmark[[24]byte],
		landmark[[25]byte], landmark[[26]byte], landmark[[27]byte], landmark[[28]byte], landmark[[29]byte], landmark[[30]byte], landmark[[31]byte], landmark[[32]byte],
		landmark[[33]byte], landmark[[34]byte], landmark[[35]byte], landmark[[36]byte], landmark[[37]byte], landmark[[38]byte], landmark[[39]byte], landmark[[40]byte],
		landmark[[41]byte], landmark[[42]byte], landmark[[43]byte], landmark[[44]byte], landmark[[45]byte], landmark[[46]byte], landmark[[47]byte], landmark[[48]byte],
		landmark[[49]byte], landmark[[50]byte], landmark[[51]byte], landmark[[52]byte], landmark[[53]byte], landmark[[54]byte], landmark[[55]byte], landmark[[56]byte],
		landmark[[57]byte], landmark[[58]byte], landmark[[59]byte], landmark[[60]byte], landmark[[61]byte], landmark[[62]byte], landmark[[63]byte], landmark[[64]byte],
		landmark[[65]byte], landmark[[66]byte], landmark[[67]byte], landmark[[68]byte], landmark[[69]byte], landmark[[70]byte], landmark[[71]byte], landmark[[72]byte],
		landmark[[73]byte], landmark[[74]byte], landmark[[75]byte], landmark[[76]byte], landmark[[77]byte], landmark[[78]byte], landmark[[79]byte], landmark[[80]byte],
	}
	slots.entries = make(map[uintptr]int, len(landmarks))
	for i := range landmarks {
		_ = landmarks[i](nil, 0, 0, entryOf(i)) // nil
	}
}

// A slot says which landmarks an owner has: its digits are counted from 1, and the lowest
// one is that of the first landmark. 0: it has none.
type slot int

// takeSlot takes the lowest slot that is free.
func takeSlot() slot {
	slots.once.Do(findLandmarks)
	slots.mu.Lock()
	defer slots.mu.Unlock()
	i := slices.Index(slots.used, false)
	if i < 0 {
		i = len(slots.used)
		slots.used = append(slots.used, false)
	}
	slots.used[i] = true
	return slot(i + 1)
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

// landmark returns the index of the slot's first landmark for p.
func (n slot) landmark(p Place) int { return int(n-1)%digits*Places + int(p) }

// rest returns the slot that the landmarks after the first one stand for.
func (n slot) rest() slot { return (n - 1) / digits }

// A chain is what the landmarks of one call say. A stack shows the last one first.
type chain struct {
	slot    slot // as far as its landmarks were seen
	place   Place
	through bool // something else than a landmark was seen after them
}

// ends adds the caller of the function last seen, which goes on at pc, and reports whether
// the chain was complete before that.
func (c *chain) ends(pc uintptr) bool {
	if c.through {
		*c = chain{}
	}
	f := runtime.FuncForPC(pc - 1)
	if f == nil {
		c.through = c.slot > 0
		return c.through
	}
	i, ok := slots.entries[f.Entry()]
	switch {
	case !ok:
		c.through = c.slot > 0
	case f.Name() == slots.name: // else something that is inlined there
		c.slot = c.slot*digits + slot(i/Places) + 1
		c.place = Place(i % Places)
	}
	return c.through
}
