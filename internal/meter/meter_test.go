package meter_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stateio/stateio/internal/meter"
)

const (
	piece = 256 << 10
	large = 4 * piece
)

// teller returns what was told, as "done/total" in pieces.
func teller() (tell func(done, total int64), told *[]string) {
	told = new([]string)
	return func(done, total int64) {
		*told = append(*told, fmt.Sprintf("%g/%g", float64(done)/piece, float64(total)/piece))
	}, told
}

// It is told about every piece, what a file was short of with the next one, and all at the
// end.
func TestTheReadingOfFilesIsTold(t *testing.T) {
	tell, told := teller()
	m := meter.New(tell, []int64{large, 100, large})
	m.Next()
	for off := int64(0); off <= large/2; off += 1000 {
		m.At(off)
	}
	m.Next() // the first ends sooner than was thought
	m.At(100)
	m.Next()
	if m.At(10) {
		t.Error("10 bytes of a file are told")
	}
	if !m.At(2 * large) {
		t.Error("a file that has grown is not told")
	}
	m.End()
	if len(*told) != 4 || (*told)[2] != fmt.Sprintf("%g/%g", 8+100./piece, 8+100./piece) || (*told)[3] != (*told)[2] {
		t.Errorf("told %q", *told)
	}
}

// Where other files are read than were expected, what is done stays so.
func TestWhatIsExpectedMayChange(t *testing.T) {
	tell, told := teller()
	m := meter.New(tell, []int64{large, large})
	m.Next()
	m.At(piece)
	m.Expect([]int64{2 * piece})
	m.Next()
	w := &meter.Writer{W: new(bytes.Buffer), M: m}
	for range 2 {
		if n, err := w.Write(make([]byte, piece)); n != piece || err != nil {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
	}
	m.End()
	if want := []string{"1/8", "2/3", "3/3", "3/3"}; !slices.Equal(*told, want) {
		t.Errorf("told %q, want %q", *told, want)
	}
}

// A meter that tells nobody is no trouble.
func TestNobodyIsTold(t *testing.T) {
	for _, m := range []*meter.Meter{new(meter.Meter), meter.New(nil, []int64{large})} {
		m.Next()
		if m.At(large) || m.Tells() {
			t.Error("somebody was told")
		}
		m.End()
	}
	if !meter.New(func(int64, int64) {}, nil).Tells() {
		t.Error("nobody is told")
	}
}
