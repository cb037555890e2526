// Package record holds the one codec of the log format's records, and what
// can be told from a log's bytes alone: which records of a block are whole,
// where the last whole entry ends, and whether what follows it is a torn
// write or damage to data that was once whole.
//
// Everything that writes, reads, rewinds, verifies or salvages a log goes
// through this package. The format is described in package logio.
package record
