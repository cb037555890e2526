// Package crashtest is the harness that drives a store through crashes and
// faults, and judges what is found afterwards.
//
// A [Run] is drawn from a seed: it works on a store in a file system in
// memory, draws power cuts at the operations of that work, opens the store on
// each of the states they leave, and goes on from there, several generations
// deep, with more power cuts, also while the store recovers. In some runs
// operations fail as well, above all those of recovering: see
// [CompoundGenerations].
//
// The judge is a [History]: it knows each update that was submitted, and which
// were acknowledged. What a store recovers must be an exact prefix of the
// history that holds every acknowledged update, and the store must open. What
// the store tells besides is held to the history too: followers, states at an
// index, backups and what is imported from them.
package crashtest
