package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

const (
	goldenLog   = ".log"   // a state file: updates, and snapshots between them
	goldenState = ".state" // the snapshot of the state that the log of that name leads to
)

// goldenCheck replays logs of earlier versions. What it finds has nothing to do
// with the stream of updates.
var goldenCheck = &check{
	name: "golden logs replay to the recorded states",
	promise: "the same updates in the same order give the same state at any time and on any machine, " +
		"also in a later version of the program, and Restore reads what an earlier version wrote",
	fixed: true,
	run: func(tr *trial) error {
		dir, record := tr.run.opts.Golden, tr.run.opts.UpdateGolden
		if dir == "" {
			return nil
		}
		if record {
			if err := tr.recordLog(dir); err != nil {
				return err
			}
		}
		found, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := lacksLog(dir, found); err != nil {
			return err
		}
		logs := 0
		for _, e := range found {
			if !e.IsDir() && filepath.Ext(e.Name()) != goldenLog {
				continue
			}
			logs++
			if err := tr.golden(filepath.Join(dir, e.Name()), e.IsDir(), record); err != nil {
				return err
			}
		}
		if logs == 0 {
			return fmt.Errorf("the folder %s holds no log, so there is nothing to check: %s", dir, howToRecord)
		}
		return nil
	},
}

// lacksLog returns an error if a state is recorded of a log that is not there, so that
// nothing tells whether it still leads to it.
func lacksLog(dir string, found []fs.DirEntry) error {
	for _, e := range found {
		name, ok := strings.CutSuffix(e.Name(), goldenState)
		if !ok || e.IsDir() || slices.ContainsFunc(found, func(e fs.DirEntry) bool {
			return e.Name() == name+goldenLog || e.IsDir() && e.Name() == name
		}) {
			continue
		}
		path := filepath.Join(dir, name)
		return fmt.Errorf("%s is there, and its log %s is not. Many files .gitignore have *.log, so that git leaves logs out: "+
			"allow this folder with a line such as !*%s in a file .gitignore of its own, and commit the log from where it was recorded. "+
			"If the log is gone for good, %s, or delete the state if that records another one",
			path+goldenState, path+goldenLog, goldenLog, howToRecord)
	}
	return nil
}

const howToRecord = "run the test once with the flag -statetest.update to record what is missing"

// golden replays one log, and compares the state with the recorded one, or
// records it if there is none.
func (tr *trial) golden(path string, isDir, record bool) error {
	replay := tr.replayFile
	if isDir {
		replay = tr.replayStore
	}
	m, err := replay(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	statePath := strings.TrimSuffix(path, goldenLog) + goldenState
	want, err := os.ReadFile(statePath)
	switch {
	case err == nil:
		if err := tr.compareRecorded(m, want); err != nil {
			return fmt.Errorf("%s replays to another state than was recorded in %s:\n%w\nIf the change is meant, delete that file, and %s",
				path, statePath, err, howToRecord)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist) && record:
		got, err := snapshot(m)
		if err != nil {
			return err
		}
		return writeNew(statePath, got)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no state is recorded for %s: %s", path, howToRecord)
	}
	return err
}

// compareRecorded returns what is wrong if m is not in the recorded state.
func (tr *trial) compareRecorded(m store.Machine, recorded []byte) error {
	old := tr.newMachine()
	if err := restore(old, recorded); err != nil {
		return err
	}
	if tr.equal != nil {
		return tr.compare(m, old)
	}
	got, err := snapshot(m)
	if err != nil || bytes.Equal(got, recorded) {
		return err
	}
	if tr.compare(m, old) == nil {
		return fmt.Errorf("the recorded snapshot can be restored, and gives the state that the log gives, "+
			"but that is encoded in another way now:\n%w", excerpts(got, recorded))
	}
	return excerpts(got, recorded)
}

// replayStore returns the state in the directory of a store, which is not
// touched.
func (tr *trial) replayStore(dir string) (m store.Machine, err error) {
	tmp, err := os.MkdirTemp("", "statetest")
	if err != nil {
		return nil, err
	}
	defer func() { err = errorOf(err, os.RemoveAll(tmp)) }()
	if err := os.CopyFS(tmp, os.DirFS(dir)); err != nil {
		return nil, err
	}
	m = tr.newMachine()
	s, err := store.Open(tmp, undated(m), quiet(nil))
	if err != nil {
		return nil, err
	}
	return m, s.Close()
}

// replayFile returns the state that a state file leads to: by all updates in it,
// from its first epoch on. Every snapshot on the way must be restored to the
// state that was reached.
func (tr *trial) replayFile(path string) (store.Machine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if ours, err := inspect.BelongsToStore(f); err != nil {
		return nil, err
	} else if ours {
		return tr.replayBackup(f, info.Size())
	}
	var epochs []uint64
	for e, err := range stateio.Epochs(f, info.Size()) {
		if err != nil {
			return nil, err
		}
		epochs = append(epochs, e.Offset)
	}
	slices.Reverse(epochs)
	r := &goldenReplay{trial: tr, m: tr.newMachine()}
	for i, epoch := range epochs {
		state, updates, err := stateio.RestoreEpoch(f, info.Size(), epoch)
		if err != nil {
			return nil, err
		}
		if state != nil {
			if err := r.snapshot(state, i == 0); err != nil {
				return nil, err
			}
		}
		for u, err := range updates.All() {
			if err != nil {
				return nil, err
			}
			if err := r.update(u); err != nil {
				return nil, err
			}
		}
	}
	return r.m, nil
}

// replayBackup returns the state in a backup.
func (tr *trial) replayBackup(f *os.File, size int64) (store.Machine, error) {
	var state bytes.Buffer
	if _, err := store.RestoreBackup(context.Background(), &state, f, size); err != nil {
		return nil, err
	}
	m := tr.newMachine()
	return m, restore(m, state.Bytes())
}

// A goldenReplay is on its way through a state file.
type goldenReplay struct {
	*trial
	m     store.Machine
	n     int      // updates applied
	since [][]byte // updates since the last snapshot
}

func (r *goldenReplay) update(u []byte) error {
	r.n++
	r.since = append(r.since, bytes.Clone(u))
	if err := apply(r.m, r.n, u); err != nil {
		return fmt.Errorf("Apply refuses update %d, which an earlier version has accepted: %w\n  %s", r.n, err, r.run.opts.FormatUpdate(u))
	}
	return nil
}

// snapshot goes on from the state in a snapshot, which is that of m unless the
// file begins with it.
func (r *goldenReplay) snapshot(state []byte, first bool) error {
	restored := r.newMachine()
	if err := restore(restored, state); err != nil {
		return fmt.Errorf("the snapshot after update %d: %w", r.n, err)
	}
	if err := r.compare(r.m, restored); err != nil && !first {
		var b strings.Builder
		r.run.listUpdates(&b, &failure{updates: r.since})
		return fmt.Errorf("updates %d to %d give another state than the snapshot that an earlier version wrote after them:\n%w\n%s",
			r.n-len(r.since)+1, r.n, err, &b)
	}
	r.m, r.since = restored, nil
	return nil
}
