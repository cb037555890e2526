package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/store"
)

// beginFrom begins a cluster with the data that another directory has, in a directory that is
// the node's own. It does nothing if the node is there already, whatever has become of the
// other directory. It ends with ctx, and begins anew when it is called again.
func beginFrom(ctx context.Context, from, dir string, node *cluster.Options) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("beginning a cluster with the data in %s: %w", from, err)
		}
	}()
	if sameDir(from, dir) {
		return errors.New("-dir is that directory, too: give the node a new one by -dir; to go on with what is there, leave -from out")
	}
	if _, err := os.Stat(filepath.Join(dir, "NODE")); err == nil {
		if _, err := os.Stat(filepath.Join(dir, "IMPORTING")); errors.Is(err, fs.ErrNotExist) {
			slog.Info("there is a node already, which goes on with what it has: -from is not used", "dir", dir, "from", from)
			return nil
		}
	}
	f, err := os.CreateTemp(filepath.Dir(dir), "kv-backup-")
	if err != nil { // this may be in memory, which is smaller
		f, err = os.CreateTemp("", "kv-backup-")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	backup := backupStore
	if _, err := os.Stat(filepath.Join(from, "NODE")); err == nil {
		backup = backupNode
	}
	if err := backup(ctx, from, f, node); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return cluster.Import(ctx, dir, f, info.Size(), node)
}

// sameDir reports whether two paths are those of one directory.
func sameDir(a, b string) bool {
	at, aerr := os.Stat(a)
	bt, berr := os.Stat(b)
	return aerr == nil && berr == nil && os.SameFile(at, bt)
}

// backupStore backs up what the directory of a store has.
func backupStore(ctx context.Context, from string, to *os.File, _ *cluster.Options) error {
	m, err := durable.OpenMapOn(mapOptions(), func(m store.Machine) (store.Keeper, error) {
		return store.OpenContext(ctx, from, m, &store.Options{MustExist: true})
	})
	if err != nil {
		return err
	}
	_, err = m.Store().Backup(ctx, to)
	return errors.Join(err, m.Close())
}

var errRecovered = errors.New("the map was only opened to be recovered")

// backupNode backs up what the directory of a node has whose cluster is lost.
func backupNode(ctx context.Context, from string, to *os.File, node *cluster.Options) error {
	_, err := durable.OpenMapOn(mapOptions(), func(m store.Machine) (store.Keeper, error) {
		found, err := cluster.Recover(ctx, from, m, to, node)
		if err != nil {
			return nil, err
		}
		slog.Info("recovered what the node had", "dir", from, "updates", found.Index, "term", found.Term, "entry", found.Entry)
		return nil, errRecovered
	})
	if errors.Is(err, errRecovered) {
		return nil
	}
	return err
}
