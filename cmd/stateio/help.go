package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// newHelp returns the command help. That of cobra prints what it does not know as it is,
// and exits with 0.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:               "help [COMMAND]",
		Short:             "Tell how a command is used, with an example",
		Example:           "  stateio help repair",
		ValidArgsFunction: completeCommands,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 && about != cmd.Root() {
				return usageError{fmt.Errorf("there is an argument too many: %s", rest[0])}
			}
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd.Root(), args)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// completeCommands completes the names of commands.
func completeCommands(cmd *cobra.Command, args []string, begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, c := range cmd.Root().Commands() {
		if len(args) == 0 && c.IsAvailableCommand() && strings.HasPrefix(c.Name(), begin) {
			names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
