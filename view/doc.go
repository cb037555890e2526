// Package view is a page in the browser that shows what is in a store or in a state file:
// a map of every byte, with damage in red, a time line of commits and snapshots, the
// updates as a list to search, the state at any index, and how a running store is doing.
// A sentence on top says what is wrong and what to do.
//
// [Handler] can be mounted in any server, as net/http/pprof is:
//
//	http.Handle("/debug/stateio/", view.Handler(dir, &view.Options{Stats: s.Stats}))
//
// It only reads: it writes nothing to the disk, and takes no lock. Everything that the page
// needs comes from the program, nothing from a network. The stateio command has the same
// page: stateio view PATH.
//
// # Safety
//
// The page shows all the data of the store, so a request is answered only if it passes
// every check:
//
//   - Without Options.Token, it must come from a loopback address.
//   - With one, it must carry the token, in its URL or in the cookie that the first
//     request gets.
//   - The name of the host in it must be localhost, an IP address, or one of
//     Options.Hosts: otherwise a name that belongs to somebody else could lead here.
//   - It must not come from a page of another origin, unless somebody follows a link from
//     there to the page itself.
//
// The page runs no script but its own, under a strict content security policy, and
// payloads reach it as data only.
package view
