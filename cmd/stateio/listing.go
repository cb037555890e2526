package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/store"
)

const filesHelp = `files lists the logs and snapshots of the store in DIR: the updates in each, when they
were made, and its size. It reads names and headers; verify reads the rest. The store may
be in use.

With --json each line is an object, with the fields file, kind (log or snapshot), first,
last (indexes; last is left out of the log that goes on), from, until (times, where they
are known), size in bytes, and error, if the header can't be read.`

const filesExample = `  stateio files /var/lib/app
  stateio files --json /var/lib/app | jq -r 'select(.kind == "snapshot").file'`

func newFiles() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "files DIR",
		Short:   "List the files of a store, with their indexes and times",
		Long:    filesHelp,
		Example: filesExample,
		Args:    arguments("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := forStores(args[0], "%s is no directory: files is for stores; log lists what is in a state file"); err != nil {
				return err
			}
			files, err := store.Files(args[0])
			if err != nil {
				return err
			}
			for i, f := range files {
				if asJSON {
					err = writeJSON(cmd.OutOrStdout(), jsonFileOf(f))
				} else {
					err = tellFile(cmd.OutOrStdout(), f, i == 0)
				}
				if err != nil {
					break
				}
			}
			return errors.Join(unreadable(files), err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each file")
	return cmd
}

// unreadable returns the first error of a header.
func unreadable(files []store.File) error {
	for _, f := range files {
		if f.Err != nil {
			return f.Err
		}
	}
	return nil
}

// tellFile prints a line of the table.
func tellFile(w io.Writer, f store.File, first bool) error {
	if first {
		if _, err := fmt.Fprintf(w, "%-25s  %21s  %-24s  %-24s  %12s\n", "FILE", "UPDATES", "FROM", "UNTIL", "SIZE"); err != nil {
			return err
		}
	}
	updates := fmt.Sprintf("%d", f.Last)
	switch {
	case f.Snapshot:
	case f.Last == 0:
		updates = fmt.Sprintf("%d-", f.First)
	case f.Last < f.First:
		updates = "none"
	default:
		updates = fmt.Sprintf("%d-%d", f.First, f.Last)
	}
	note := ""
	switch {
	case errors.Is(f.Err, store.ErrCorrupt):
		note = "  " + red.in(w, "DAMAGED")
	case f.Err != nil:
		note = "  " + red.in(w, "NOT READ") // the error comes after the list
	}
	_, err := fmt.Fprintf(w, "%-25s  %21s  %-24s  %-24s  %12d%s\n", filepath.Base(f.Path), updates, orDash(f.From), orDash(f.Until), f.Size, note)
	return err
}

// orDash returns a time as it is printed, or a dash if it is not known.
func orDash(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return stamp(t)
}

type jsonFile struct {
	File  string     `json:"file"`
	Kind  string     `json:"kind"`
	First uint64     `json:"first"`
	Last  *uint64    `json:"last,omitempty"`
	From  *time.Time `json:"from,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	Size  int64      `json:"size"`
	Error string     `json:"error,omitempty"`
}

func jsonFileOf(f store.File) jsonFile {
	out := jsonFile{File: filepath.Base(f.Path), Kind: "log", First: f.First, From: known(f.From), Until: known(f.Until), Size: f.Size}
	if f.Snapshot {
		out.Kind = "snapshot"
	}
	if f.Snapshot || f.Last > 0 { // a snapshot of index 0 begins a store
		out.Last = &f.Last
	}
	if f.Err != nil {
		out.Error = bare(f.Err.Error())
	}
	return out
}
