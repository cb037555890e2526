package statetest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// planted is the machine without bugs, with one of its methods replaced.
type planted struct {
	cloned
	apply    func(p *planted, update []byte) error
	snapshot func(p *planted) (io.WriterTo, error)
	restore  func(p *planted, r io.Reader) error

	kept    map[string][]byte // more state, for some bugs
	count   int
	scratch []byte
}

func (p *planted) Apply(update []byte) (any, error) {
	if p.apply != nil {
		return nil, p.apply(p, update)
	}
	return p.cloned.Apply(update)
}

func (p *planted) Snapshot() (io.WriterTo, error) {
	if p.snapshot != nil {
		return p.snapshot(p)
	}
	return p.cloned.Snapshot()
}

func (p *planted) Restore(r io.Reader) error {
	if p.restore != nil {
		return p.restore(p, r)
	}
	return p.cloned.Restore(r)
}

// correct applies an update without a bug.
func (p *planted) correct(update []byte) error {
	_, err := p.cloned.Apply(update)
	return err
}

// writerTo is a captured state that is a function.
type writerTo func(w io.Writer) error

func (f writerTo) WriteTo(w io.Writer) (int64, error) { return 0, f(w) }

// plantedBug is a bug and the check that must find it, with a sequence of at most
// that many updates.
type plantedBug struct {
	name    string
	check   string
	says    string // in the failure too
	updates int
	machine planted
}

const looksAtClock = "Apply looks at the clock"

