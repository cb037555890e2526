module github.com/stateio/stateio/examples/kill9

go 1.25.0

require github.com/stateio/stateio v0.1.0

require (
	github.com/cespare/xxhash/v2 v2.2.0 // indirect
	github.com/stateio/stateio/view v0.1.0
	golang.org/x/sys v0.17.0 // indirect
)
