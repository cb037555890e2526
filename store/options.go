package store

import (
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// Options change how a store works. The zero value of each field stands for
// its default. Open copies the struct.
type Options struct {
	// SnapshotBytes starts a snapshot by itself when this many bytes of log have
	// been written since the last one. 0, the default, means the size of the last
	// snapshot, and at least 64 MiB, so that snapshots at most double what is
	// written. Below zero: never, and the log grows until Snapshot is called. Else a
	// disk that is nearly full starts one sooner. [Store.SetSnapshotBytes] changes it.
	SnapshotBytes int64

	// MustExist makes Open fail with fs.ErrNotExist where there is no store: a volume
	// that is not mounted, or a path with a mistake in it, is not a new store.
	MustExist bool

	// KeepSnapshots is the number of snapshots kept, with every update since the
	// oldest of them; the default is 2. With 1, a damaged snapshot can't be
	// replaced by an older one.
	KeepSnapshots int

	// KeepFor keeps snapshots and updates beyond KeepSnapshots, as many as are needed to
	// go back to any state of that time before now: see [RestoreAt] and [IndexAt]. Now is
	// what the machine's clock says: one that jumps ahead keeps less, but never less than
	// KeepSnapshots. Snapshots whose time is still to come, since a clock was ahead when
	// they were made, count from when their files were changed last. 0, the default, keeps
	// no more.
	KeepFor time.Duration

	// MaxUpdate is the size of the largest update, in bytes; the default is
	// 64 MiB, and the most 1 GiB. Larger updates in the log are still read.
	MaxUpdate int

	// MaxPending is how many bytes of updates may wait to be written while a
	// commit is under way; further ones wait before they are applied. The default
	// is 4 MiB. A single update may be larger.
	MaxPending int

	// SyncInterval is the least time from one commit to the next. 0, the default,
	// commits each batch at once. With more, Update takes up to that much longer,
	// and the disk does less: useful with many writers or with Submit. A batch of
	// MaxPending bytes does not wait for it, nor do Sync, Flush, Backup and Close.
	// [Store.SetSyncInterval] changes it.
	SyncInterval time.Duration

	// PreallocateBytes is the most disk space that is set aside for the log at a
	// time, and zeroed; the default is 4 MiB. A new log begins with 16 KiB, and
	// doubles that. Small values make commits slower, large ones make one commit in
	// many take longer. Where there is less space than this, what is needed is set
	// aside, and as much again.
	PreallocateBytes int64

	// Shadow returns a second machine, in its initial state, that makes the snapshots. It
	// replays the log up to where a snapshot begins; then its Snapshot and WriteTo are
	// called, while nothing else is done there. So the machine that is used needs no copy
	// of its state, and no care for what runs concurrently with WriteTo: its Snapshot is
	// called for a state that was set before the first update, and else never. Updates wait
	// for a snapshot no longer than it takes to begin a log. Backup makes a snapshot, and
	// copies it. The price is the memory of a second state, and that each update is applied
	// a second time.
	//
	// It also proves, with each snapshot, that the machine has the state which a crash would
	// give back: an update that the shadow refuses is a [*ReplayError], and a difference
	// that a [Digester] tells is [ErrDiverged]. Then no snapshot is made, and the log is
	// kept. With [Untyped], typed machines can be shadows. One that is an io.Closer is closed
	// when it is used no more, at the latest by Close, even if it has not returned. Package
	// shadow has it in another process. Nil, the default: there is none.
	Shadow func() Machine

	// FileMode and DirMode are the permissions of files and directories that the
	// store makes, less the umask: 0600 and 0700 by default. Those of existing
	// ones are not changed.
	FileMode, DirMode fs.FileMode

	// Logger gets what an operator must know: what Open found, a snapshot that
	// failed, the store's failure, what nothing has come of for seconds. It is called
	// in a goroutine of its own, one line at a time; a handler that blocks keeps nobody
	// waiting, and lines are lost when hundreds wait for it. The default is
	// slog.Default().
	Logger *slog.Logger
}

const (
	defaultKeepSnapshots = 2
	defaultMaxUpdate     = 64 << 20
	maxMaxUpdate         = storefile.MaxUpdate
	defaultMaxPending    = 4 << 20
	defaultPreallocate   = 4 << 20
	minSnapshotBytes     = 64 << 20
)

// withDefaults returns a copy of o with every field set, or what is wrong.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	switch {
	case c.KeepSnapshots < 0:
		return c, fmt.Errorf("store: Options.KeepSnapshots is %d: it must be at least 1, or 0 for the default", c.KeepSnapshots)
	case c.KeepFor < 0:
		return c, fmt.Errorf("store: Options.KeepFor is %v: it must not be negative", c.KeepFor)
	case c.MaxUpdate < 0 || c.MaxUpdate > maxMaxUpdate:
		return c, fmt.Errorf("store: Options.MaxUpdate is %d: it must be between 1 and %d, or 0 for the default", c.MaxUpdate, maxMaxUpdate)
	case c.MaxPending < 0:
		return c, fmt.Errorf("store: Options.MaxPending is %d: it must not be negative", c.MaxPending)
	case c.SyncInterval < 0:
		return c, fmt.Errorf("store: Options.SyncInterval is %v: it must not be negative", c.SyncInterval)
	case c.PreallocateBytes < 0:
		return c, fmt.Errorf("store: Options.PreallocateBytes is %d: it must not be negative", c.PreallocateBytes)
	case c.FileMode&^fs.ModePerm != 0 || c.FileMode != 0 && c.FileMode&0o600 != 0o600:
		return c, fmt.Errorf("store: Options.FileMode is %v: it must be permissions that let the owner read and write", c.FileMode)
	case c.DirMode&^fs.ModePerm != 0 || c.DirMode != 0 && c.DirMode&0o700 != 0o700:
		return c, fmt.Errorf("store: Options.DirMode is %v: it must be permissions that let the owner do everything", c.DirMode)
	}
	setDefault(&c.KeepSnapshots, defaultKeepSnapshots)
	setDefault(&c.MaxUpdate, defaultMaxUpdate)
	setDefault(&c.MaxPending, defaultMaxPending)
	setDefault(&c.PreallocateBytes, defaultPreallocate)
	setDefault(&c.FileMode, 0o600)
	setDefault(&c.DirMode, 0o700)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