var plantedBugs = []plantedBug{
	{
		name: "encoding ranges over a map", check: "equal states have equal snapshots",
		says: "Encode it in the order of its keys, or give Options.Equal", updates: 2,
		machine: planted{snapshot: func(p *planted) (io.WriterTo, error) {
			m := maps.Clone(p.m)
			return writerTo(func(w io.Writer) error {
				for k, v := range m {
					if _, err := fmt.Fprintln(w, k, v); err != nil {
						return err
					}
				}
				return nil
			}), nil
		}},
	},
	{
		name: "Snapshot changes the state", check: "equal states have equal snapshots",
		says: "Either Snapshot, WriteTo or Close changes the state", updates: 0,
		machine: planted{snapshot: func(p *planted) (io.WriterTo, error) {
			p.count++
			p.m["snapshots"] = fmt.Sprint(p.count)
			return p.cloned.Snapshot()
		}},
	},
	{
		name: looksAtClock, check: "Apply is deterministic",
		says: "in different states", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			if string(update[:3]) == "add" {
				update = fmt.Appendf(nil, "%s-%d", update, time.Now().UnixNano())
			}
			return p.correct(update)
		}},
	},
	{
		name: "Apply draws random numbers", check: "Apply is deterministic",
		says: "in different states", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			if string(update[:3]) == "add" {
				update = fmt.Appendf(nil, "%s-%d", update, rand.Uint64())
			}
			return p.correct(update)
		}},
	},
	{
		name: "Apply evicts what comes first in a map", check: "Apply is deterministic",
		says: "", updates: 9,
		machine: planted{apply: func(p *planted, update []byte) error {
			if len(p.m) > 6 {
				for k := range p.m {
					delete(p.m, k)
					break
				}
			}
			return p.correct(update)
		}},
	},
	{
		name: "Apply refuses at random", check: "Apply is deterministic",
		says: "one refused update", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			if string(update[:3]) == "add" && rand.IntN(4) == 0 {
				return errRefused
			}
			return p.correct(update)
		}},
	},
	{
		name: "Apply does the first half of what it refuses", check: "a refused update leaves the state",
		says: "and changed the state", updates: 4,
		machine: planted{apply: func(p *planted, update []byte) error {
			f := strings.Fields(string(update))
			if f[0] == "mov" {
				if _, taken := p.m[f[2]]; taken {
					delete(p.m, f[1])
					return errRefused
				}
			}
			return p.correct(update)
		}},
	},
	{
		name: "Apply counts what it refuses", check: "a refused update leaves the state",
		says: "is accepted by a machine that has refused updates before", updates: 4,
		machine: planted{apply: func(p *planted, update []byte) error {
			if string(update[:3]) == "add" && p.count < 3 {
				p.count++
				return errRefused
			}
			return p.correct(update)
		}},
	},
	{
		name: "Apply keeps the update", check: "Apply does not keep or change the update",
		says: "clone what is kept", updates: 1,
		machine: planted{
			apply: func(p *planted, update []byte) error {
				if f := bytes.Fields(update); string(f[0]) == "add" {
					p.kept[string(f[1])] = f[2]
				}
				return p.correct(update)
			},
			snapshot: func(p *planted) (io.WriterTo, error) {
				m := maps.Clone(p.m)
				for k, v := range p.kept {
					m["kept-"+k] = string(v)
				}
				return lines(m), nil
			},
		},
	},
	{
		name: "Apply changes the update", check: "Apply does not keep or change the update",
		says: "Apply has changed the bytes of update 1, which the store is about to log", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			err := p.correct(update)
			copy(update, bytes.ToUpper(update))
			return err
		}},
	},
	{
		name: "Apply appends to the update", check: "Apply does not keep or change the update",
		says: "Apply has written after the end of update 1", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			return p.correct(append(update, '!'))
		}},
	},
	{
		name: "Apply changes what it refuses", check: "Apply does not keep or change the update",
		says: "Apply has changed the bytes of update 1, which it refused", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			err := p.correct(update)
			if err != nil {
				copy(update, bytes.ToUpper(update))
			}
			return err
		}},
	},
	{
		name: "Apply appends to what it refuses", check: "Apply does not keep or change the update",
		says: "Apply has written after the end of update 1", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			err := p.correct(update)
			if err != nil {
				_ = append(update, '!')
			}
			return err
		}},
	},
	{
		name: "a counter is not in the snapshot", check: "Snapshot and the rest of the log equal a full replay",
		says: "gives another state than all", updates: 5,
		machine: planted{apply: func(p *planted, update []byte) error {
			if p.count++; p.count%5 == 0 {
				p.m["fifth"] = string(update[4:6])
			}
			_ = p.correct(update)
			return nil
		}},
	},
	{
		name: "Restore drops something", check: "Snapshot and the rest of the log equal a full replay",
		says: "restored into a new machine, gives another state", updates: 1,
		machine: planted{restore: func(p *planted, r io.Reader) error {
			err := p.cloned.Restore(r)
			delete(p.m, "k3")
			return err
		}},
	},
	{
		name: "Restore merges into the old map", check: "Restore replaces the whole state",
		says: "left something of the old state", updates: 1,
		machine: planted{
			snapshot: func(p *planted) (io.WriterTo, error) {
				b, err := json.Marshal(p.m)
				return bytes.NewBuffer(b), err
			},
			restore: func(p *planted, r io.Reader) error { return json.NewDecoder(r).Decode(&p.m) },
		},
	},
	{
		name: "Restore keeps a cache", check: "Restore replaces the whole state",
		says: "which shows after the next 1", updates: 1,
		machine: planted{apply: func(p *planted, update []byte) error {
			f := strings.Fields(string(update))
			if f[0] != "add" {
				delete(p.kept, f[1])
				delete(p.kept, f[len(f)-1])
				return p.correct(update)
			}
			old, ok := p.kept[f[1]]
			if !ok {
				old = []byte(p.m[f[1]])
			}
			p.m[f[1]] = string(old) + f[2]
			p.kept[f[1]] = []byte(p.m[f[1]])
			return nil
		}},
	},
	{
		name: "Restore reads once", check: "Restore replaces the whole state",
		says: "use io.ReadFull or io.ReadAll", updates: 1,
		machine: planted{restore: func(p *planted, r io.Reader) error {
			b := make([]byte, 1<<16)
			n, err := r.Read(b)
			if err != nil && err != io.EOF {
				return err
			}
			return p.cloned.Restore(bytes.NewReader(b[:n]))
		}},
	},
	{
		name: "Restore ignores why a scan ended", check: "Restore reports a read error",
		says: "part of it is lost and nobody is told", updates: 1,
		machine: planted{restore: func(p *planted, r io.Reader) error {
			var all []byte
			for s := bufio.NewScanner(r); s.Scan(); {
				if strings.Count(s.Text(), " ") == 1 {
					all = append(append(all, s.Bytes()...), '\n')
				}
			}
			return p.cloned.Restore(bytes.NewReader(all))
		}},
	},
	{
		name: "Snapshot returns the live map", check: "a captured snapshot does not change",
		says: "what Snapshot returns shares memory with what Apply or Restore change", updates: 1,
		machine: planted{snapshot: func(p *planted) (io.WriterTo, error) { return lines(p.m), nil }},
	},
	{
		name: "Restore clears the map that a snapshot shares", check: "a captured snapshot does not change",
		says: "written after another snapshot was restored", updates: 1,
		machine: planted{
			// Copy on write: Apply makes a copy if a snapshot has the map.
			apply: func(p *planted, update []byte) error {
				p.m = maps.Clone(p.m)
				return p.correct(update)
			},
			snapshot: func(p *planted) (io.WriterTo, error) { return lines(p.m), nil },
			restore: func(p *planted, r io.Reader) error {
				m, err := parse(r)
				clear(p.m)
				maps.Copy(p.m, m)
				return err
			},
		},
	},
	{
		name: "WriteTo and Apply share a buffer", check: "a snapshot does not change while it is written",
		says: "another one", updates: 2,
		machine: planted{
			apply: func(p *planted, update []byte) error {
				p.scratch = append(p.scratch[:0], update...)
				return p.correct(p.scratch)
			},
			snapshot: func(p *planted) (io.WriterTo, error) {
				m := maps.Clone(p.m)
				return writerTo(func(w io.Writer) error {
					for _, k := range slices.Sorted(maps.Keys(m)) {
						p.scratch = fmt.Appendln(p.scratch[:0], k, m[k])
						if _, err := w.Write(p.scratch); err != nil {
							return err
						}
					}
					return nil
				}), nil
			},
		},
	},
	{
		name: "only WriteTo ends a snapshot", check: "a snapshot given up does no harm",
		says: "Snapshot returned an error: too many snapshots are under way", updates: 30,
		machine: planted{
			snapshot: func(p *planted) (io.WriterTo, error) {
				if p.count == 12 {
					return nil, errors.New("too many snapshots are under way")
				}
				p.count++
				m := maps.Clone(p.m)
				return writerTo(func(w io.Writer) error {
					p.count--
					_, err := lines(m).WriteTo(w)
					return err
				}), nil
			},
		},
	},
	{
		name: "WriteTo ignores errors", check: "a snapshot given up does no harm",
		says: "WriteTo returned nil although its writer had returned an error", updates: 2,
		machine: planted{snapshot: func(p *planted) (io.WriterTo, error) {
			m := maps.Clone(p.m)
			return writerTo(func(w io.Writer) error {
				_, _ = lines(m).WriteTo(w)
				return nil
			}), nil
		}},
	},
	{
		name: "Apply panics", check: "equal states have equal snapshots",
		says: "the machine panicked: third", updates: 3,
		machine: planted{apply: func(p *planted, update []byte) error {
			if p.count++; p.count == 3 {
				panic("third")
			}
			return p.correct(update)
		}},
	},
}

