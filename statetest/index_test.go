package statetest_test

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"testing"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// A ledger makes sure that no update is missing: the index is that after the last one.
type ledger struct {
	store.NoApply
	last, sum uint64
}

func (l *ledger) ApplyAt(_ time.Time, index uint64, update []byte) (any, error) {
	if index != l.last+1 {
		panic(fmt.Sprintf("update %d comes after update %d", index, l.last))
	}
	if len(update) == 2 {
		return nil, errRefused
	}
	l.last = index
	l.sum += uint64(len(update))
	return nil, nil
}

func (l *ledger) Snapshot() (io.WriterTo, error) {
	return bytes.NewReader(fmt.Appendln(nil, l.last, l.sum)), nil
}

func (l *ledger) Restore(r io.Reader) error {
	_, err := fmt.Fscanln(r, &l.last, &l.sum)
	return err
}

// entries are updates of which a ledger refuses every fourth.
func entries() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; ; i++ {
			if !yield(bytes.Repeat([]byte("a"), i%4)) {
				return
			}
		}
	}
}

// A refused update has the index that the next one may get, in every check as in a store.
func TestIndexesHaveNoGaps(t *testing.T) {
	mustPass(t, func() store.Machine { return &ledger{} }, entries(), &statetest.Options{Updates: 40, CrashStates: 1})
	mustPass(t, func() store.Machine { return &ledger{} }, entries(), &statetest.Options{Updates: 40, CrashStates: 1, Equal: equalLedgers})
}

func equalLedgers(a, b store.Machine) bool { return *a.(*ledger) == *b.(*ledger) }
