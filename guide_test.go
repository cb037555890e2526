package stateio_test

import (
	"bytes"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// docs/GUIDE.md names examples, and each of them is there.
func TestTheGuideNamesExamplesThatAreThere(t *testing.T) {
	guide, err := os.ReadFile("docs/GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests bytes.Buffer
	for _, dir := range []string{"store", "statetest", "durable", "prom"} {
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(dir + "/" + path)
			tests.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile("`(Example[A-Za-z_]*)`").FindAllStringSubmatch(string(guide), -1)
	if len(named) < 24 {
		t.Errorf("the guide names %d examples", len(named))
	}
	for _, name := range named {
		if !strings.Contains(tests.String(), "func "+name[1]+"()") {
			t.Errorf("there is no example %s", name[1])
		}
	}
}
