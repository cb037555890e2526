// Package raftfsm turns a state machine of hashicorp/raft into one of package store, and
// back. [Machine] takes an FSM from a cluster to one machine with a disk, or tests it with
// package statetest. [FSM] takes the machine of a store to a cluster that is run by
// hashicorp/raft itself; module cluster of this project runs one for you.
package raftfsm
