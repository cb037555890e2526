package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile is a name, and a payload, that would make a terminal do something: colours, a
// cleared screen by an 8-bit control, text from right to left, a forged line.
const hostile = "a\x1b[31m\u009b2J\u0085\u202e\u2066\u200f\x7f\xff\nstateio: all is well"

// obeyed returns what a terminal would obey in what was printed.
func obeyed(printed string) string {
	for i, r := range printed {
		if r != '\n' && (!unicode.IsPrint(r) || r == utf8.RuneError) {
			return fmt.Sprintf("%q in %.200q", r, printed[max(0, i-80):])
		}
	}
	return ""
}

// hostileFiles makes state files and stores with hostile names and payloads, whole and
// damaged, and returns the directory that they are in.
func hostileFiles(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), hostile)
	for _, d := range []string{"store", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Skipf("no directory of such a name can be made here: %v", err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	mustRun(t, hostile+"\nsecond\n", "append", at("file"))
	mustRun(t, hostile, "snapshot", at("file"))
	mustRun(t, hostile, "append", "--whole", at("store"))
	mustRun(t, hostile, "snapshot", at("store"))
	mustRun(t, hostile, "append", at("store"))
	mustRun(t, "first\n", "append", at("other"))
	for from, to := range map[string]string{"store": "broken", "file": "torn"} {
		if from == "file" {
			b := readFile(t, at(from))
			writeFile(t, at(to), b[:len(b)-3])
			b[20] ^= 1
			writeFile(t, at("bad"), b)
			writeFile(t, at("incomplete"), b[:9])
			continue
		}
		if err := os.CopyFS(at(to), os.DirFS(at(from))); err != nil {
			t.Fatal(err)
		}
		for _, path := range mustGlob(t, at(to), ".snap", ".log") {
			b := readFile(t, path)
			b[len(b)/2] ^= 1
			b[len(b)-1] ^= 1
			writeFile(t, path, b)
		}
	}
	return dir
}

func mustRun(t testing.TB, input string, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(t.Context(), args, strings.NewReader(input), &out, &errs); status != exitOK {
		t.Fatalf("stateio %q: exit status %d: %s", args, status, &errs)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mustGlob returns the files in dir with one of the endings.
func mustGlob(t testing.TB, dir string, endings ...string) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if slices.Contains(endings, filepath.Ext(e.Name())) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	if len(paths) == 0 {
		t.Fatalf("there is no file %q in %q", endings, dir)
	}
	return paths
}

// No command prints what a terminal would obey, whatever files and payloads are called
// and hold, and each line of an error is one of stateio.
func TestHostileNamesAndPayloadsAreInert(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no file has such a name there")
	}
	paths := []string{"file", "torn", "bad", "incomplete", "store", "other", "broken", "missing", "missing/in"}
	forms := map[string][][]string{
		"append":   {{"append"}, {"append", "--ack", "--batch", "0"}},
		"backup":   {{"backup", "--json", "PATH", "DIR/copy" + hostile}, {"backup", "PATH", "DIR/copy2" + hostile}},
		"bench":    {{"bench", "--time", "1ns"}},
		"compact":  {{"compact"}},
		"diff":     {{"diff", "DIR/other"}, {"diff", "--json", "DIR/other"}},
		"epochs":   {{"epochs"}, {"epochs", "--json"}},
		"files":    {{"files"}, {"files", "--json"}},
		"help":     {{"help"}},
		"import":   {{"import", "--json", "PATH", "DIR/new" + hostile}, {"import", "PATH", "DIR/new2" + hostile}},
		"log":      {{"log"}, {"log", "--json"}, {"log", "--from", hostile}},
		"repair":   {{"repair", "--json", "--salvage", "PATH", "DIR/made" + hostile}, {"repair", "PATH", "DIR/made2" + hostile}},
		"restore":  {{"restore", "--force", "--state", "DIR/out", "--updates", "DIR/out2"}, {"restore", "--force", "--json", "--state", "DIR/out3"}, {"restore", "--at", hostile}},
		"snapshot": {{"snapshot"}},
		"stat":     {{"stat"}, {"stat", "--json"}},
		"truncate": {{"truncate"}},
		"verify":   {{"verify"}, {"verify", "--json"}},
		"version":  {{"version"}},
		"view":     {{"view", "--listen", hostile, "--host", hostile}}, // and so it does not begin to serve
		hostile:    {{hostile}, {"--" + hostile}},
	}
	for _, cmd := range newRoot().Commands() {
		if _, known := forms[cmd.Name()]; !known && cmd.Name() != "completion" {
			t.Errorf("%s is not tried", cmd.Name())
		}
	}
	dir := hostileFiles(t)
	for _, commands := range forms {
		for _, args := range commands {
			for _, path := range paths {
				if args[0] == "bench" && slices.Contains([]string{"store", "other", "broken"}, path) {
					continue // in a directory it takes its time
				}
				tryHostile(t, dir, path, args)
			}
		}
	}
}

// tryHostile runs a command with a path, at its end if it has no PATH.
func tryHostile(t *testing.T, dir, path string, args []string) {
	t.Helper()
	full := filepath.Join(dir, path)
	if !slices.Contains(args, "PATH") {
		args = append(slices.Clip(args), "PATH")
	}
	var command []string
	for _, arg := range args {
		arg = strings.Replace(arg, "DIR", dir, 1)
		command = append(command, strings.Replace(arg, "PATH", full, 1))
	}
	var out, errs bytes.Buffer
	status := run(t.Context(), command, strings.NewReader(hostile), &out, &errs)
	for _, printed := range []string{out.String(), errs.String()} {
		if found := obeyed(printed); found != "" {
			t.Errorf("%q of %s prints %s", args, path, found)
		}
	}
	if status != exitOK && errs.Len() == 0 {
		t.Errorf("%q of %s: exit status %d, and no reason", args, path, status)
	}
	for line := range strings.Lines(errs.String()) {
		told := strings.HasPrefix(line, "stateio: ") || strings.HasPrefix(line, "Run stateio")
		if forged := strings.HasPrefix(line, "stateio: all is well"); forged || !told {
			t.Errorf("%q of %s: the line of an error is %q", args, path, line)
		}
	}
	if slices.Contains(args, "--json") {
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%q of %s: this is not JSON: %s", args, path, line)
			}
		}
	}
}

