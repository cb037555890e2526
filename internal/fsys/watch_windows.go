package fsys

import "os"

// watchSystem is empty: Windows keeps an open file from being removed.
type watchSystem struct{}

func (*Watch) begin(*os.File) error { return nil }

func (w *Watch) setName(name string) { w.name = name }

// Size returns an error unless the file has size bytes.
func (w *Watch) Size(size int64) error {
	info, err := StatFile(w.file)
	if err != nil {
		return err
	}
	return checkSize(info.Size(), size)
}

// Check is Size.
func (w *Watch) Check(size int64) error { return w.Size(size) }
