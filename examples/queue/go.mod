module github.com/stateio/stateio/examples/queue

go 1.25.0

require github.com/stateio/stateio v0.1.0

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	golang.org/x/sys v0.17.0 // indirect
)
