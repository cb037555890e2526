package record

// Sound returns how many bytes of b, which begins and ends as for [Verify], are
// valid records that follow one another from its start. It stops before a record
// without data, too, which nothing writes. The last of them
// starts at last, which is 0 if there is none.
func Sound(b []byte) (sound, last int) {
	for {
		h, ok := Verify(b[sound:])
		if !ok || h.Length == 0 {
			return sound, last
		}
		last = sound
		sound += h.Size()
	}
}
