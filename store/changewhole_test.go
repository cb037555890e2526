package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// moved makes a change of m that moves an amount from one account to another.
func moved(m *journal, amount int) func(tx *store.Tx) error {
	return note(m, fmt.Sprint(-amount), fmt.Sprint(amount))
}

// balance returns the sum of all amounts, which is 0 unless a part of a change is there.
func balance(updates []string) (sum int) {
	for _, u := range updates {
		n := 0
		_, _ = fmt.Sscan(u, &n)
		sum += n
	}
	return sum
}

// A follower shows no part of a change, neither its state nor its index.
func TestAFollowerShowsNoPartOfAChange(t *testing.T) {
	const dir, changes = "/unparted", 20
	memory(t, dir)
	live := &journal{}
	s := open(t, dir, live, nil)
	_, err := s.Change(t.Context(), moved(live, 1))
	check(t, err)
	var f *store.Follower
	seen := make(chan int, 2*changes)
	m := &hooked{}
	m.hook = func(int) {
		if f == nil {
			return // Follow has not returned
		}
		if st := f.Status(); st.Index%2 != 0 {
			t.Errorf("the status is that of update %d, within a change", st.Index)
		}
		go func() {
			_ = f.View(func() error { seen <- balance(m.updates); return nil })
		}()
		runtime.Gosched() // View comes, and may wait
	}
	followed, err := store.Follow(t.Context(), dir, m, &store.FollowOptions{Poll: time.Millisecond})
	check(t, err)
	check(t, followed.View(func() error { f = followed; return nil }))
	for i := range changes {
		_, err := s.Change(t.Context(), moved(live, i+2))
		check(t, err)
	}
	check(t, f.WaitIndex(t.Context(), s.Index()))
	for range 2 * changes {
		if sum := <-seen; sum != 0 {
			t.Errorf("View has seen a part of a change: %d", sum)
		}
	}
	// Within a change, what is waited for is its end.
	check(t, f.WaitIndex(t.Context(), s.Index()-1))
	check(t, errors.Join(f.Close(), s.Close()))
	if !slices.Equal(m.updates, live.updates) {
		t.Errorf("followed to %q", m.updates)
	}
}

// A context that ends within a change leaves all of it in the machine, and its index.
func TestAContextThatEndsPartsNoChange(t *testing.T) {
	const dir = "/endswithin"
	memory(t, dir)
	live := &journal{}
	s := open(t, dir, live, nil)
	for i := range 5 {
		_, err := s.Change(t.Context(), moved(live, i+1))
		check(t, err)
	}
	for at := 1; at <= 10; at++ {
		ctx, cancel := context.WithCancel(t.Context())
		m := &hooked{hook: func(n int) {
			if n == at {
				cancel()
			}
		}}
		index, err := store.Load(ctx, dir, m)
		if at <= 8 {
			wantIs(t, err, context.Canceled)
		}
		if want := at + at%2; len(m.updates) != want || index != uint64(want) || balance(m.updates) != 0 {
			t.Errorf("canceled by update %d: %d updates are there, and the index is %d: %v", at, len(m.updates), index, err)
		}
	}
	check(t, s.Close())
}

// There is no state within a change: RestoreAt says so, and where the nearest ones are, and has
// not begun with the change.
func TestRestoreAtWithinAChange(t *testing.T) {
	const dir = "/restorewithin"
	memory(t, dir)
	live := &journal{}
	s := open(t, dir, live, nil)
	update(t, s, "0")
	_, err := s.Change(t.Context(), note(live, "5", "-3", "-2"))
	check(t, err)
	check(t, s.Snapshot(t.Context()))
	_, err = s.Change(t.Context(), moved(live, 9))
	check(t, err)
	check(t, s.Close())
	for index, want := range map[uint64]string{0: "", 1: "", 2: "1 or 4", 3: "1 or 4", 4: "", 5: "4 or 6", 6: ""} {
		m := &journal{}
		err := store.RestoreAt(t.Context(), dir, m, index, nil)
		if want == "" {
			check(t, err)
		} else if !errors.Is(err, store.ErrNotRetained) || !strings.Contains(err.Error(), fmt.Sprint("update ", index, " of ", dir)) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("update %d: %v, which should end in %q", index, err, want)
		}
		if balance(m.updates) != 0 {
			t.Errorf("update %d: the machine holds %q", index, m.updates)
		}
	}
}

