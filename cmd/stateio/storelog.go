package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// runStoreLog prints a line for each update and snapshot in a store.
func runStoreLog(ctx context.Context, dir string, asJSON bool, stdout io.Writer) error {
	logs, snaps, err := storeFiles(dir)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(stdout, 64<<10)
	p := storePrinter{out: out, width: columns(stdout) - 36}
	if asJSON {
		p.json = json.NewEncoder(out)
	}
	err = p.all(ctx, dir, logs[0], snaps)
	return errors.Join(adviseStore(err, dir), out.Flush())
}

// A storePrinter prints what a store holds.
type storePrinter struct {
	out   *bufio.Writer
	json  *json.Encoder // nil: print a table
	width int           // of the preview
	begun bool
	line  []byte
}

// all prints the updates behind index base, and each snapshot behind the update
// that is the last in it.
func (p *storePrinter) all(ctx context.Context, dir string, base uint64, snaps []snapFile) error {
	passed := func(index uint64) error {
		for len(snaps) > 0 && snaps[0].index <= index {
			if err := p.snapshot(snaps[0]); err != nil {
				return err
			}
			snaps = snaps[1:]
		}
		return nil
	}
	err := passed(base)
	for u, uerr := range store.ReadUpdates(ctx, dir, base+1) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err = errors.Join(err, uerr); err != nil {
			return err
		}
		if err = errors.Join(p.update(u), passed(u.Index)); err != nil {
			return err
		}
	}
	return err
}

func (p *storePrinter) update(u store.Update) error {
	prefix := u.Data[:min(len(u.Data), inspect.PrefixSize)]
	if p.json != nil {
		return p.json.Encode(struct {
			Index   uint64 `json:"index"`
			Kind    string `json:"kind"`
			Size    int    `json:"size"`
			Preview string `json:"preview"`
		}{u.Index, "update", len(u.Data), string(prefix)})
	}
	p.row(u.Index, "update", int64(len(u.Data)))
	p.line = appendPreview(p.line, prefix, int64(len(u.Data)), max(20, p.width))
	return p.flush()
}

func (p *storePrinter) snapshot(s snapFile) error {
	if p.json != nil {
		return p.json.Encode(struct {
			Index uint64 `json:"index"`
			Kind  string `json:"kind"`
			Size  int64  `json:"size"`
			File  string `json:"file"`
		}{s.index, "snapshot", s.size, s.name})
	}
	p.row(s.index, "snapshot", s.size)
	p.line = append(p.line, s.name...)
	return p.flush()
}

// row begins a line.
func (p *storePrinter) row(index uint64, kind string, size int64) {
	p.line = p.line[:0]
	if !p.begun {
		p.begun = true
		p.line = fmt.Appendf(p.line, "%10s  %-8s  %10s  %s\n", "INDEX", "KIND", "SIZE", "PAYLOAD")
	}
	p.line = fmt.Appendf(p.line, "%10d  %-8s  %10d  ", index, kind, size)
}

func (p *storePrinter) flush() error {
	p.line = append(p.line, '\n')
	_, err := p.out.Write(p.line)
	return err
}
