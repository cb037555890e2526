package durable

import (
	"context"
	"errors"
	"fmt"
)

// On a keeper that is no store, updates come from other nodes as well, and this one learns
// of them when they are made. So a transaction is made as follows:
//
//  1. It takes the state that is here, of update index, which other nodes may be ahead of.
//  2. f computes its changes, from what it reads there.
//  3. An update says index, what was read, and the changes.
//  4. Where that comes to be in the log, every machine applies it if nothing of what was
//     read was changed after index, and else refuses it: see history. This is when it
//     takes effect.
//  5. Refused here, it is made again, from 1, where the state has what it was refused for.
//
// One that changes nothing, or whose f returns an error, has no place in the log. What it
// has read counts if that was the state at a moment after Txn was called: if nothing of it
// has changed up to a Sync that began after it was read; or else it is made again, in the
// state after that Sync.

// txnOn is Txn on a keeper that is no store.
func (m *Map[K, V]) txnOn(ctx context.Context, f func(tx *Tx[K, V]) error) error {
	synced := false // since the call
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			return m.gaveUp(try, err)
		}
		if try == 1 { // in conflict: let others of this Map not be
			if err := m.turn.take(ctx); err != nil {
				return err
			}
			defer m.turn.give()
		}
		if try == patience {
			defer m.closeGate()()
		}
		v, err := m.m.freezeAt(m.keeper)
		if err != nil {
			return fmt.Errorf("durable: transaction not made: %w", err)
		}
		tx := newTx(m.m, &conflicts[K, V]{keys: map[K]struct{}{}, tree: v.tree})
		tx.ops.reset(readKind)
		err = m.compute(tx, f)
		if err != nil || tx.ops.n == 0 {
			if synced {
				return err
			}
			if serr := m.keeper.Sync(ctx); serr != nil {
				return ungrounded(err, serr)
			}
			if m.m.unchanged(v.index, tx.reads) {
				return err
			}
			synced = true
			continue
		}
		if err = m.makeTxn(ctx, v.index, tx, try); !errors.Is(err, errConflict) {
			return err
		}
	}
}

// gaveUp says that ctx has ended with err after so many tries.
func (m *Map[K, V]) gaveUp(tries int, err error) error {
	if tries == 0 {
		return fmt.Errorf("durable: transaction not made: %w", err)
	}
	return fmt.Errorf("durable: transaction not made, since others changed what it reads, %d times: %w", tries, err)
}

// compute calls f with tx.
func (m *Map[K, V]) compute(tx *Tx[K, V], f func(*Tx[K, V]) error) error {
	defer func() { tx.ended = true }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.err
}

// makeTxn makes the changes of tx, which has seen the state of update index.
func (m *Map[K, V]) makeTxn(ctx context.Context, index uint64, tx *Tx[K, V], try int) error {
	if !m.m.unchanged(index, tx.reads) {
		return errConflict // as every machine would find
	}
	keys := m.m.keys
	update := appendReads(keys, []byte{head(readKind, keys.class)}, index, tx.reads)
	update = append(update, tx.ops.buf[1:]...)
	var err error
	if try < patience {
		_, err = m.update(ctx, update)
	} else { // the gate is closed, and this is whom it is closed for
		_, err = m.keeper.Update(ctx, update)
	}
	return err
}

// unchanged reports whether all that a transaction has read in the state of update index
// is as it was.
func (m *machine[K, V]) unchanged(index uint64, c *conflicts[K, V]) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.located {
		return false // a snapshot was restored meanwhile
	}
	r := &reads[K]{index: index}
	for key := range c.keys {
		r.keys = append(r.keys, key)
	}
	for _, s := range c.spans {
		if i, ok := m.keys.interval(s); ok {
			r.spans = append(r.spans, i)
		}
	}
	return m.history.judge(m.index+1, r) == nil
}
