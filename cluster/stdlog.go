package cluster

import (
	"fmt"
	"log"
	"os"
	"strings"
)

// Raft-wal imports coreos/pkg/capnslog, which takes package log, and with it slog, over for
// the whole program when it is initialized: a program that imports this package would find
// its lines in another form, and under systemd in the journal as of no importance. It is
// initialized before this package, and that before the program itself.
func init() { giveLogBack() }

// giveLogBack makes package log what it is at the start of a program, if capnslog has it.
func giveLogBack() {
	if !strings.HasPrefix(fmt.Sprintf("%T", log.Writer()), "capnslog.") {
		return
	}
	log.SetOutput(os.Stderr)
	log.SetPrefix("")
	log.SetFlags(log.LstdFlags)
}
