package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

const epochsHelp = `epochs lists the epochs of the file, the current one first: each is a snapshot and
the updates that follow it. An epoch's name is the offset of its snapshot; the
first epoch, 0, may have none. Sizes are in bytes.

Epochs whose space stateio truncate gave back are not listed. It reads the whole file:
an epoch with damage is listed with the offset at which that begins, and what is wrong is
told on standard error; the exit status is then 1. restore --epoch gives back one without.

With --json each line is an object, with the fields epoch, end, snapshot (the size of the
state; left out where there is none, or it can't be read), size and damage (the offset at
which damage begins; left out where there is none).`

const epochsExample = `  stateio epochs app.state
  stateio restore app.state --epoch 4096     # one of those listed`

func newEpochs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "epochs FILE",
		Short:   "List the epochs of a state file, the current one first",
		Long:    epochsHelp,
		Example: epochsExample,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEpochs(cmd.Context(), args[0], asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each epoch")
	return cmd
}

// An epochLine is what is told of an epoch.
type epochLine struct {
	Epoch    uint64 `json:"epoch"`
	End      int64  `json:"end"`
	Snapshot *int64 `json:"snapshot,omitempty"`
	Size     int64  `json:"size"`
	Damage   *int64 `json:"damage,omitempty"`
}

func runEpochs(ctx context.Context, path string, asJSON bool, stdout, stderr io.Writer) error {
	file, size, err := openRead(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines, wrong := listEpochs(file, size)
	bar := newProgress(stdout, beside(stdout, stderr), "epochs "+path, size)
	wrong = append(wrong, findDamage(ctx, file, size, lines, bar)...)
	// Whatever went wrong, what is known is what people are looking for now.
	out := &heedless{w: stdout}
	if asJSON {
		for i := 0; i < len(lines) && err == nil; i++ {
			err = writeJSON(out, lines[i])
		}
	} else {
		err = printEpochs(out, lines)
	}
	if len(wrong) == 0 {
		wrong = append(wrong, complete(file, size))
	}
	return out.or(errors.Join(append(wrong, err)...))
}

// listEpochs walks from epoch to epoch, the current one first, and returns what is wrong with
// the states that they begin with, and what has ended the walk.
func listEpochs(file *os.File, size int64) (lines []*epochLine, wrong []error) {
	for e, err := range stateio.Epochs(file, size) {
		if err != nil {
			wrong = append(wrong, err)
		}
		if e.End == 0 { // it is not known which one it is, or there is nothing in it
			continue
		}
		l := &epochLine{Epoch: e.Offset, End: e.End, Size: e.End - int64(e.Offset)}
		if e.StateSize >= 0 {
			l.Snapshot = &e.StateSize
		}
		if corrupt := (*stateio.CorruptError)(nil); errors.As(err, &corrupt) {
			l.Damage = &corrupt.Offset
		}
		lines = append(lines, l)
	}
	return lines, wrong
}

// findDamage reads the whole file, and notes in lines where damage begins. It returns that of
// those that had none so far, and what has ended the reading.
func findDamage(ctx context.Context, file *os.File, size int64, lines []*epochLine, bar *progress) (wrong []error) {
	defer bar.finish()
	read := int64(0)
	_, err := inspect.Verify(ctx, file, size, &inspect.Options{
		Progress: func(off int64) { read = off; bar.at(off) },
		Found: func(d inspect.Damage) {
			if d.Place != inspect.Current && d.Place != inspect.Obsolete {
				return
			}
			i, _ := slices.BinarySearchFunc(lines, d.Offset, func(l *epochLine, off int64) int { return cmp.Compare(off, int64(l.Epoch)) })
			if i < len(lines) && lines[i].Damage == nil && d.Offset < lines[i].End {
				lines[i].Damage = &d.Offset
				d.Path = file.Name()
				wrong = append(wrong, &d)
			}
		},
	})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		wrong = append(wrong, fmt.Errorf("%s: damage was not looked for after offset %d: %w", file.Name(), read, err))
	}
	return wrong
}

// printEpochs prints a table, with a column for damage if there is any.
func printEpochs(stdout io.Writer, lines []*epochLine) error {
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	damaged := slices.ContainsFunc(lines, func(l *epochLine) bool { return l.Damage != nil })
	line := func(cells ...string) {
		if !damaged {
			cells = cells[:4]
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t")+"\t") // Flush reports what went wrong
	}
	line("EPOCH", "END", "SNAPSHOT", "SIZE", "DAMAGE")
	for _, l := range lines {
		state, damage := "none", "none"
		if l.Snapshot != nil {
			state = strconv.FormatInt(*l.Snapshot, 10)
		}
		if l.Damage != nil {
			damage = fmt.Sprint("at ", *l.Damage)
			if *l.Damage == int64(l.Epoch) {
				state = "damaged"
			}
		}
		line(strconv.FormatUint(l.Epoch, 10), strconv.FormatInt(l.End, 10), state, strconv.FormatInt(l.Size, 10), damage)
	}
	return table.Flush()
}
