package view

import (
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// showSnapshot writes a state as the machine writes its snapshots.
func showSnapshot(w io.Writer, m store.Machine) error {
	state, err := m.Snapshot()
	if err != nil {
		return err
	}
	_, err = state.WriteTo(w)
	return err
}

// showFile writes the state in the snapshot of index in the store in dir.
func showFile(w io.Writer, dir string, index uint64) error {
	m, err := inspect.OpenMap(dir)
	if err != nil {
		return err
	}
	for i, f := range m.Files {
		if f.Kind == inspect.SnapshotFile && f.Base == index {
			return showParts(w, m, i)
		}
	}
	return badRequest{fmt.Errorf("view: there is no snapshot of update %d in %s, and other states need Options.Machine of package view", index, dir)}
}

// showParts writes the state in file i of m.
func showParts(w io.Writer, m *inspect.Map, i int) error {
	for p, err := range m.Parts(i, inspect.Mark{}) {
		switch {
		case err != nil:
			return err
		case p.Content == inspect.ContentDamage || p.Content == inspect.ContentStranded:
			return &store.CorruptError{Path: m.Files[i].Path, Offset: p.Offset, Err: errors.New(p.Reason)}
		case p.Content == inspect.ContentState:
			if _, err := io.Copy(w, p.Payload()); err != nil {
				return err
			}
		}
	}
	return nil
}
