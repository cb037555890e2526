package cluster

import (
	"log"
	"os"
	"testing"
)

// TestTheLogOfTheProgramIsLeftAlone looks at package log as the import of this package has left it,
// and at what a program has set.
func TestTheLogOfTheProgramIsLeftAlone(t *testing.T) {
	if log.Writer() != os.Stderr || log.Flags() != log.LstdFlags || log.Prefix() != "" {
		t.Errorf("package log writes to %T, with flags %d and prefix %q", log.Writer(), log.Flags(), log.Prefix())
	}
	log.SetFlags(log.LUTC)
	defer log.SetFlags(log.LstdFlags)
	if giveLogBack(); log.Flags() != log.LUTC {
		t.Error("what the program has set is lost")
	}
}
