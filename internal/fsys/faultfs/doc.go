// Package faultfs is a file system over another one. It numbers the operations, fails those
// that it is told to, and writes all of them down: [FS.Inject], [FS.Transcript].
package faultfs
