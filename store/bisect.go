package store

import (
	"context"
	"errors"
	"fmt"
	"sort"
)

// Bisect returns the first update in the store in directory dir after which bad holds: the
// one that broke the state. It restores snapshots, of which it expects that bad does not
// hold again for a later one once it holds, and replays the updates after the last that is
// good, with a call of bad after each; so of those updates it is the first, whatever comes
// later. newMachine returns a machine in its initial state, as often as it is called. bad
// must not change the machine. Nothing is changed on disk, and the store may be open.
//
// The error is [ErrNotRetained] if bad holds for the oldest state that is kept, or for
// none up to the end. Otherwise it is that of ctx, or one of [RestoreAt].
func Bisect(ctx context.Context, dir string, newMachine func() Machine, bad func(Machine) bool) (Update, error) {
	if newMachine == nil || bad == nil {
		return Update{}, errors.New("store: bisecting needs a function that makes machines, and one that judges them, not nil")
	}
	l, err := filesIn(dir).Find()
	if err != nil {
		return Update{}, err
	}
	starts := l.Snaps
	if l.Reaches(0) && !l.HasSnapshot(0) {
		starts = append([]uint64{0}, starts...)
	}
	m, index, err := lastGood(ctx, dir, starts, newMachine, bad)
	if err != nil {
		return Update{}, err
	}
	c := clockedBy(m)
	for u, err := range ReadUpdates(ctx, dir, index+1) {
		if err != nil {
			return Update{}, err
		}
		if err := c.replay(u.logged()); err != nil {
			return Update{}, fmt.Errorf("store: bisecting %s: the machine refused update %d, as it had not when the update was made: %w", dir, u.Index, err)
		}
		if bad(m) {
			return u, nil
		}
		index = u.Index
	}
	return Update{}, &opError{is: ErrNotRetained, msg: fmt.Sprintf("no update up to %d, the last one in %s, gives a state that is bad", index, dir)}
}

// lastGood returns a machine in the last of the states of these indexes that is not bad.
func lastGood(ctx context.Context, dir string, indexes []uint64, newMachine func() Machine, bad func(Machine) bool) (Machine, uint64, error) {
	good := make([]Machine, len(indexes))
	var err error
	n := sort.Search(len(indexes), func(i int) bool {
		if err != nil {
			return true
		}
		m := newMachine()
		if err = RestoreAt(ctx, dir, m, indexes[i], nil); err != nil {
			return true
		}
		if bad(m) {
			return true
		}
		clear(good[:i]) // no longer needed
		good[i] = m
		return false
	})
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("store: bisecting %s: %w", dir, err)
	case n == 0:
		return nil, 0, &opError{is: ErrNotRetained, msg: fmt.Sprintf("the oldest state in %s, that of index %d, is bad already", dir, indexes[0])}
	}
	return good[n-1], indexes[n-1], nil
}
