package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

const diffHelp = `diff finds the first update at which two stores differ, such as a store and a copy of it
that went on by itself. It compares the updates that both still have, by index; states
and the times of updates are not looked at.

The exit status is 0 if there is no difference but that one has more updates than the
other, and 1 if there is one.

--json prints an object with the fields differs, from (the first index that was compared),
equal (the number of updates that are the same from there on), and a and b: each with path,
more (it has further updates) and, where there is a difference, update (index, time, size,
preview, hex, value), as log prints them; and error, if they could not be compared to the end.`

const diffExample = `  stateio diff /var/lib/app /backup/app`

func newDiff() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "diff A B",
		Short:   "Find the first update at which two stores differ",
		Long:    diffHelp,
		Example: diffExample,
		Args:    arguments("A", "B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := compare(cmd.Context(), args[0], args[1], cmd.OutOrStdout(), cmd.ErrOrStderr())
			switch {
			case asJSON:
				if err != nil {
					d.Error = bare(err.Error())
				}
				err = errors.Join(err, writeJSON(cmd.OutOrStdout(), d.object()))
			case err == nil:
				err = d.tell(cmd.OutOrStdout())
			}
			if d.Differs {
				err = errors.Join(err, fmt.Errorf("%s and %s: %w at update %d", d.A.Path, d.B.Path, errDiffer, d.From+d.Equal))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// A difference is what was found out about two stores.
type difference struct {
	Differs bool     `json:"differs"`
	From    uint64   `json:"from"`  // the first index that both have
	Equal   uint64   `json:"equal"` // the number of updates from there on that are the same
	A       diffSide `json:"a"`
	B       diffSide `json:"b"`
	Error   string   `json:"error,omitempty"`
}

// A diffSide is what was found out about one of them.
type diffSide struct {
	Path   string           `json:"path"`
	More   bool             `json:"more"` // there is an update after those that are the same
	Update *storeUpdateLine `json:"update,omitempty"`

	update store.Update // that one
}

// compare reads two stores up to their first difference, and shows how far it is.
func compare(ctx context.Context, a, b string, stdout, stderr io.Writer) (difference, error) {
	d := difference{From: 1, A: diffSide{Path: a}, B: diffSide{Path: b}}
	var files [2][]store.File
	for i, dir := range []string{a, b} {
		err := forStores(dir, "%s is no directory: diff is for stores; of state files, compare what log prints")
		if err != nil {
			return d, err
		}
		if files[i], err = store.Files(dir); err != nil {
			return d, err
		}
		d.From = max(d.From, files[i][0].First)
	}
	w := newWalk(files[0], d.From, math.MaxUint64) // the shorter one, which ends both
	if other := newWalk(files[1], d.From, math.MaxUint64); other.total < w.total {
		w = other
	}
	bar := newProgress(stdout, stderr, "diff "+a+" "+b, 2*w.total)
	defer bar.finish()
	nextA, stopA := iter.Pull2(store.ReadUpdates(ctx, a, d.From))
	defer stopA()
	nextB, stopB := iter.Pull2(store.ReadUpdates(ctx, b, d.From))
	defer stopB()
	for ; ; d.Equal++ {
		var errA, errB error
		d.A.update, errA, d.A.More = nextA()
		d.B.update, errB, d.B.More = nextB()
		if ctx.Err() != nil {
			return d, context.Cause(ctx)
		}
		if err := errors.Join(errA, errB); err != nil {
			return d, err
		}
		if !d.A.More || !d.B.More {
			return d, nil
		}
		if d.A.update.State != d.B.update.State || !bytes.Equal(d.A.update.Data, d.B.update.Data) {
			d.Differs = true
			return d, nil
		}
		bar.at(2 * w.read(d.A.update.Index, len(d.A.update.Data)))
	}
}

// object returns d as it is printed in JSON.
func (d difference) object() difference {
	for _, side := range []*diffSide{&d.A, &d.B} {
		if d.Differs {
			line := lineOf(side.update)
			side.Update = &line
		}
	}
	return d
}

// tell prints d for people.
func (d difference) tell(w io.Writer) error {
	last := d.From + d.Equal - 1
	switch {
	case d.Differs:
		return d.tellUpdates(w)
	case !d.A.More && !d.B.More:
		_, err := fmt.Fprintf(w, "no difference: both end with update %d\n", last)
		return err
	}
	longer, shorter := d.A, d.B
	if d.B.More {
		longer, shorter = d.B, d.A
	}
	_, err := fmt.Fprintf(w, "no difference: %s ends with update %d, and %s has more\n", printable(shorter.Path), last, printable(longer.Path))
	return err
}

// tellUpdates prints the first updates that differ.
func (d difference) tellUpdates(w io.Writer) error {
	line := fmt.Appendf(nil, "update %d differs:\n", d.From+d.Equal)
	for _, side := range []diffSide{d.A, d.B} {
		data, size := side.update.Data, len(side.update.Data)
		line = fmt.Appendf(line, "  %s, %s, %s: ", printable(side.Path), stamp(side.update.Time), count(size, "byte"))
		line = appendPreview(line, data[:min(size, inspect.PrefixSize)], int64(size), 100)
		line = append(line, '\n')
	}
	_, err := w.Write(line)
	return err
}

// errDiffer is the error of a difference that was told.
var errDiffer = errors.New("the stores differ")
