package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEventsBecomeLines(t *testing.T) {
	const events = `{"Action":"start","Package":"x/a"}
{"Action":"run","Package":"x/a","Test":"TestOne"}
{"Action":"output","Package":"x/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"output","Package":"x/b","Test":"TestTwo","Output":"    b_test.go:7: not run: no root\n"}
{"Action":"output","Package":"x/b","Test":"TestTwo","Output":"--- SKIP: TestTwo (0.00s)\n"}
{"Action":"skip","Package":"x/b","Test":"TestTwo"}
{"Action":"output","Package":"x/a","Test":"TestOne","Output":"    a_test.go:3: a log\n"}
{"Action":"pass","Package":"x/a","Test":"TestOne"}
{"Action":"output","Package":"x/b","Output":"PASS\n"}
{"Action":"output","Package":"x/b","Output":"ok  \tx/b\t0.1s\n"}
{"Action":"pass","Package":"x/b"}
{"Action":"output","Package":"x/none","Output":"?   \tx/none\t[no test files]\n"}
{"Action":"skip","Package":"x/none"}
no event
{"ImportPath":"x/c","Action":"build-output","Output":"c.go:1: wrong\n"}
{"Action":"output","Package":"x/a","Output":"ok  \tx/a\t0.2s\n"}
{"Action":"pass","Package":"x/a"}
`
	const want = "ok  \tx/b\t0.1s\n?   \tx/none\t[no test files]\nno event\nc.go:1: wrong\nok  \tx/a\t0.2s\n" +
		"\nskipped:\n  no root\n      b.TestTwo\n\nok: 3 packages, 1 tests and subtests passed, 1 skipped\n"
	if got := reported(t, events); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// All that a failed test and one that never ended have printed is there, and
// nothing of one that passed.
func TestAFailureIsToldInFull(t *testing.T) {
	const events = `{"Action":"output","Package":"x/a","Test":"TestGood","Output":"    a_test.go:3: all is well\n"}
{"Action":"pass","Package":"x/a","Test":"TestGood"}
{"Action":"output","Package":"x/a","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"x/a","Test":"TestBad","Output":"    a_test.go:9: two\n"}
{"Action":"fail","Package":"x/a","Test":"TestBad"}
{"Action":"output","Package":"x/a","Test":"TestHung","Output":"panic: test timed out\n"}
{"Action":"output","Package":"x/a","Output":"FAIL\tx/a\t0.2s\n"}
{"Action":"fail","Package":"x/a"}
`
	const want = "    a_test.go:9: two\npanic: test timed out\nFAIL\tx/a\t0.2s\n" +
		"\nfailed:\n  a.TestBad\n      a_test.go:9: two\n  a.TestHung\n      panic: test timed out\n\nFAIL: x/a\n"
	if got := reported(t, events); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The summary of what failed stays short.
func TestTheSummaryOfFailuresIsShort(t *testing.T) {
	var events strings.Builder
	for i := range mostFailures + 2 {
		for range mostLines + 1 {
			fmt.Fprintf(&events, `{"Action":"output","Package":"x/a","Test":"Test%02d","Output":"no\n"}`+"\n", i)
		}
	}
	events.WriteString(`{"Action":"fail","Package":"x/a"}` + "\n")
	_, got, _ := strings.Cut(reported(t, events.String()), "\nfailed:\n")
	if strings.Count(got, "\n") != mostFailures*(mostLines+2)+3 || !strings.Contains(got, "      and 1 more lines\n  a.Test07\n") || !strings.HasSuffix(got, "\n  and 2 more\n\nFAIL: x/a\n") {
		t.Errorf("got\n%s", got)
	}
}

func reported(t *testing.T, events string) string {
	t.Helper()
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.end(nil)
	return out.String()
}

// The go command of this machine says what is expected of it, and its exit status
// is passed on.
func TestGoTestIsUnderstood(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GOWORK", "off")
	write(t, "go.mod", "module x\n\ngo 1.26\n")
	write(t, "a/a_test.go", "package a\n\nimport \"testing\"\n\nfunc TestOne(*testing.T) {}\nfunc TestTwo(t *testing.T) { t.Skip(\"not run: today\") }\n")
	var out strings.Builder
	status, err := run([]string{"-note", "all else", "-vet=off", "./..."}, &out)
	if err != nil || status != 0 || !strings.HasPrefix(out.String(), "ok  \tx/a\t") || !strings.Contains(out.String(), "skipped:\n  today\n      a.TestTwo\n  all else\n\nok: 1 package") {
		t.Errorf("status %d, %v:\n%s", status, err, &out)
	}
	for name, b := range map[string][2]string{
		"fails":            {"func TestBad(t *testing.T) { t.Error(\"two\") }", "b_test.go:5: two\n"},
		"panics":           {"func TestBad(t *testing.T) { panic(\"two\") }", "panic: two"},
		"does not compile": {"func TestBad(t *testing.T) { two() }", "undefined: two"},
	} {
		write(t, "b/b_test.go", "package b\n\nimport \"testing\"\n\n"+b[0]+"\n")
		out.Reset()
		status, err = run([]string{"-vet=off", "./..."}, &out)
		if err != nil || status != 1 || !strings.Contains(out.String(), b[1]) || !strings.Contains(out.String(), "\nFAIL\tx/b") || !strings.HasSuffix(out.String(), "FAIL: x/b\n") {
			t.Errorf("a test that %s: status %d, %v:\n%s", name, status, err, &out)
		}
	}
}

// Where go test ends without a test that failed, as when it is killed or finds nothing to
// test, that is told as a failure.
func TestAnEndWithoutAFailedTestIsAFailure(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GOWORK", "off")
	write(t, "go.mod", "module x\n\ngo 1.26\n")
	write(t, "a/a.go", "package a\n")
	for _, args := range []string{"./a/none...", "-mod=wrong"} {
		var out strings.Builder
		status, err := run([]string{"-vet=off", args}, &out)
		if err != nil || status == 0 || !strings.Contains(out.String(), "\nFAIL: go test: ") || strings.Contains(out.String(), "\nok: ") {
			t.Errorf("%s: status %d, %v:\n%s", args, status, err, &out)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
