package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stateio/stateio/store"
)

// store verifies the store in a directory.
func (v *verifier) store(ctx context.Context, dir string) (verdict, error) {
	bar := newProgress(v.stdout, v.stderr, "verify "+dir, 0)
	var printErr error
	reports, err := store.Check(ctx, dir, &store.CheckOptions{
		Progress: bar.of,
		Report: func(r store.FileReport) {
			bar.hide()
			if err := v.describeFile(r); printErr == nil {
				printErr = err
			}
		},
	})
	bar.finish()
	if ctx.Err() != nil {
		return verdict{}, fmt.Errorf("%w: verifying %s is not complete", context.Cause(ctx), dir)
	}
	if err != nil {
		return verdict{}, errors.Join(err, printErr)
	}
	found := verdict{Path: dir, Kind: "store", Damage: []verdictDamage{}}
	logs := 0
	for _, r := range reports {
		found.add(r)
		if strings.HasSuffix(r.Path, ".snap") {
			found.Snapshots++
		} else {
			logs++
		}
	}
	found.Sound = found.Damaged == 0
	holds := fmt.Sprintf("%s in %s, and %s", count(int64(found.Updates), "update"), count(logs, "log"), count(found.Snapshots, "snapshot"))
	found.conclude(ctx, holds, reports)
	if ctx.Err() != nil {
		return verdict{}, fmt.Errorf("%w: verifying %s is not complete", context.Cause(ctx), dir)
	}
	return found, printErr
}

// add counts what is in a file of a store.
func (v *verdict) add(r store.FileReport) {
	v.Updates += r.Updates
	v.Size += r.Size
	v.Torn += r.Torn
	v.Damaged += int64(len(r.Damage))
	for _, d := range r.Damage[:min(len(r.Damage), maxNamed-len(v.Damage))] {
		v.Damage = append(v.Damage, verdictDamage{Path: d.Path, Offset: d.Offset, Reason: d.Err.Error()})
	}
}

// describeFile prints what is wrong with a file of a store.
func (v *verifier) describeFile(r store.FileReport) error {
	for _, d := range r.Damage {
		if err := v.say(red, d.Path, fmt.Sprintf("damaged: offset %d: %s", d.Offset, escaped(d.Err.Error()))); err != nil {
			return err
		}
	}
	if r.Torn == 0 {
		return nil
	}
	return v.say(yellow, r.Path, fmt.Sprintf("torn tail: %s (not acknowledged): what a commit has left that a crash cut short", count(r.Torn, "byte")))
}

// conclude says whether a store still has its current state, and what can be had if it has
// not.
func (v *verdict) conclude(ctx context.Context, holds string, reports []store.FileReport) {
	at, ok := store.LastIntact(reports)
	if v.Sound {
		v.Verdict, v.Summary = verdictOK, "ok: "+holds
		if ok {
			v.Index = &at
		}
		return
	}
	last, err := store.Load(ctx, v.Path, &blindMachine{})
	if err == nil {
		v.Verdict, v.Index = verdictDamaged, &last
		v.Summary = fmt.Sprintf("damaged, but the current state, after update %d, is intact: %s", last, holds)
		return
	}
	const damaged = "DAMAGED, the current state too: the store can't be opened. Keep a copy; "
	v.Verdict = verdictLost
	if named := lastNamed(reports); ok && named > at {
		holds := "; updates up to at least %d were there, and are lost from %d on, unless repair --salvage can read some"
		defer func() { v.Summary += fmt.Sprintf(holds, named, at+1) }()
	} else if ok && unread(reports) {
		defer func() {
			v.Summary += fmt.Sprintf("; how many updates there were from %d on, which are lost, nothing tells", at+1)
		}()
	}
	if ok {
		v.Intact = &at
		v.Summary = fmt.Sprintf("%sstateio repair %s NEWDIR makes a store of the newest state that is whole, after update %d; stateio restore --at %d %[2]s gives it back", damaged, shellWord(v.Path), at, at)
		return
	}
	v.Summary = damaged + fmt.Sprintf("no state in it is whole; stateio repair --salvage %s NEWDIR keeps what can be read", shellWord(v.Path))
}

// unread reports whether nothing could be read of a log that may have been the newest.
func unread(reports []store.FileReport) bool {
	return slices.ContainsFunc(reports, func(r store.FileReport) bool {
		return filepath.Ext(r.Path) == ".log" && r.Updates == 0 && len(r.Damage) > 0 && r.Damage[0].Offset == 0 && r.Index >= lastNamed(reports)
	})
}

// lastNamed returns the last update that was there, as the names of the files tell.
func lastNamed(reports []store.FileReport) (last uint64) {
	for _, r := range reports {
		last = max(last, r.Index, r.Reaches)
	}
	return last
}
