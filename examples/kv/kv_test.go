package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// The state machine keeps what store.Machine asks of it.
func TestMachine(t *testing.T) {
	newMachine := func() store.Machine {
		return store.Untyped(&keys{values: map[string][]byte{}}, store.JSON[change]{})
	}
	updates := func(yield func([]byte) bool) {
		for i := range 60 {
			c := change{Op: "put", Key: fmt.Sprint("key", i%7), Value: []byte{byte(i), 0xff}}
			if i%3 == 2 {
				c = change{Op: "delete", Key: fmt.Sprint("key", i%5)} // some are refused
			}
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if !yield(b) {
				return
			}
		}
	}
	statetest.Run(t, newMachine, updates, nil)
}
