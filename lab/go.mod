module github.com/stateio/stateio/lab

go 1.26.0

replace github.com/stateio/stateio => ..

require (
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/stateio/stateio v0.0.0-00010101000000-000000000000
	golang.org/x/sys v0.49.0
)

require github.com/cespare/xxhash/v2 v2.3.0 // indirect
