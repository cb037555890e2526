module github.com/stateio/stateio

go 1.25.0

require (
	github.com/cespare/xxhash/v2 v2.2.0
	golang.org/x/sys v0.17.0
)
