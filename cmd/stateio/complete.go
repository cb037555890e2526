package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// initCompletion adds the command completion. That of cobra prints its help for a shell that
// it does not know, and exits with 0. Standard output must be set before.
func initCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var shells []string
			for _, shell := range cmd.Commands() {
				shells = append(shells, shell.Name())
			}
			return usageError{fmt.Errorf("there is no completion for %q: there is one for %s", args[0], strings.Join(shells, ", "))}
		}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		for _, shell := range cmd.Commands() {
			shell.Args = arguments()
		}
	}
}

// completeArguments makes shells complete the arguments of a command, and the values of
// its flags, by what they are called in its help: names of files where it says FILE, SRC,
// DST or OUT, of directories where it says only DIR, and nothing else.
func completeArguments(cmd *cobra.Command) {
	names := strings.Fields(cmd.Use)[1:]
	if cmd.ValidArgsFunction != nil {
		return
	}
	many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(names) && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		name := names[min(len(args), len(names)-1)]
		if strings.Trim(name, "[].") == "DIR" {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}

// noValues makes shells complete nothing for the values of flags that name no file.
func noValues(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		// There is such a flag.
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}
