// Package shadow has the snapshots of a store made by another process, so that the process
// that serves holds its state once, and its garbage collector and processors see nothing of
// the second one. A program runs itself again for that:
//
//	func main() {
//		if os.Getenv("APP_SHADOW") != "" {
//			if err := shadow.Serve(newMachine()); err != nil {
//				log.Fatal(err)
//			}
//			return
//		}
//		s, err := store.Open(dir, newMachine(), &store.Options{
//			Shadow: shadow.Process(func() *exec.Cmd {
//				cmd := exec.Command("/proc/self/exe") // elsewhere what os.Executable said at the start
//				cmd.Env = append(os.Environ(), "APP_SHADOW=1")
//				return cmd
//			}),
//		})
//		...
//	}
//
// The store reads its sealed logs and passes each update on, one after the other, as
// Options.Shadow says; what comes back is the state to be written. The process opens no
// file of the store. A program that was replaced on the disk is refused, as far as the
// go command has recorded what it was built of; Linux starts the right one by the name
// /proc/self/exe. It is started with the first snapshot, again after a failure, and
// ends with the store, or with the process that has started it, in whichever way.
package shadow
