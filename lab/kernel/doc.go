// Package kernel gives a test program real file systems of its own to crash: a
// mount namespace that ends with the process, loop devices, disks served through
// FUSE, and power cuts. Errors are those of the system calls, with what was being
// done. It is for Linux alone, and for root.
package kernel
