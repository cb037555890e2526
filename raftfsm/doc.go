// Package raftfsm turns a state machine of hashicorp/raft into one of package store, and
// back.
//
//	s, err := store.Open(dir, raftfsm.Machine(fsm), nil)           // an FSM, in a directory
//	r, err := raft.NewRaft(conf, raftfsm.FSM(machine), log, ...)   // a machine of a store, in raft
//
// [Machine] takes an FSM from a cluster to one machine with a disk, or tests it with
// package statetest. [FSM] takes the machine of a store to a cluster that is run by
// hashicorp/raft itself; module cluster of this project runs one for you.
package raftfsm
