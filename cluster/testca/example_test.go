package testca_test

import (
	"fmt"
	"log"
	"os"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/testca"
)

// A node of a cluster that is tried out talks to the others by TLS.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "testca")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ca, err := testca.New(dir)
	if err != nil {
		log.Fatal(err)
	}
	files, err := ca.Issue("a", "a.example", "10.0.0.1")
	if err != nil {
		log.Fatal(err)
	}
	conf, err := cluster.LoadTLS(files.Cert, files.Key, files.CA) // for cluster.Options.TLS
	fmt.Println(conf != nil, err)
	// Output: true <nil>
}