// Each bug is found by the check that is meant for it, whatever the seed, and
// told with a short sequence of updates.
func TestPlantedBugsAreFound(t *testing.T) {
	const updates = 120
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for _, bug := range plantedBugs {
		t.Run(bug.name, func(t *testing.T) {
			if bug.name == looksAtClock && runtime.GOOS == "windows" {
				t.Skip("the clock of Windows stands still between two updates")
			}
			t.Parallel()
			newMachine := func() store.Machine {
				m := bug.machine
				m.m, m.kept = map[string]string{}, map[string][]byte{}
				return &m
			}
			for seed := range seeds {
				text := mustFail(t, newMachine, commands(seed), &statetest.Options{Updates: updates},
					fmt.Sprintf("check %q failed: ", bug.check), bug.says, "\nThe contract: ", "\nSeed ",
					"STATEIO_CRASH_SEED=", "go test -run '^TestRecorded$/^some_case$'")
				if seed == 0 {
					t.Log(text)
				}
				if n := listed(text); n > bug.updates {
					t.Errorf("the failure is shown by %d updates, %d are enough:\n%s", n, bug.updates, text)
				}
			}
		})
	}
}

var numbered = regexp.MustCompile(`^ +[0-9]+  `)

// listed returns how many updates a failure lists.
func listed(text string) (n int) {
	if strings.Contains(text, "No update is needed to show it") {
		return 0
	}
	_, list, ok := strings.Cut(text, "The shortest sequence of updates that shows it")
	if !ok {
		return 1 << 30
	}
	for line := range strings.Lines(list) {
		if numbered.MatchString(line) {
			n++
		}
	}
	return n
}
