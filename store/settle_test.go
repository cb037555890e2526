package store

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Settle waits until every goroutine that runs functions of this package, or was begun by
// one, waits: what can happen has happened then. It is what synctest.Wait is, and goroutines
// may also wait for a mutex. One call at a time; timers may go off later.
func Settle() {
	stacks := make([]byte, 64<<10)
	for {
		n := runtime.Stack(stacks, true)
		switch {
		case n == len(stacks):
			stacks = make([]byte, 2*len(stacks))
		case allWait(string(stacks[:n])):
			return
		}
		runtime.Gosched()
	}
}

// Arrives returns what comes from c, within seconds, or fails the test with otherwise.
func Arrives[T any](t *testing.T, c <-chan T, otherwise string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal(otherwise)
		panic("not reached")
	}
}

// waiting is the head of a goroutine that others must wake.
var waiting = regexp.MustCompile(`^goroutine \d+ [^\[]*\[(chan |select|sync\.|coroutine)`)

// ours tells the goroutines of this package. When the function of a WaitGroup has returned,
// only the WaitGroup is left of it, and wakes whatever waits for that.
var ours = regexp.MustCompile(`/stateio/(store|internal/latelog)|sync\.\(\*WaitGroup\)\.Go`)

// allWait reports whether the goroutines of this package wait, by a dump of all of them.
// The first is that of the caller.
func allWait(stacks string) bool {
	for _, g := range strings.Split(stacks, "\n\n")[1:] {
		if ours.MatchString(g) && !waiting.MatchString(g) {
			return false
		}
	}
	return true
}

func TestSettleSeesWhoWaits(t *testing.T) {
	const (
		caller = "goroutine 1 [running]:\nx\n\n"
		store  = "\ngithub.com/stateio/stateio/store.(*Store).View(0x1)\n"
	)
	for state, waits := range map[string]bool{
		"select": true, "chan receive, 2 minutes": true, "sync.RWMutex.RLock": true, "sync.Mutex.Lock, locked to thread": true,
		"runnable": false, "running": false, "syscall": false, "GC assist wait": false, "semacquire": false, "sleep": false,
	} {
		if got := allWait(caller + "goroutine 20 [" + state + "]:" + store); got != waits {
			t.Errorf("%q waits: %v", state, got)
		}
	}
	if allWait(caller + "goroutine 21 [runnable]:\nsync.(*WaitGroup).Go.func1.1()\n") {
		t.Error("the end of a function in a WaitGroup does not count")
	}
	if !allWait(caller + "goroutine 21 [running]:\nanother.package()\n") {
		t.Error("what other packages do counts")
	}
}
