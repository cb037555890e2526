package stateio_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stateio/stateio"
)

// The bytes of the example in docs/FORMAT.md are those that a Writer writes.
func TestTheFormatsExampleIsReal(t *testing.T) {
	doc, err := os.ReadFile("docs/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for _, line := range regexp.MustCompile(`(?m)^0000[0-9a-f]{4}  (.*)$`).FindAllSubmatch(doc, -1) {
		digits.WriteString(strings.ReplaceAll(string(line[1]), " ", ""))
	}
	want, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := stateio.NewWriter(&buf, 0, 0)
	for _, err := range []error{w.Update([]byte("hello")), w.Snapshot([]byte("world")), w.Update([]byte("!"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(buf.Bytes(), want) {
		t.Errorf("the document says % x, the writer writes % x", want, buf.Bytes())
	}
}
