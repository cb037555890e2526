package move

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// A Move moves all that is at from to a place that is not there yet, and returns how many
// things it has moved.
type Move func(ctx context.Context, from, to string) (n int, err error)

// Main is the main function of a program that moves there, and with -back the other way.
func Main(there, back Move) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second one ends the program at once
	err := Run(ctx, os.Args, os.Stdout, os.Stderr, there, back)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "migrating:", err)
		os.Exit(1)
	}
}

// Run is Main with what it uses.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer, there, back Move) error {
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	from := flags.String("from", "", "what to read; nothing else may write it")
	to := flags.String("to", "", "what to make; it must not be there")
	isBack := flags.Bool("back", false, "move from a directory of this project to what was before it")
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return nil // it was printed
	} else if err != nil {
		return err
	}
	if *from == "" || *to == "" || flags.NArg() > 0 {
		return fmt.Errorf("give -from and -to, and no other arguments than flags")
	}
	move := there
	if *isBack {
		move = back
	}
	n, err := move(ctx, *from, *to)
	if err != nil {
		return fmt.Errorf("moving %s to %s: %w", *from, *to, err)
	}
	compared := ", and compared them"
	if *isBack {
		compared = ""
	}
	_, err = fmt.Fprintf(stdout, "moved %d to %s%s\n", n, *to, compared)
	return err
}