// An update of a change that is refused in a replay names a state before it that there was.
func TestARefusedReplayWithinAChangeNamesAStateBeforeIt(t *testing.T) {
	const dir = "/refusedwithin"
	memory(t, dir)
	live := &journal{}
	s := open(t, dir, live, nil)
	_, err := s.Change(t.Context(), note(live, "1", "2"))
	check(t, err)
	_, err = s.Change(t.Context(), note(live, "3", "4", "5"))
	check(t, err)
	check(t, s.Close())
	for refuse, want := range map[string]string{"2": "", "3": " 2, the last one before it", "5": " 2, the last one before its change"} {
		_, opened := store.Open(dir, &choosy{refuse: refuse}, quiet(nil))
		_, loaded := store.Load(t.Context(), dir, &choosy{refuse: refuse})
		for _, err := range []error{opened, loaded} {
			var refused *store.ReplayError
			switch {
			case !errors.As(err, &refused) || fmt.Sprint(refused.Index) != refuse:
				t.Errorf("update %s: %v", refuse, err)
			case want == "" && strings.Contains(err.Error(), "RestoreAt"), !strings.HasSuffix(err.Error(), want):
				t.Errorf("update %s: %v; want it to end in %q", refuse, err, want)
			}
		}
	}
	check(t, store.RestoreAt(t.Context(), dir, &choosy{refuse: "5"}, 2, nil))
}

// Bisect judges no state within a change, and finds the whole change that is bad.
func TestBisectJudgesNoPartOfAChange(t *testing.T) {
	const dir = "/bisectwithin"
	memory(t, dir)
	live := &journal{}
	s := open(t, dir, live, nil)
	for i := range 6 {
		_, err := s.Change(t.Context(), moved(live, i+1))
		check(t, err)
		if i == 2 {
			check(t, s.Snapshot(t.Context()))
		}
	}
	bisect := func() (store.Update, error) {
		return store.Bisect(t.Context(), dir, func() store.Machine { return &journal{} }, func(m store.Machine) bool { return balance(m.(*journal).updates) != 0 })
	}
	_, err := bisect()
	wantIs(t, err, store.ErrNotRetained)
	_, err = s.Change(t.Context(), note(live, "-8", "9"))
	check(t, err)
	_, err = s.Change(t.Context(), moved(live, 7))
	check(t, err)
	u, err := bisect()
	if err != nil || u.Index != 14 || string(u.Data) != "9" || u.More {
		t.Errorf("found %+v, %v", u, err)
	}
	check(t, s.Close())
}

// Whoever reads updates is told which are those of one change.
func TestUpdatesTellWhichAreOfOneChange(t *testing.T) {
	const dir = "/more"
	memory(t, dir)
	s, err := store.OpenTyped(dir, &counting{}, nil, quiet(nil))
	check(t, err)
	for n := range 4 {
		_, err := s.Change(t.Context(), func(tx *store.TypedTx[int]) error {
			for range n {
				check(t, tx.Append(n))
			}
			return nil
		})
		check(t, err)
	}
	want := []bool{false, true, false, true, true, false}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := map[string][]bool{}
	for u, err := range s.Store.Updates(ctx, 1) {
		check(t, err)
		if got["Updates"] = append(got["Updates"], u.More); u.Index == 6 {
			break
		}
	}
	for u, err := range s.Updates(ctx, 1) {
		check(t, err)
		if got["typed"] = append(got["typed"], u.More); u.Index == 6 {
			break
		}
	}
	for u, err := range store.ReadUpdates(ctx, dir, 1) {
		check(t, err)
		got["ReadUpdates"] = append(got["ReadUpdates"], u.More)
	}
	for u, err := range store.TailUpdates(ctx, dir, 1) {
		check(t, err)
		if got["TailUpdates"] = append(got["TailUpdates"], u.More); u.Index == 6 {
			break
		}
	}
	_, err = store.Check(ctx, dir, &store.CheckOptions{Update: func(u store.Update) { got["Check"] = append(got["Check"], u.More) }})
	check(t, err)
	for how, more := range got {
		if !slices.Equal(more, want) {
			t.Errorf("%s tells %v", how, more)
		}
	}
	for u := range store.ReadUpdates(ctx, dir, 5) { // in the middle of one
		if u.More != (u.Index < 6) {
			t.Errorf("from update 5 on: %+v", u)
		}
	}
	check(t, s.Close())
	if len(got) != 5 {
		t.Errorf("only %d ways", len(got))
	}
}

// counting adds up numbers.
type counting struct{ store.JSONState[int] }

func (c *counting) Apply(n int) (int, error) {
	c.State += n
	return c.State, nil
}
