package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// interrupted is the error of what a signal has ended.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return i.String() }

// heedSignals has the first signal end what is done, in order, and what does not end so after a
// moment all the same. A second one ends it at once.
// A signal that whoever has started the command ignores stays ignored: nohup does so with a
// closed terminal, and a shell with an interrupt and a quit of what it runs in the background.
func heedSignals(end context.CancelCauseFunc) {
	heeded := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			heeded = append(heeded, s)
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, heeded...)
	go func() {
		by := interrupted{<-signals}
		end(by)
		signal.Reset(heeded...)
		newEnding().giveUp(by)
	}()
	if signal.Ignored(os.Interrupt) {
		signal.Ignore(syscall.SIGQUIT) // the runtime does not tell whether it was
		return
	}
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		<-quit
		stacks := make([]byte, 1<<20)
		newEnding().tell(stacks[:runtime.Stack(stacks, true)])
		os.Exit(128 + int(syscall.SIGQUIT)) // the runtime would exit with exitUsage
	}()
}

// because returns err with cause in place of whatever in it says only that a context has
// ended.
func because(err, cause error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, each := range joined.Unwrap() {
			all = append(all, because(each, cause))
		}
		return errors.Join(all...)
	}
	return cause
}
