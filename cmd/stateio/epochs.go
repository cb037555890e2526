package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio"
)

const epochsHelp = `epochs lists the epochs of the file, the current one first: each is a snapshot and
the updates that follow it. An epoch's name is the offset of its snapshot; the
first epoch, 0, may have none. Sizes are in bytes.

Epochs whose space stateio truncate gave back are not listed. A damaged one is,
with what is wrong; the exit status is then 1.

With --json each line is an object, with the fields epoch, end, snapshot (the size of the
state; left out where there is none) and size.`

const epochsExample = `  stateio epochs app.state
  stateio restore app.state --epoch 4096     # one of those listed`

func newEpochs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "epochs FILE",
		Short:   "List the epochs, the current one first",
		Long:    epochsHelp,
		Example: epochsExample,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEpochs(args[0], asJSON, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each epoch")
	return cmd
}

type epochLine struct {
	Epoch    uint64 `json:"epoch"`
	End      int64  `json:"end"`
	Snapshot *int64 `json:"snapshot,omitempty"`
	Size     int64  `json:"size"`
}

func runEpochs(path string, asJSON bool, stdout io.Writer) error {
	file, size, err := openRead(path)
	if err != nil {
		return err
	}
	defer file.Close()
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) {
		_, _ = fmt.Fprintf(table, format, args...) // Flush reports what went wrong
	}
	if !asJSON {
		line("EPOCH\tEND\tSNAPSHOT\tSIZE\t\n")
	}
	var damage []error
	for e, err := range stateio.Epochs(file, size) {
		switch {
		case errors.Is(err, stateio.ErrCorrupt):
			damage = append(damage, err)
		case err != nil:
			return errors.Join(err, table.Flush())
		case asJSON:
			one := epochLine{Epoch: e.Offset, End: e.End, Size: e.End - int64(e.Offset)}
			if e.StateSize >= 0 {
				one.Snapshot = &e.StateSize
			}
			if err := writeJSON(stdout, one); err != nil {
				return err
			}
		default:
			state := "none"
			if e.StateSize >= 0 {
				state = strconv.FormatInt(e.StateSize, 10)
			}
			line("%d\t%d\t%s\t%d\t\n", e.Offset, e.End, state, e.End-int64(e.Offset))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(damage) == 0 {
		return complete(file, size)
	}
	return errors.Join(damage...)
}
