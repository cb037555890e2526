package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// An event is a line of go test -json. go doc test2json describes it.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// A report makes lines of events.
type report struct {
	w      io.Writer
	err    error                          // the first of w
	output map[[2]string]*strings.Builder // by package and test, of those that have not passed
	tests  int                            // those that passed
	passed int                            // packages
	failed []string                       // packages
	bad    []failedTest                   // their tests
	skips  map[string][]string            // by reason, the tests that were skipped for it
	note   string                         // what else was
}

func newReport(w io.Writer) *report {
	return &report{w: w, output: map[[2]string]*strings.Builder{}, skips: map[string][]string{}}
}

func (r *report) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(r.w, format, args...); err != nil && r.err == nil {
		r.err = fmt.Errorf("printing what go test says: %w", err)
	}
}

// read takes the events that r has. What is none is printed as it is.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		var e event
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &e) != nil || e.Action == "":
			r.printf("%s\n", strings.TrimSuffix(line, "\n"))
		default:
			r.take(e)
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("reading the events of go test: %w", err)
		}
	}
}

func (r *report) take(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		r.printf("%s", e.Output)
	case "output":
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
	case "pass", "skip":
		switch {
		case e.Test == "":
			r.passed++
			r.line(e.Package)
		case e.Action == "skip":
			r.skip(e)
		default:
			r.tests++
		}
		delete(r.output, key)
	case "fail":
		if e.Test == "" {
			r.failed = append(r.failed, e.Package)
			r.failure(e.Package)
		}
	}
}

// verdict matches the line in which go test says how a package did.
var verdict = regexp.MustCompile(`(?m)^(ok  |FAIL|\?   )\t.*\n`)

// line prints what go test says of a package that did not fail.
func (r *report) line(pkg string) {
	if out := r.output[[2]string{pkg, ""}]; out != nil {
		r.printf("%s", verdict.FindString(out.String()))
	}
}

// failure prints all of a package that neither passed nor was skipped. That is
// also a test that was running when the program ended.
func (r *report) failure(pkg string) {
	var tests []string
	for key := range r.output {
		if key[0] == pkg && key[1] != "" {
			tests = append(tests, key[1])
		}
	}
	slices.Sort(tests)
	for _, test := range append(tests, "") { // the verdict stands in that of no test
		key := [2]string{pkg, test}
		var said []string
		if out := r.output[key]; out != nil {
			for line := range strings.Lines(out.String()) {
				if !strings.HasPrefix(line, "=== ") {
					r.printf("%s", line)
					said = append(said, line)
				}
			}
		}
		if test != "" || len(tests) == 0 {
			r.bad = append(r.bad, failedTest{name: name(pkg, test), said: said})
		}
		delete(r.output, key)
	}
}

// place matches where in a test a line was printed.
var place = regexp.MustCompile(`^\s*[^\s:]+\.go:\d+: `)

// skip notes a test that was skipped, with its reason.
func (r *report) skip(e event) {
	var reason []string
	if out := r.output[[2]string{e.Package, e.Test}]; out != nil {
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSpace(place.ReplaceAllString(line, ""))
			if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- SKIP") {
				reason = append(reason, line)
			}
		}
	}
	why := strings.TrimPrefix(strings.Join(reason, " "), "not run: ")
	if why == "" {
		why = "no reason was given"
	}
	r.skips[why] = append(r.skips[why], name(e.Package, e.Test))
}

// name is what a line has for a test, or for a package outside its tests.
func name(pkg, test string) string {
	pkg = pkg[strings.LastIndex(pkg, "/")+1:]
	if test == "" {
		return pkg
	}
	return pkg + "." + test
}

// end prints which tests were skipped, and the verdict on all: err is how go test ended.
func (r *report) end(err error) {
	reasons := make([]string, 0, len(r.skips))
	skipped := 0
	for why, tests := range r.skips {
		reasons = append(reasons, why)
		skipped += len(tests)
	}
	slices.Sort(reasons)
	if skipped > 0 || r.note != "" {
		r.printf("\nskipped:\n")
	}
	for _, why := range reasons {
		tests, more := r.skips[why], ""
		if len(tests) > shown {
			tests, more = tests[:shown], fmt.Sprintf(" and %d more", len(tests)-shown)
		}
		r.printf("  %s\n      %s%s\n", why, strings.Join(tests, " "), more)
	}
	if r.note != "" {
		r.printf("  %s\n", r.note)
	}
	if len(r.failed) > 0 {
		r.failures()
		r.printf("\nFAIL: %s\n", strings.Join(r.failed, " "))
		return
	}
	if err != nil { // it was killed, or could not load what to test
		r.printf("\nFAIL: go test: %v, after %d packages\n", err, r.passed)
		return
	}
	r.printf("\nok: %d packages, %d tests and subtests passed, %d skipped\n", r.passed, r.tests, skipped)
}

// shown is how many tests that were skipped for one reason are named.
const shown = 4

// A failedTest is one that failed, or had not ended when its program did; or a package
// that failed outside its tests.
type failedTest struct {
	name string
	said []string // lines
}

// Bounds of what failures prints.
const (
	mostFailures = 8
	mostLines    = 6
)

// failures prints once more, in short, what failed: the end of a log is what people see
// first.
func (r *report) failures() {
	r.printf("\nfailed:\n")
	for i, f := range r.bad {
		if i == mostFailures {
			r.printf("  and %d more\n", len(r.bad)-i)
			return
		}
		r.printf("  %s\n", f.name)
		for i, line := range f.said {
			if i == mostLines {
				r.printf("      and %d more lines\n", len(f.said)-i)
				break
			}
			r.printf("      %s\n", strings.TrimSpace(line))
		}
	}
}
