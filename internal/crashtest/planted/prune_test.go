package planted

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a test needs is kept, directly or through others, and nothing else.
func TestWhatATestDoesNotNeedIsNotCompiled(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"one_test.go": `package p_test

import (
	"os"
	"testing"

	hash "example.com/xx/v2"
	rand "math/rand/v2"
	"math/rand/v2"
	_ "embed"
)

// TestOne is kept.
func TestOne(t *testing.T) { t.Log(helper[int](), p.Exported) }

// TestTwo goes, and the import os.
func TestTwo(t *testing.T) { os.Exit(other()) }
`,
		"helper_test.go":  "package p_test\n\nfunc helper[T any]() T { return box[T]{}.get() }\nfunc other() int { return 2 }\nfunc init() { rand.Seed(1) }\n",
		"type_test.go":    "package p_test\n\ntype box[T any] struct{ of T }\ntype unused struct{}\n\nfunc (unused) get() {}\n",
		"method_test.go":  "package p_test\n\nimport \"math/rand/v2\"\n\nfunc (b *box[T]) get() T { rand.Int(); return b.of }\n",
		"export_test.go":  "package p\n\nvar Exported, also = unexported(), 1\n",
		"nothing_test.go": "package p_test\n\nimport \"testing\"\n\nvar _ = TestOne\n\nfunc TestThree(t *testing.T) { other() }\n",
		"main_test.go":    "package p_test\n\nimport \"testing\"\n\nfunc TestMain(m *testing.M) { m.Run() }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := prune(dir, "TestOne/subtest")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"one_test.go":     "package p_test; import (; \"testing\"; _ \"embed\"; ); // TestOne is kept.; func TestOne(t *testing.T) { t.Log(helper[int](), p.Exported) }",
		"helper_test.go":  "package p_test; func helper[T any]() T { return box[T]{}.get() }; func init() { rand.Seed(1) }",
		"type_test.go":    "package p_test; type box[T any] struct{ of T }",
		"method_test.go":  "package p_test; import \"math/rand/v2\"; func (b *box[T]) get() T { rand.Int(); return b.of }",
		"export_test.go":  "package p; var Exported, also = unexported(), 1",
		"nothing_test.go": "",
		"main_test.go":    "package p_test; import \"testing\"; func TestMain(m *testing.M) { m.Run() }",
	} {
		text := files[filepath.Join(dir, name)]
		if got := squeeze(text); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		before, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if text != "" && strings.Count(text, "\n") != strings.Count(string(before), "\n") {
			t.Errorf("%s: the numbers of lines have changed", name)
		}
	}
	if _, err := prune(dir, "TestFour"); err == nil {
		t.Error("a test that is not there was found")
	}
}

// squeeze returns the lines that are not empty.
func squeeze(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
