module github.com/stateio/stateio/durable

go 1.25.0

require (
	github.com/stateio/stateio v0.1.0
	github.com/tidwall/btree v1.8.2
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	golang.org/x/sys v0.17.0 // indirect
)
