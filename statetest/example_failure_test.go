package statetest_test

import (
	"encoding/json"
	"io"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// mergingBank is a bank with a bug that is easy to miss: json decodes into a map
// by adding to what it holds.
type mergingBank struct{ bank }

func (b *mergingBank) Restore(snapshot io.Reader) error {
	return json.NewDecoder(snapshot).Decode(&b.balance)
}

func ExampleRun_failure() {
	newMachine := func() store.Machine { return &mergingBank{bank{map[string]int{}}} }
	t := &printer{} // stands for the *testing.T of a test
	statetest.Run(t, newMachine, transfers(1), &statetest.Options{Seed: 1})
	// Output:
	// statetest: check "Restore replaces the whole state" failed: the snapshot taken after 0 updates, restored over a machine that had applied all updates, left something of the old state:
	//   got  `{"eve":56}`
	//   want `{}`
	// (If they are the same state in other words, give Options.Equal, a function that compares two machines.)
	//
	// The contract: Restore replaces the whole state by the one that WriteTo wrote, whatever the state was before.
	//
	// The shortest sequence of updates that shows it (1):
	//    1  `{"From":"","To":"eve","Amount":56}`
	//
	// Seed 1; repeat it with
	//   STATEIO_CRASH_SEED=1 go test -run '^TestBank$'
}
