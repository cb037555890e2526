// Command count counts as fast as the disk lets it, and goes on where it was after kill -9.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/stateio/stateio/durable"
)

type state struct{ Count int } // fields are exported: the log has them as JSON

func main() {
	v, err := durable.OpenValue("count-data", state{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for {
		if err := v.Update(context.Background(), func(s *state) error { s.Count++; return nil }); err != nil {
			log.Fatal(err)
		}
		fmt.Println(v.Get().Count) // it is on the disk
	}
}
