package cluster

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path"

	"github.com/hashicorp/raft-wal/types"

	"github.com/stateio/stateio/internal/fsys"
	"github.com/stateio/stateio/internal/fsys/faultfs"
)

// A memVFS does on a disk in memory, whose power can fail, what raft-wal's own does
// on a real one: call for call, and with the same syncs.
type memVFS struct {
	disk *faultfs.FS
	lies bool // Sync does nothing
}

func (v memVFS) ListDir(dir string) (names []string, err error) {
	list, err := v.disk.List(dir)
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names, err
}

func (v memVFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := v.disk.Open(path.Join(dir, name), fsys.Create, 0o644)
	if err != nil {
		return nil, err
	}
	if size > 0 {
		if err := f.Preallocate(0, int64(size)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return &memFile{File: f, v: v, fresh: dir}, nil
}

func (v memVFS) Delete(dir, name string) error {
	if err := v.disk.Remove(path.Join(dir, name)); err != nil {
		return err
	}
	return v.disk.SyncDir(dir)
}

func (v memVFS) OpenReader(dir, name string) (types.ReadableFile, error) {
	return v.disk.Open(path.Join(dir, name), fsys.ReadOnly, 0)
}

func (v memVFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := v.disk.Open(path.Join(dir, name), fsys.ReadWrite, 0)
	if err != nil {
		return nil, err
	}
	return &memFile{File: f, v: v}, nil
}

type memFile struct {
	fsys.File
	v     memVFS
	fresh string // the directory, until it has been synced
}

func (f *memFile) Sync() error {
	if f.v.lies {
		return nil
	}
	if err := f.File.Sync(); err != nil || f.fresh == "" {
		return err
	}
	dir := f.fresh
	f.fresh = ""
	return f.v.disk.SyncDir(dir)
}

// A memMeta is a database that is replaced in one step: what raft-wal asks of bbolt,
// which maps its file into memory and so can't be had on a disk like this.
type memMeta struct {
	disk *faultfs.FS
	dir  string
	now  metaContent
}

type metaContent struct {
	State  types.PersistentState
	Stable map[string][]byte
}

func (m *memMeta) Load(dir string) (types.PersistentState, error) {
	m.dir, m.now = dir, metaContent{Stable: map[string][]byte{}}
	f, err := m.disk.Open(path.Join(dir, "meta"), fsys.ReadOnly, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return m.now.State, nil
	}
	if err != nil {
		return m.now.State, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return m.now.State, err
	}
	b := make([]byte, info.Size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return m.now.State, err
	}
	return m.now.State, json.Unmarshal(b, &m.now)
}

func (m *memMeta) CommitState(s types.PersistentState) error {
	return m.commit(metaContent{State: s, Stable: m.now.Stable})
}

func (m *memMeta) SetStable(key, value []byte) error {
	c := metaContent{State: m.now.State, Stable: maps.Clone(m.now.Stable)}
	c.Stable[string(key)] = value
	return m.commit(c)
}

func (m *memMeta) commit(c metaContent) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp := path.Join(m.dir, "meta.tmp")
	if err := m.disk.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := m.disk.Open(tmp, fsys.Create, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := m.disk.Rename(tmp, path.Join(m.dir, "meta")); err != nil {
		return err
	}
	m.now = c
	return m.disk.SyncDir(m.dir)
}

func (m *memMeta) GetStable(key []byte) ([]byte, error) { return m.now.Stable[string(key)], nil }

func (m *memMeta) Close() error { return nil }
