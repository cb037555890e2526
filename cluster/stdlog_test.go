package cluster

import (
	"fmt"
	"log"
	"os"
	"testing"
)

// logAtStart says what package log was when the program began. Tests change it, and go test -json
// changes os.Stderr.
var logAtStart string

func init() {
	logAtStart = fmt.Sprintf("%t, flags %d, prefix %q", log.Writer() == os.Stderr, log.Flags(), log.Prefix())
}

// TestTheLogOfTheProgramIsLeftAlone looks at package log as the import of this package has left it,
// and at what a program has set.
func TestTheLogOfTheProgramIsLeftAlone(t *testing.T) {
	if want := `true, flags 3, prefix ""`; logAtStart != want {
		t.Errorf("package log writes to standard error: %s, want %s", logAtStart, want)
	}
	flags := log.Flags()
	log.SetFlags(log.LUTC)
	defer log.SetFlags(flags)
	if giveLogBack(); log.Flags() != log.LUTC {
		t.Error("what the program has set is lost")
	}
}
