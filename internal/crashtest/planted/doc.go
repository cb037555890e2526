// Package planted is the laboratory's own test. It plants bugs in the code of
// this module, one at a time, and demands that the tests that search for bugs
// find each of them. A laboratory that misses one is not done.
//
// A bug is a file in testdata. It begins with what is wrong, in words, and goes
// on with the test that must find it, what that test must say, and the change:
//
//	Updates are acknowledged before they are synced.
//
//	test: ./store TestCrash
//	says: \d+ updates were acknowledged, and \d+ are there
//
//	--- store/commit.go
//	@@
//	 	_, err = log.File.WriteAt(b.buf, b.start)
//	-	if err == nil {
//	-		err = log.File.Datasync()
//	-	}
//	 	if err == nil {
//	 		err = log.Intact(size, b.start+int64(len(b.buf)))
//
// The change is a unified diff without line numbers: the lines of a hunk that
// begin with a space or a minus must stand in the file together, exactly once.
// Where they do not, because the code has changed, that is an error: look where
// the bug would be made today, and plant it there.
//
// The code itself has no switches for any of this. The changed file is one of a
// temporary directory, and takes the place of the real one by the go command's
// -overlay.
package planted
