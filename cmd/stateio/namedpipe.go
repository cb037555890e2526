package main

import "os"

// A namedPipe is opened when there is something to write to it, or it ends. That waits for its
// reader, which may come when it has read another output to its end.
type namedPipe struct {
	path string
	file *os.File // nil: it is not opened yet
}

func (p *namedPipe) open() (err error) {
	if p.file == nil {
		p.file, err = os.OpenFile(p.path, os.O_WRONLY, 0)
	}
	return err
}

func (p *namedPipe) Write(b []byte) (int, error) {
	if err := p.open(); err != nil {
		return 0, err
	}
	return p.file.Write(b)
}

// Close ends what the reader reads.
func (p *namedPipe) Close() error {
	if err := p.open(); err != nil {
		return err
	}
	return p.file.Close()
}

// giveUp closes the pipe if it is open.
func (p *namedPipe) giveUp() {
	if p.file != nil {
		_ = p.file.Close() // it is of no use any more
	}
}
