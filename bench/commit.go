package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/stateio/stateio/bench/engine"
)

// updateSize is the size of an update where nothing else is said, in bytes.
const updateSize = 128

func commitCommand(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	dir := flags.String("dir", ".", "directory for the files, on the disk to measure")
	rounds := flags.Int("rounds", 5, "rounds; figures are medians over them")
	each := flags.Duration("time", time.Second, "how long each engine runs in a round")
	goroutines := flags.String("goroutines", "1,16,256", "how many goroutines make updates")
	only := flags.String("only", "", "comma-separated `engines` to compare the store with (default all)")
	if err := parse(flags, args, "rounds", "time"); err != nil {
		return err
	}
	contenders, err := choose(engine.Present(engine.All()), *only)
	if err != nil {
		return err
	}
	for n := range strings.SplitSeq(*goroutines, ",") {
		n, err := strconv.Atoi(n)
		if err != nil || n < 1 {
			return fmt.Errorf("-goroutines %s: it takes numbers from 1, separated by commas", *goroutines)
		}
		err = inTempDir(*dir, func(dir string) error {
			r, err := newRace(dir, contenders, n, updateSize, slice)
			if err != nil {
				return err
			}
			for range *rounds {
				if err := r.round(ctx, *each); err != nil {
					return errors.Join(err, r.close())
				}
			}
			_, err = io.WriteString(out, r.table())
			return errors.Join(err, r.close())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// choose returns the first of all and those that are named.
func choose(all []engine.Engine, names string) ([]engine.Engine, error) {
	if names == "" {
		return all, nil
	}
	chosen := all[:1:1]
	var known []string
	for _, e := range all[1:] {
		known = append(known, e.Name)
	}
	for name := range strings.SplitSeq(names, ",") {
		found := false
		for _, e := range all[1:] {
			if e.Name == name {
				chosen, found = append(chosen, e), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no engine is called %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}