// What is escaped for JSON is the same text when it is read again.
func TestJSONIsPrintableAndSaysTheSame(t *testing.T) {
	const text = "a\x1b\x7f\u0085\u009b\u00a0\u202e\u2066\ufeff\ufffd\U000e0001 é 漢 😀 \\ \" <&>"
	var out bytes.Buffer
	if err := writeJSON(&out, map[string]any{text: text, "raw": json.RawMessage(`["` + "\u202e\U000e0001" + `"]`)}); err != nil {
		t.Fatal(err)
	}
	if found := obeyed(out.String()); found != "" {
		t.Errorf("it prints %s", found)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got[text] != text || got["raw"].([]any)[0] != "\u202e\U000e0001" {
		t.Errorf("%q, %v", got, err)
	}
}

// A command that is advised can be pasted into a shell, whatever the path is.
func TestAPathInAnAdviceIsOneWordForAShell(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil || runtime.GOOS == "windows" {
		t.Skip("there is no bash")
	}
	for path, want := range map[string]string{
		"app": "", "/var/lib/app-1.0_x,y=z@%+": "", "dé": "", "-dash": "./-dash", "my app": "'my app'", "it's $HOME": `'it'\''s $HOME'`,
		"~": "", "#no": "", "*": "", "a\x1b[2J'\xff\u202e\n": `$'a\x1b[2J\'\xff\u202e\n'`,
	} {
		word := shellWord(path)
		if want != "" && word != want || obeyed(word) != "" {
			t.Errorf("%q is %s, want %s", path, word, want)
		}
		cmd := exec.Command("bash", "-c", "printf %s "+word)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		if got, err := cmd.Output(); strings.TrimPrefix(string(got), "./-") != strings.TrimPrefix(path, "-") || err != nil {
			t.Errorf("%s is %q to a shell, not %q; %v", word, got, path, err)
		}
	}
}

// Each error that was joined has a line, also within others; a line break in a name is not
// the end of one.
func TestMessagesOfErrors(t *testing.T) {
	inner := errors.Join(errors.New("one\ntwo"), errors.New("three"))
	for want, err := range map[string]error{
		"one\\ntwo|three":                       inner,
		"reading: one\\ntwo|three":              fmt.Errorf("reading: %w", inner),
		"one\\ntwo|three; look":                 fmt.Errorf("%w; look", inner),
		"a\\x1b: one\\ntwo|three":               usageError{fmt.Errorf("a\x1b: %w", inner)},
		"one\\ntwo|three|last":                  errors.Join(inner, errors.New("last")),
		"of both one\\ntwo\\nthree and \\u009b": fmt.Errorf("of both %w and %w", inner, errors.New("\u009b")),
		"bad \\xff, and é \ufffd":               errors.New("bad \xff, and é \ufffd"),
	} {
		if got := strings.Join(messages(err), "|"); strings.ReplaceAll(got, `\x1b`, "\\x1b") != want {
			t.Errorf("%q is told as\n%s, want\n%s", err, got, want)
		}
	}
}

// Data on a terminal is shown, and characters that are written in pieces stay whole.
func TestATerminalShowsData(t *testing.T) {
	const data = "é\t漢\n\x1b[2J\u009b\xff\xf0\x9f"
	const want = "é\t漢\n" + `\x1b[2J\u009b\xff\xf0\x9f`
	for step := 1; step <= len(data); step++ {
		var out bytes.Buffer
		w := &terminalWriter{w: &out}
		for part := range slices.Chunk([]byte(data), step) {
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := w.finish(); err != nil || out.String() != want {
			t.Errorf("in pieces of %d: %q, %v", step, &out, err)
		}
	}
}
