// Package shadow has the snapshots of a store made by another process, so that the process
// that serves holds its state once, and its garbage collector and processors see nothing of
// the second one. A program runs itself again for that:
//
//	func main() {
//		if os.Getenv("APP_SHADOW") != "" {
//			log.Fatal(shadow.Serve(newMachine()))
//		}
//		s, err := store.Open(dir, newMachine(), &store.Options{
//			Shadow: shadow.Process(func() *exec.Cmd {
//				cmd := exec.Command(os.Args[0])
//				cmd.Env = append(os.Environ(), "APP_SHADOW=1")
//				return cmd
//			}),
//		})
//		...
//	}
//
// The store reads its sealed logs and passes each update on, one after the other, as
// Options.Shadow says; what comes back is the state to be written. The process opens no
// file of the store. It is started with the first snapshot, again after a failure, and
// ends with the store, or with the process that has started it, in whichever way.
package shadow
