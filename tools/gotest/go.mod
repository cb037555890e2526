module github.com/stateio/stateio/tools/gotest

go 1.25.0
