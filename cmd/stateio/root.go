package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootHelp = `stateio shows, checks, copies and repairs the state that programs keep with the
Go packages store and stateio: in the directory of a store, or in a state file. Both
hold snapshots of the state and the updates made to it since. It also appends to
both. What it has acknowledged survives kills and power failures; what a crash cut
short is told from damage.

Exit status: 0 success; 1 damage or a difference was found, or a file holds
something but no whole entry; 2 wrong command line; 3 any other failure; 128 + n
ended by signal n.`

const rootExample = `  stateio append app.state < events.txt    # each line, durably
  stateio restore app.state                # the same lines again
  stateio log app.state                    # what is in the file
  stateio verify /var/lib/app              # a store, too: is it sound?
  stateio log --from -10m /var/lib/app     # what was updated since`

// newRoot returns the command line.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "stateio",
		Short:         "Show, check, copy and repair stores and state files",
		Long:          rootHelp,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return noEmptyFlag(cmd.Flags())
		},
		Version: version(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetVersionTemplate("stateio {{.Version}} " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newAppend(), newSnapshot(), newRestore(),
		newLog(), newEpochs(), newVerify(), newFiles(), newStat(), newDiff(), newBackup(), newImport(), newRepair(), newBench(), newView(),
		newTruncate(), newCompact(), newVersion(),
	)
	root.SetHelpCommand(newHelp())
	for _, cmd := range root.Commands() {
		completeArguments(cmd)
	}
	return root
}

// unknownCommand returns the error for arguments that name no command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError{fmt.Errorf("there is no command %q: do you mean %s?", args[0], strings.Join(near, " or "))}
	}
	return usageError{fmt.Errorf("there is no command %q", args[0])}
}

// noEmptyFlag returns an error for a flag that is given without a value, as by a shell whose
// variable is empty: what was meant was not the default.
func noEmptyFlag(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(f *pflag.Flag) {
		_, list := f.Value.(pflag.SliceValue)
		if value := f.Value.String(); value == "" || list && value == "[]" {
			err = usageError{fmt.Errorf("the value of --%s is empty", f.Name)}
		}
	})
	return err
}

// arguments returns a check that there are arguments as named, none of them empty: the last
// are optional in brackets, and any number if they end with dots.
func arguments(names ...string) cobra.PositionalArgs {
	needed := 0
	for _, name := range names {
		if name[0] != '[' {
			needed++
		}
	}
	many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < needed:
			return usageError{fmt.Errorf("%s is missing", strings.TrimRight(names[len(args)], "."))}
		case len(args) > len(names) && !many:
			return usageError{fmt.Errorf("there is an argument too many: %s", args[len(names)])}
		}
		if i := slices.Index(args, ""); i >= 0 {
			return usageError{fmt.Errorf("%s is empty", strings.Trim(names[min(i, len(names)-1)], "[]."))}
		}
		return nil
	}
}
