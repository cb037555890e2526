package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
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
	p := storePrinter{out: out, width: columns(stdout) - 62, follow: o.follow}
	if o.json {
		p.json = true
	}
	p.walk = newWalk(files, first, last)
	if o.follow {
		stderr = io.Discard // there is no end
	}
	p.bar = newProgress(stdout, beside(stdout, stderr), "log "+dir, p.walk.total)
	defer p.bar.finish()
	err = p.all(ctx, dir, first, last, files)
	return errors.Join(adviseStore(err, dir), out.Flush())
}

// A storePrinter prints what a store holds.
type storePrinter struct {
	out    *bufio.Writer
	json   bool // else print a table
	width  int  // of the preview
	follow bool // go on at the end, and flush each line
	begun  bool
	line   []byte
	walk   *walk
	bar    *progress
}

// all prints the updates with the indexes first to last, and each snapshot after the
// update that is the last in it.
func (p *storePrinter) all(ctx context.Context, dir string, first, last uint64, files []store.File) error {
	passed := func(index uint64) error {
		for len(files) > 0 && (!files[0].Snapshot || files[0].Last <= index) {
			if f := files[0]; f.Snapshot && f.Last+1 >= first {
				if err := p.snapshot(f); err != nil {
					return err
				}
			}
			files = files[1:]
		}
		return nil
	}
	read := store.ReadUpdates
	if p.follow {
		read = followUpdates
	}
	err := passed(first - 1)
	if first > last {
		return err // nothing was made then, and what comes is made later
	}
	for u, uerr := range read(ctx, dir, first) {
		if err = errors.Join(err, uerr); err != nil || ctx.Err() != nil || u.Index > last {
			break
		}
		p.bar.at(p.walk.read(u.Index, len(u.Data)))
		if err = errors.Join(p.update(u), passed(u.Index)); err != nil || u.Index == last {
			break
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
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
