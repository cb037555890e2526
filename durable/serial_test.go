package durable_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stateio/stateio/durable"
)

// A seen is what a transaction has read.
type seen struct {
	reads []func(v map[string]int) string // what is different from what was read, or ""
}

// Random transactions on replicas that lag see what they would see if they ran one after
// the other, in the order of the log: what each has read is compared with the state right
// before it.
func TestTransactionsOnReplicasAreSerializable(t *testing.T) {
	cast := newCast()
	const replicas, workers, each = 3, 3, 100
	var all []*durable.Map[string, int]
	var rs []*replica
	for range replicas {
		m, r := joinMap[string, int](t, cast, nil)
		all, rs = append(all, m), append(rs, r)
	}
	var mu sync.Mutex
	made := map[int]seen{} // by the number that each puts under "id"
	var wg sync.WaitGroup
	for i, m := range all {
		for w := range workers {
			rnd := rand.New(rand.NewPCG(uint64(i), uint64(w)))
			wg.Go(func() {
				for n := range each {
					id := 1 + (i*workers+w)*each + n
					s, err := randomTxn(t, m, rnd, id)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					made[id] = s
					mu.Unlock()
					if rnd.IntN(3) == 0 {
						put(t, m, number(rnd.IntN(20)), id)
					}
				}
			})
		}
	}
	wg.Wait()
	alike(t, rs...)
	state, checked := map[string]int{}, 0
	for at, u := range rs[0].updates {
		before := maps.Clone(state)
		id := 0
		for _, c := range changesAt(t, all[0], u.Index) {
			if c.Deleted {
				delete(state, c.Key)
			} else {
				state[c.Key] = c.Value
			}
			if c.Key == "zz id" {
				id = c.Value
			}
		}
		s, ok := made[id]
		if !ok {
			continue // a Put
		}
		checked++
		for _, read := range s.reads {
			if different := read(before); different != "" {
				t.Fatalf("update %d: transaction %d has read %s", at+1, id, different)
			}
		}
	}
	if checked != replicas*workers*each {
		t.Errorf("%d transactions were in the log", checked)
	}
}

// randomTxn makes a transaction that reads and writes something, and returns what the last
// try has read.
func randomTxn(t *testing.T, m *durable.Map[string, int], rnd *rand.Rand, id int) (s seen, err error) {
	t.Helper()
	err = m.Txn(t.Context(), func(tx *intTx) error {
		s = seen{}
		for range 1 + rnd.IntN(3) {
			key := number(rnd.IntN(20))
			if rnd.IntN(3) > 0 {
				v, ok := tx.Get(key)
				s.reads = append(s.reads, func(state map[string]int) string {
					if was, had := state[key]; had != ok || was != v {
						return fmt.Sprintf("%s as %d, %v, and it was %d, %v", key, v, ok, was, had)
					}
					return ""
				})
				continue
			}
			to := number(rnd.IntN(20))
			n := 0
			for range tx.Range(key, to) {
				n++
			}
			s.reads = append(s.reads, func(state map[string]int) string {
				had := 0
				for k := range state {
					if k >= key && k < to {
						had++
					}
				}
				if had != n {
					return fmt.Sprintf("%d keys from %s to %s, and there were %d", n, key, to, had)
				}
				return ""
			})
		}
		tx.Put("zz id", id) // which nobody reads
		for range 1 + rnd.IntN(2) {
			tx.Put(number(rnd.IntN(20)), id) // after all reads, which are of the state, so
		}
		return nil
	})
	return s, err
}

// changesAt returns the changes of one update.
func changesAt(t *testing.T, m *durable.Map[string, int], index uint64) (all []durable.Change[string, int]) {
	t.Helper()
	for c, err := range m.Watch(t.Context(), index, nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		if !c.More {
			break
		}
	}
	return all
}
