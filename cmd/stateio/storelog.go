package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// runStoreLog prints a line for each update and snapshot in a store.
func runStoreLog(ctx context.Context, dir string, o logOptions, stdout, stderr io.Writer) error {
	files, err := store.Files(dir)
	if err != nil {
		return err
	}
	first, last, err := o.bounds(ctx, dir, files[0].First)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(stdout, 64<<10)
	p := storePrinter{out: out, width: columns(stdout) - 62, follow: o.follow, stdout: stdout}
	if o.json {
		p.json = true
	}
	p.walk, p.first = newWalk(files, first, last), first
	if o.follow {
		stderr = io.Discard // there is no end
	}
	p.bar = newProgress(stdout, beside(stdout, stderr), "log "+dir, p.walk.total)
	defer p.bar.finish()
	p.note(files)
	err = p.all(ctx, dir, first, last)
	return errors.Join(adviseStore(err, dir), out.Flush())
}

// A storePrinter prints what a store holds.
type storePrinter struct {
	out    *bufio.Writer
	json   bool // else print a table
	width  int  // of the preview
	follow bool // go on at the end, and flush each line
	stdout io.Writer
	begun  bool
	line   []byte
	walk   *walk
	bar    *progress

	first     uint64       // the update to begin with
	at        uint64       // the last update that was printed
	snapshots []store.File // not printed yet, by index
	noted     uint64       // snapshots before this index were noted
	names     []string     // in the directory, when snapshots were last looked for
}

// all prints the updates with the indexes first to last, and each snapshot after the
// update that is the last in it.
func (p *storePrinter) all(ctx context.Context, dir string, first, last uint64) error {
	err := p.passed(first - 1)
	if first > last {
		return err // nothing was made then, and what comes is made later
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	updates := store.ReadUpdates(ctx, dir, first)
	if p.follow {
		updates = followUpdates(ctx, dir, first, func() {
			err := p.later(dir)
			if err == nil && noReader(p.stdout) { // else the next update would tell, if one comes
				err = closedError{errNoReader}
			}
			if err != nil {
				stop(err)
			}
		})
	}
	for u, uerr := range updates {
		if err = errors.Join(err, uerr); err != nil || ctx.Err() != nil || u.Index > last {
			break
		}
		p.bar.at(p.walk.read(u.Index, len(u.Data)))
		if err = errors.Join(p.update(u), p.passed(u.Index)); err != nil || u.Index == last {
			break
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// note adds the snapshots among files to those that are to be printed.
func (p *storePrinter) note(files []store.File) {
	for _, f := range files {
		if f.Snapshot && f.Last >= p.noted {
			p.noted = f.Last + 1
			p.snapshots = append(p.snapshots, f)
		}
	}
}

// passed is for when all updates up to index are printed: it prints the snapshots up to
// there.
func (p *storePrinter) passed(index uint64) error {
	p.at = index
	for len(p.snapshots) > 0 && p.snapshots[0].Last <= index {
		f := p.snapshots[0]
		p.snapshots = p.snapshots[1:]
		if f.Last+1 < p.first {
			continue
		}
		if err := p.snapshot(f); err != nil {
			return err
		}
	}
	return nil
}

// later looks for snapshots that were made since. Errors are only those of printing them:
// what is wrong with the directory, the reader of updates tells.
func (p *storePrinter) later(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	if slices.Equal(names, p.names) {
		return nil
	}
	files, err := store.Files(dir)
	if err != nil {
		return nil
	}
	p.names = names
	p.note(files)
	return p.passed(p.at)
}

func (p *storePrinter) update(u store.Update) error {
	if p.json {
		return p.object(lineOf(u))
	}
	prefix := u.Data[:min(len(u.Data), inspect.PrefixSize)]
	p.row(u.Index, updateKind(u), u.Time, int64(len(u.Data)))
	p.line = appendPreview(p.line, prefix, int64(len(u.Data)), max(20, p.width))
	return p.flush()
}

func (p *storePrinter) snapshot(f store.File) error {
	name := filepath.Base(f.Path)
	if p.json {
		return p.object(storeSnapshotLine{f.Last, "snapshot", known(f.From), f.Size, name})
	}
	p.row(f.Last, "snapshot", f.From, f.Size)
	p.line = append(p.line, name...)
	return p.flush()
}

// updateKind tells an update from a whole state that has replaced the one before.
func updateKind(u store.Update) string {
	if u.State {
		return "state"
	}
	return "update"
}

func lineOf(u store.Update) storeUpdateLine {
	return storeUpdateLine{u.Index, updateKind(u), known(u.Time), payloadOf(u.Data, int64(len(u.Data)))}
}

type storeUpdateLine struct {
	Index uint64     `json:"index"`
	Kind  string     `json:"kind"`
	Time  *time.Time `json:"time,omitempty"`
	jsonPayload
}

type storeSnapshotLine struct {
	Index uint64     `json:"index"`
	Kind  string     `json:"kind"`
	Time  *time.Time `json:"time,omitempty"`
	Size  int64      `json:"size"`
	File  string     `json:"file"`
}

// object prints a line of JSON.
func (p *storePrinter) object(v any) error {
	err := writeJSON(p.out, v)
	if p.follow {
		err = errors.Join(err, p.out.Flush())
	}
	return err
}

// row begins a line.
func (p *storePrinter) row(index uint64, kind string, at time.Time, size int64) {
	p.line = p.line[:0]
	if !p.begun {
		p.begun = true
		p.line = fmt.Appendf(p.line, "%10s  %-24s  %-8s  %10s  %s\n", "INDEX", "TIME", "KIND", "SIZE", "PAYLOAD")
	}
	p.line = fmt.Appendf(p.line, "%10d  %-24s  %-8s  %10d  ", index, orDash(at), kind, size)
}

func (p *storePrinter) flush() error {
	p.line = append(p.line, '\n')
	_, err := p.out.Write(p.line)
	if p.follow {
		err = errors.Join(err, p.out.Flush())
	}
	return err
}
