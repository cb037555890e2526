package disk

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// An image is what a slice of bytes is.
func TestAnImageIsASliceOfBytes(t *testing.T) {
	const size = 5*pageSize + 512
	rng := rand.New(rand.NewPCG(1, 2))
	im, plain := NewImage(size), make([]byte, size)
	for i := range 2000 {
		if i%100 == 0 {
			old, was := im, bytes.Clone(plain)
			im = im.Clone()
			defer wantContent(t, old, was) // a clone goes its own way
		}
		off := rng.IntN(size)
		p := bytes.Repeat([]byte{byte(rng.IntN(3))}, rng.IntN(min(size-off, 3*pageSize)+1))
		if _, err := im.WriteAt(p, int64(off)); err != nil {
			t.Fatal(err)
		}
		copy(plain[off:], p)
		off = rng.IntN(size)
		got := make([]byte, rng.IntN(size-off+1))
		if _, err := im.ReadAt(got, int64(off)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, plain[off:off+len(got)]) {
			t.Fatalf("after write %d, %d bytes at %d differ", i, len(got), off)
		}
	}
	wantContent(t, im, plain)
	if _, err := im.WriteAt(make([]byte, 2), size-1); err == nil {
		t.Error("a write across the end was accepted")
	}
}

func wantContent(t *testing.T, im *Image, want []byte) {
	t.Helper()
	got := make([]byte, im.Size())
	if _, err := im.ReadAt(got, 0); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the content differs")
	}
	copied, err := ReadImage(im, im.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(copied.pages) != len(im.pages) {
		t.Errorf("a copy has %d pages, not %d", len(copied.pages), len(im.pages))
	}
}

// A crash state has all that was flushed, of the rest in each unit one of the
// values written since or the one before, nothing from after the cut, and the
// last mark. All the states there are come up.
func TestCrashStatesAreLegalAndComplete(t *testing.T) {
	const unit, units = 512, 4
	r := NewRecorder(NewImage(units * unit))
	write := func(at, n int, value byte) {
		t.Helper()
		if _, err := r.WriteAt(bytes.Repeat([]byte{value}, n*unit), int64(at*unit)); err != nil {
			t.Fatal(err)
		}
	}
	r.Mark("empty")
	write(0, 4, 1)
	r.Flush()
	r.Mark("ones")
	write(0, 2, 2)
	write(1, 2, 3)
	r.Mark("more")
	write(3, 1, 4)
	r.Flush()

	// By the moment of the cut: the values each unit may have, and the mark.
	cases := []struct {
		may  [units]string
		mark any
	}{
		{[units]string{"\x00", "\x00", "\x00", "\x00"}, nil},
		{[units]string{"\x00", "\x00", "\x00", "\x00"}, "empty"},
		{[units]string{"\x00\x01", "\x00\x01", "\x00\x01", "\x00\x01"}, "empty"},
		{[units]string{"\x01", "\x01", "\x01", "\x01"}, "empty"},
		{[units]string{"\x01", "\x01", "\x01", "\x01"}, "ones"},
		{[units]string{"\x01\x02", "\x01\x02", "\x01", "\x01"}, "ones"},
		{[units]string{"\x01\x02", "\x01\x02\x03", "\x01\x03", "\x01"}, "ones"},
		{[units]string{"\x01\x02", "\x01\x02\x03", "\x01\x03", "\x01"}, "more"},
		{[units]string{"\x01\x02", "\x01\x02\x03", "\x01\x03", "\x01\x04"}, "more"},
		{[units]string{"\x02", "\x03", "\x03", "\x04"}, "more"},
	}
	rec := r.Record()
	if w, f := rec.Count(); w != 4 || f != 2 || rec.Len() != len(cases) {
		t.Fatalf("%d writes, %d flushes, %d moments", w, f, rec.Len())
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for at, c := range cases {
		rec.Advance(at)
		seen := map[string]bool{}
		for range 3000 {
			s := rec.Draw(rng, unit)
			b := make([]byte, units*unit)
			if _, err := s.Image.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			values := ""
			for i, may := range c.may {
				v := b[i*unit]
				if !bytes.Equal(b[i*unit:(i+1)*unit], bytes.Repeat([]byte{v}, unit)) || !bytes.Contains([]byte(may), []byte{v}) {
					t.Fatalf("at %d, unit %d is %d: %s", at, i, v, s.About)
				}
				values += string(v)
			}
			seen[values] = true
			if s.Mark != c.mark {
				t.Fatalf("at %d, the mark is %v", at, s.Mark)
			}
		}
		all := 1
		for _, may := range c.may {
			all *= len(may)
		}
		if len(seen) != all {
			t.Errorf("at %d, %d states of %d came up", at, len(seen), all)
		}
	}
}

// A page that is to be whole is never torn, others are.
func TestWholePagesAreNotTorn(t *testing.T) {
	r := NewRecorder(NewImage(3 * pageSize))
	if _, err := r.WriteAt(bytes.Repeat([]byte{1}, 3*pageSize), 0); err != nil {
		t.Fatal(err)
	}
	rec := r.Record()
	rec.Advance(1)
	rng := rand.New(rand.NewPCG(7, 8))
	var torn [3]bool
	for range 1000 {
		s := rec.Draw(rng, 512, pageSize)
		b := make([]byte, 3*pageSize)
		if _, err := s.Image.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		for i := range torn {
			n := bytes.Count(b[i*pageSize:(i+1)*pageSize], []byte{1})
			torn[i] = torn[i] || n != 0 && n != pageSize
		}
	}
	if torn != [3]bool{true, false, true} {
		t.Errorf("torn: %v", torn)
	}
}
