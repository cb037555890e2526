package planted_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/crashtest/planted"
)

const head = "One is two.\n\ntest: ./internal/entry TestPutIsLittleEndian\nsays: one\n\n"

func TestAChangeReplacesLinesThatStandInTheFileOnce(t *testing.T) {
	const src = "package p\n\nvar one = 1\n\nvar two = 1\n\nvar three = 3\n"
	for name, tt := range map[string]struct{ hunks, want string }{
		"a line":           {"@@\n-var one = 1\n+var one = 2\n", strings.Replace(src, "one = 1", "one = 2", 1)},
		"a first line":     {"@@\n-package p\n+package q\n", strings.Replace(src, "package p", "package q", 1)},
		"lines around":     {"@@\n var one = 1\n\n-var two = 1\n \n var three = 3\n", strings.Replace(src, "var two = 1\n", "", 1)},
		"two places":       {"@@\n-var one = 1\n@@\n-var two = 1\n+var two = 2\n", strings.NewReplacer("var one = 1\n", "", "two = 1", "two = 2").Replace(src)},
		"no such line":     {"@@\n-var one = 3\n", ""},
		"a part of a line": {"@@\n-one = 1\n", ""},
		"the end of one":   {"@@\n-var one =\n", ""},
		"too many":         {"@@\n \n+var four = 4\n", ""},
	} {
		b, err := planted.Parse("x.bug", head+"--- p.go\n"+tt.hunks)
		if err != nil {
			if tt.want != "" || name != "too many" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		got, err := b.Edits[0].Apply(src)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestWhatIsNoBugIsRefused(t *testing.T) {
	const change = "--- p.go\n@@\n-one\n+two\n"
	if _, err := planted.Parse("x.bug", head+change); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":         "",
		"no change":       head,
		"no test":         "One is two.\n\nsays: one\n\n" + change,
		"no message":      "One is two.\n\ntest: . TestOne\n\n" + change,
		"a bad pattern":   "One is two.\n\ntest: . TestOne\nsays: (\n\n" + change,
		"an unknown key":  "One is two.\n\ntest: . TestOne\nsays: one\nseed: 3\n\n" + change,
		"no hunk":         head + "--- p.go\n-one\n+two\n",
		"a line too many": head + "--- p.go\n@@\none\n-one\n+two\n",
		"the same":        head + "--- p.go\n@@\n-one\n+one\n",
		"nowhere":         head + "--- p.go\n@@\n+two\n",
		"a file twice":    head + change + change,
	} {
		if _, err := planted.Parse("x.bug", text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Neither what does not compile nor a test that is not there is a catch.
func TestWhatDoesNotRunCatchesNothing(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	lab := planted.Lab{Root: root, Dir: t.TempDir()}
	const pkg = "./internal/entry"
	for change, want := range map[string]string{
		"@@\n-package entry\n+package entry; var wrong int = \"a string\"\n": "compiling the tests of " + pkg,
		"@@\n-package nowhere\n+package entry\n":                             "should stand in internal/entry/entry.go once",
	} {
		b, err := planted.Parse("x.bug", head+"--- internal/entry/entry.go\n"+change)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lab.Build(t.Context(), pkg, b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
	program, err := lab.Build(t.Context(), pkg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, passed, err := lab.Run(t.Context(), program, pkg, "^TestPutIsLittleEndian$"); err != nil || !passed {
		t.Errorf("passed: %v, %v", passed, err)
	}
	if _, passed, err := lab.Run(t.Context(), program, pkg, "^TestNothing$"); err == nil || passed {
		t.Errorf("a test that is not there passed: %v, %v", passed, err)
	}
}
