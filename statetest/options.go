package statetest

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stateio/stateio/store"
)

// Options change what [Run] does. The zero value of each field stands for its
// default. Run copies the struct.
type Options struct {
	// Equal reports whether two machines are in the same state. The default,
	// nil, compares the bytes of their snapshots, which is right when equal
	// states always encode to equal bytes. It is not when a snapshot ranges over
	// a map, since the order changes each time.
	//
	// It is called when no other method of the two runs, and must not change
	// them. One that overlooks a difference makes Run overlook it too.
	Equal func(a, b store.Machine) bool

	// Updates is how many updates are taken from the stream at most; the default
	// is 256, and 64 with the flag -short of go test. The time of a run grows with
	// its square.
	Updates int

	// CrashStates is how many states after a power cut are opened and judged
	// at least; the default is 500, and 100 with -short, or one for each
	// operation on the file system if those are more. STATEIO_CRASH_COUNT in
	// the environment overrides it.
	CrashStates int

	// CrashTime goes on with power cuts for this long; the default, 0, leaves it
	// to CrashStates. STATEIO_CRASH_TIME in the environment overrides it, with a
	// value like 10m.
	CrashTime time.Duration

	// Seed is where all random choices come from; the default, 0, draws a new one
	// each time. A failure prints it. STATEIO_CRASH_SEED in the environment
	// overrides it.
	Seed uint64

	// FormatUpdate makes updates readable in a failure. It must not keep or
	// change the slice. The default quotes the bytes.
	FormatUpdate func(update []byte) string

	// Golden is the path of a folder of logs that earlier versions of the
	// program have written, which must replay to the states recorded next to
	// them; see the package documentation. The default, "", is none.
	Golden string

	// UpdateGolden records in the folder Golden what is not recorded there yet.
	// It does the same as the flags -update and -statetest.update of the test.
	UpdateGolden bool
}

const (
	defaultUpdates     = 256
	defaultCrashStates = 500

	shortUpdates     = 64 // with -short
	shortCrashStates = 100
)

// updateFlag has a name of its own: a test may have defined -update, and a
// flag can't be defined twice.
var updateFlag = flag.Bool("statetest.update", false, "record logs and states in the folder statetest.Options.Golden")

// withDefaults returns a copy of o in which every field is set, from the
// environment where that says so, or what is wrong.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	err := errorOf(
		fromEnv("STATEIO_CRASH_COUNT", &c.CrashStates, strconv.Atoi),
		fromEnv("STATEIO_CRASH_TIME", &c.CrashTime, time.ParseDuration),
		fromEnv("STATEIO_CRASH_SEED", &c.Seed, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }),
	)
	switch {
	case err != nil:
		return c, err
	case c.Updates < 0:
		return c, fmt.Errorf("Options.Updates is %d: it must not be negative", c.Updates)
	case c.CrashStates < 0:
		return c, fmt.Errorf("Options.CrashStates is %d: it must not be negative", c.CrashStates)
	case c.CrashTime < 0:
		return c, fmt.Errorf("Options.CrashTime is %v: it must not be negative", c.CrashTime)
	}
	updates, crashStates := defaultUpdates, defaultCrashStates
	if testing.Short() {
		updates, crashStates = shortUpdates, shortCrashStates
	}
	c.Updates = cmp.Or(c.Updates, updates)
	c.CrashStates = cmp.Or(c.CrashStates, crashStates)
	if c.Seed == 0 {
		c.Seed = rand.Uint64() | 1
	}
	if c.FormatUpdate == nil {
		c.FormatUpdate = quote
	}
	c.UpdateGolden = c.UpdateGolden || *updateFlag || userUpdateFlag()
	return c, nil
}

// userUpdateFlag reports whether a flag -update was set, which then is one that
// the user's test has defined.
func userUpdateFlag() bool {
	f := flag.Lookup("update")
	if f == nil {
		return false
	}
	g, ok := f.Value.(flag.Getter)
	if !ok {
		return false
	}
	set, _ := g.Get().(bool)
	return set
}

// fromEnv sets field to the value of an environment variable, unless that is
// empty.
func fromEnv[T any](name string, field *T, parse func(string) (T, error)) error {
	s := os.Getenv(name)
	if s == "" {
		return nil
	}
	v, err := parse(s)
	if err != nil {
		return fmt.Errorf("the environment variable %s: %w", name, err)
	}
	*field = v
	return nil
}

// errorOf returns the first error that is not nil. All are evaluated.
func errorOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
