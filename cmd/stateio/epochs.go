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
with what is wrong; the exit status is then 1.`

const epochsExample = `  stateio epochs app.state
  stateio restore app.state --epoch 4096     # one of those listed`

func newEpochs() *cobra.Command {
	return &cobra.Command{
		Use:     "epochs FILE",
		Short:   "List the epochs, the current one first",
		Long:    epochsHelp,
		Example: epochsExample,
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEpochs(args[0], cmd.OutOrStdout())
		},
	}
}

func runEpochs(path string, stdout io.Writer) error {
	file, size, err := openRead(path)
	if err != nil {
		return err
	}
	defer file.Close()
	table := tabwriter.NewWriter(stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) {
		_, _ = fmt.Fprintf(table, format, args...) // Flush reports what went wrong
	}
	line("EPOCH\tEND\tSNAPSHOT\tSIZE\t\n")
	var damage []error
	for e, err := range stateio.Epochs(file, size) {
		switch {
		case errors.Is(err, stateio.ErrCorrupt):
			damage = append(damage, err)
		case err != nil:
			return errors.Join(err, table.Flush())
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
	return errors.Join(damage...)
}
