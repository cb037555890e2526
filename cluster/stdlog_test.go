package cluster

import (
	"io"
	"log"
	"os"
	"testing"
)

// logAtStart is what package log was when the program began. Tests and examples change it.
var logAtStart struct {
	to     io.Writer
	flags  int
	prefix string
}

func init() {
	logAtStart.to, logAtStart.flags, logAtStart.prefix = log.Writer(), log.Flags(), log.Prefix()
}

// TestTheLogOfTheProgramIsLeftAlone looks at package log as the import of this package has left it,
// and at what a program has set.
func TestTheLogOfTheProgramIsLeftAlone(t *testing.T) {
	if l := logAtStart; l.to != os.Stderr || l.flags != log.LstdFlags || l.prefix != "" {
		t.Errorf("package log writes to %T, with flags %d and prefix %q", l.to, l.flags, l.prefix)
	}
	flags := log.Flags()
	log.SetFlags(log.LUTC)
	defer log.SetFlags(flags)
	if giveLogBack(); log.Flags() != log.LUTC {
		t.Error("what the program has set is lost")
	}
}
