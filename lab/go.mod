module github.com/stateio/stateio/lab

go 1.25.0

require (
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/stateio/stateio v0.1.0
	golang.org/x/sys v0.28.0
)

require github.com/cespare/xxhash/v2 v2.3.0 // indirect
