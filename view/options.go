package view

import (
	"io"

	"github.com/stateio/stateio/store"
)

// Options are what a [Handler] may be given. Nil and zero work. They are copied; the
// functions may be called concurrently.
type Options struct {
	// Stats is the method of the store that this program has open in the directory: the
	// page shows it live. It is asked once a second by each page that is open.
	Stats func() store.Stats

	// Machine returns a new machine in its initial state, of the kind that the store has:
	// the page shows the state at any index, and the difference between two. A state is
	// restored as [store.RestoreAt] does it, one at a time, when somebody chooses it on the
	// page: that reads the newest snapshot before it and the log after that, and takes the
	// memory of another machine with that state. Without it the page has only the states in
	// snapshots, as they are on the disk.
	Machine func() store.Machine

	// Show writes what the page shows of a machine, as JSON or text. By default that is
	// what the machine's Snapshot writes. The page shows the first 4 MiB.
	Show func(w io.Writer, m store.Machine) error

	// Token is needed to see anything, if it is not empty: [NewToken] makes one.
	// The page is then at the URL with ?token= and the token. Without one, only
	// requests from this computer are answered: set one where a proxy on it
	// forwards requests of others.
	Token string

	// Hosts are names of hosts, without a port, that requests may be for. IP addresses
	// and localhost always work.
	Hosts []string
}
