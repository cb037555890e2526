package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio"
)

// goldenEpochs is how many snapshots a recorded log holds: the more, the closer
// a failure tells which update it is that gives another state.
const goldenEpochs = 4

// recordLog writes the log of the stream into the folder, unless it is there
// already. Nothing that is there is ever changed: it stands for the versions of
// the program that wrote it.
func (tr *trial) recordLog(dir string) error {
	tr.accepted()
	log, state, err := tr.encodeLog()
	if err != nil {
		return err
	}
	// The name is the content, so that a version which writes other snapshots
	// records a log of its own. If those differ each time, updates are all that
	// can be told apart.
	name := xxhash.New()
	if tr.equal == nil {
		_, _ = name.Write(log)
	} else {
		for _, u := range tr.log {
			_, _ = fmt.Fprintf(name, "%d:%s", len(u), u)
		}
	}
	path := filepath.Join(dir, fmt.Sprintf("%016x", name.Sum64()))
	if _, err := os.Stat(path + goldenLog); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// A state without its log is what an earlier version has recorded: the log is
	// compared with it.
	if err := writeNew(path+goldenState, state); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return writeNew(path+goldenLog, log)
}

// writeNew writes a file that is not there yet: all of it, or nothing.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errorOf(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// encodeLog returns the log as a state file, and a snapshot of its end.
func (tr *trial) encodeLog() (log, state []byte, err error) {
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	m := tr.newMachine()
	each := len(tr.log)/goldenEpochs + 1
	for i, u := range tr.log {
		if err := errorOf(apply(m, i+1, u), w.Update(u)); err != nil {
			return nil, nil, err
		}
		if (i+1)%each != 0 {
			continue
		}
		state, err := snapshot(m)
		if err != nil {
			return nil, nil, err
		}
		if err := w.Snapshot(state); err != nil {
			return nil, nil, err
		}
	}
	state, err = snapshot(m)
	return b.Bytes(), state, err
}
