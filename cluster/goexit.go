package cluster

// mustReturn is called with what recover has returned, in a deferred function, when a
// function of the machine has not returned. Raft has one goroutine for that, which
// runtime.Goexit would end: the node would be up, and vote, and never apply anything
// again. So that is a panic, as one of the machine's.
func mustReturn(function string, panicked any) {
	if panicked != nil {
		panic(panicked)
	}
	panic("cluster: " + function + " of the machine has called runtime.Goexit, as t.FailNow does: it must return")
}
