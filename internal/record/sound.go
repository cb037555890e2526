package record

// Sound returns how many bytes of b, which begins and ends as for [Verify], are
// valid records that follow one another from its start. It stops before a record
// without data, too, which nothing writes.
func Sound(b []byte) int {
	at := 0
	for {
		h, ok := Verify(b[at:])
		if !ok || h.Length == 0 {
			return at
		}
		at += h.Size()
	}
}
