package stateio_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// Every relative link of a document of this repository leads to a file that is
// there, and to a heading of it.
func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	if _, err := os.Stat("go.work"); err != nil {
		t.Skipf("not run: here is only this module, and documents speak of the others as well: %v", err)
	}
	broken, links := brokenLinks(t, os.DirFS("."))
	for _, b := range broken {
		t.Error(b)
	}
	if links < 20 {
		t.Errorf("only %d links were found, fewer than the README has", links)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	const other = "# One `two`: three\n\n## Again\n## Again\n<a id=\"here\"></a>\n```\n# no heading\n```\n"
	for link, broken := range map[string]bool{
		"[a](docs/other.md)":                   false,
		"[a](docs)":                            false,
		"[a](docs/other.md#one-two-three)":     false,
		"[a](docs/other.md#again-1)":           false,
		"[a](docs/other.md#here)":              false,
		"[a](docs/other.md \"title\")":         false,
		"[a](#top)":                            false,
		"[a\nb](docs/other.md)":                false,
		"[a](https://example.com/nowhere.md)":  false,
		"`[a](nowhere.md)`":                    false,
		"```\n[a](nowhere.md)\n```":            false,
		"    [a](nowhere.md)":                  false,
		"[a](nowhere.md)":                      true,
		"![a](docs/nowhere.png)":               true,
		"[![a](docs/other.md)](nowhere.md)":    true,
		"[a]\n\n[a]: nowhere.md":               true,
		"[a](docs/other.md#again-2)":           true,
		"[a](docs/other.md#no-heading)":        true,
		"[a](#bottom)":                         true,
		"[a](../outside.md)":                   true,
		"[a](/docs/other.md)":                  true,
		"see [a](docs/other.md), [b](nowhere)": true,
	} {
		got, _ := brokenLinks(t, fstest.MapFS{
			"README.md":     {Data: []byte("# Top\n\n" + link + "\n")},
			"docs/other.md": {Data: []byte(other)},
		})
		if (len(got) > 0) != broken {
			t.Errorf("%q: broken %v, want %v", link, got, broken)
		}
	}
}

var (
	fenced    = regexp.MustCompile("(?ms)^ *```.*?^ *```[^\n]*$")
	indented  = regexp.MustCompile(`(?m)^(    |\t).*$`)
	inCode    = regexp.MustCompile("`[^`\n]*`")
	inline    = regexp.MustCompile(`\]\(<?([^()\s>]+)>?(?:\s+"[^"]*")?\)`)
	reference = regexp.MustCompile(`(?m)^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)`)
	heading   = regexp.MustCompile(`(?m)^#{1,6} +(.*?)[ #]*$`)
	anchor    = regexp.MustCompile(`<[a-z0-9]+ (?:id|name)="([^"]+)"`)
)

// brokenLinks returns what is wrong with the links of all documents of dir, and
// how many relative ones there are.
func brokenLinks(t *testing.T, dir fs.FS) (broken []string, links int) {
	t.Helper()
	err := fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != ".":
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return err
		}
		prose := inCode.ReplaceAllString(indented.ReplaceAllString(fenced.ReplaceAllString(string(text), ""), ""), "")
		for _, m := range append(inline.FindAllStringSubmatch(prose, -1), reference.FindAllStringSubmatch(prose, -1)...) {
			u, err := url.Parse(m[1])
			if err == nil && u.Scheme != "" {
				continue
			}
			links++
			if err == nil {
				err = follow(dir, name, u)
			}
			if err != nil {
				broken = append(broken, fmt.Sprintf("%s: the link to %s is broken: %v", name, m[1], err))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return broken, links
}

// follow returns an error unless link, in the document of that name, leads
// somewhere.
func follow(dir fs.FS, name string, link *url.URL) error {
	target := name
	if link.Path != "" {
		target = path.Join(path.Dir(name), link.Path)
		if strings.HasPrefix(link.Path, "/") {
			return fmt.Errorf("it is not relative")
		}
	}
	if _, err := fs.Stat(dir, target); err != nil || link.Fragment == "" {
		return err
	}
	text, err := fs.ReadFile(dir, target)
	if err == nil && !anchors(string(text))[link.Fragment] {
		err = fmt.Errorf("%s has no heading #%s", target, link.Fragment)
	}
	return err
}

// anchors returns the names that the headings of a document get where such
// documents are shown, and those that it gives to places itself.
func anchors(text string) map[string]bool {
	names, seen := map[string]bool{}, map[string]int{}
	text = fenced.ReplaceAllString(text, "")
	for _, m := range anchor.FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsNumber(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, inline.ReplaceAllString(m[1], ""))
		if n := seen[name]; n > 0 {
			names[fmt.Sprint(name, "-", n)] = true
		} else {
			names[name] = true
		}
		seen[name]++
	}
	return names
}
