module github.com/stateio/stateio/tools/mutate

go 1.25.0
