package usercall

import (
	"runtime"
	"strconv"
	"testing"
)

// insideCall is code of the user's that asks where it is.
type insideCall func()

func (c insideCall) On(any) error { c(); return nil }

// numbered returns an owner that has a slot, whether or not that is in use.
func numbered(n int) *Owner {
	o := &Owner{}
	o.slot.Store(int32(n))
	return o
}

// A caller is told where it is, and in which of any number of owners.
func TestAnyNumberOfOwnersIsToldApart(t *testing.T) {
	takeSlot().give()
	for _, n := range []int{1, 2, digits - 1, digits, digits + 1, 2 * digits, 17 * digits, 17*digits + 1, 5000, 1 << 20} {
		for p := range Place(Places) {
			o, other := numbered(n), numbered(n+1)
			_ = other.Call(nil, 2, insideCall(func() { // nil
				_ = o.Call(nil, p, insideCall(func() { // nil
					for q := range Place(Places) {
						if o.Within(q) != (q == p) {
							t.Errorf("owner %d at place %d: within %d is %v", n, p, q, q != p)
						}
						if other.Within(q) != (q == 2) {
							t.Errorf("owner %d around owner %d: within %d is %v", n+1, n, q, q != 2)
						}
						for _, no := range []int{n + 2, n + digits, n * digits, n*digits + 1, n/digits + 1, max(1, (n-1)/digits)} {
							third := numbered(no)
							third.calls.Add(1)
							if no != n && no != n+1 && third.Within(q) {
								t.Errorf("in owner %d, owner %d takes itself for it", n, no)
							}
						}
					}
				}))
			}))
			if o.calls.Add(1); o.Within(p) {
				t.Errorf("owner %d at place %d: within when it is not", n, p)
			}
		}
	}
}

// However deep the stack is that the caller has, what calls it is found.
func TestAnOwnerIsFoundBelowADeepStack(t *testing.T) {
	takeSlot().give()
	o := numbered(20*digits + 1) // a chain of landmarks
	var deep func(n int) bool
	deep = func(n int) bool {
		if n == 0 {
			return o.Within(3)
		}
		found := deep(n - 1)
		runtime.KeepAlive(&n)
		return found
	}
	for n := range 200 {
		_ = o.Call(nil, 3, insideCall(func() { // nil
			if !deep(n) {
				t.Errorf("not found below %d calls", n)
			}
		}))
	}
}

// What an owner had is another's only when no call of it is under way.
func TestASlotIsGivenBackAfterTheLastCall(t *testing.T) {
	var first, second, third Owner
	first.Open()
	had := first.slot.Load()
	_ = first.Call(nil, 0, insideCall(func() { // nil
		first.Release()
		second.Open()
		if second.slot.Load() == had {
			t.Error("it was given to another within the call")
		}
		if second.calls.Add(1); second.Within(0) {
			t.Error("another takes the call for its own")
		}
		second.calls.Add(-1)
	}))
	third.Open()
	if third.slot.Load() != had {
		t.Errorf("it is not free: the next got %d, not %d", third.slot.Load(), had)
	}
	if err := first.Call(nil, 0, insideCall(func() { // nil
		if first.Within(0) {
			t.Error("it is found though it was released")
		}
	})); err != nil {
		t.Error(err)
	}
	second.Release()
	third.Release()
}

// The owner reaches the call, by whatever way it goes.
func TestTheOwnerReachesTheCall(t *testing.T) {
	takeSlot().give()
	for _, n := range []int{0, 1, digits + 1, 5000} {
		var got ownerCall
		if err := numbered(n).Call(n, 1, &got); err != nil || got.owner != n {
			t.Errorf("owner %d: the call got %v: %v", n, got.owner, err)
		}
	}
}

// ownerCall keeps the owner.
type ownerCall struct{ owner any }

func (c *ownerCall) On(owner any) error { c.owner = owner; return nil }

// BenchmarkCall measures a call by the first owner of a process, and by one after hundreds.
func BenchmarkCall(b *testing.B) {
	takeSlot().give()
	for _, n := range []int{1, 17, 1000} {
		b.Run("owner="+strconv.Itoa(n), func(b *testing.B) {
			o, c := numbered(n), &ownerCall{}
			b.ReportAllocs()
			for b.Loop() {
				_ = o.Call(o, 1, c) // nil
			}
		})
	}
}
