package view

import (
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed web
var web embed.FS

// A handler serves the page of one store or state file.
type handler struct {
	guard  guard
	opts   Options
	source *source
	states *states
	api    map[string]func(r *http.Request) (any, error)
	turns  map[string]turns // of the questions that cost much
}

// Handler returns the page for what is at path, the directory of a store or a state file.
// It works at any URL that ends in a slash, with http.StripPrefix and without. Nil opts are
// the defaults.
//
// Nothing is read before the first request. Then a goroutine reads all files, once, and what
// is added to them as long as pages ask: it ends by itself, a minute after the last request
// at the latest, or with the update, the state of a state file, or the damage that it is then
// in the middle of. A file that was replaced or written over is read anew, and all are when
// the page asks for that. No file stays open. What can't be read, or is not there, is told on
// the page.
//
// A client that takes nothing of an answer for a minute is given up, unless the server has a
// WriteTimeout: that holds then.
func Handler(path string, opts *Options) http.Handler {
	h := &handler{}
	if opts != nil {
		h.opts = *opts
	}
	h.guard = guard{h.opts.Token, append([]string(nil), h.opts.Hosts...)}
	h.source = newSource(path)
	h.states = &states{dir: path, opts: h.opts}
	h.api = map[string]func(r *http.Request) (any, error){
		"summary": h.summary,
		"cells":   h.cells,
		"entries": h.entries,
		"search":  h.search,
		"payload": h.payload,
		"block":   h.block,
		"time":    h.timeline,
		"state":   h.state,
		"diff":    h.diff,
		"live":    h.live,
		"again":   h.again,
	}
	states := make(turns, 1)
	h.turns = map[string]turns{"state": states, "diff": states, "search": make(turns, 2)}
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer allow(w, r) // for what is sent when this has returned
	protect(w.Header())
	if h.guard.refuse(w, r) {
		return
	}
	dir, name := path.Split(r.URL.Path)
	switch {
	case lacksSlash(r.URL.Path), r.URL.Path == "" && !strings.HasSuffix(requested(r), "/"):
		addSlash(w, r)
	case isData(r.URL.Path):
		h.answer(w, r, name)
	case name == "":
		if !h.guard.welcome(w, r) {
			asset(w, r, "index.html")
		}
	case path.Base(dir) == "uplot" && !isAsset(name):
		asset(w, r, "uplot/"+name)
	default:
		asset(w, r, name)
	}
}

// addSlash leads to the directory of the page, in which it is: else its links would lead
// elsewhere. A name with more than letters, digits and dashes is nobody's mount point: it is
// not found, for a browser may read a URL of another site in it.
func addSlash(w http.ResponseWriter, r *http.Request) {
	name := path.Base(requested(r))
	if !plain(name) {
		http.NotFound(w, r)
		return
	}
	target := "./" + url.PathEscape(name) + "/"
	if q := r.URL.RawQuery; q != "" {
		target += "?" + q
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}

// plain reports whether a name is of letters, digits and what joins them.
func plain(name string) bool {
	odd := func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.~", r)
	}
	return strings.Trim(name, ".") != "" && !strings.ContainsFunc(name, odd)
}

// isAsset reports whether the page has a file of that name, beside those of uPlot.
func isAsset(name string) bool {
	info, err := fs.Stat(web, "web/"+name)
	return err == nil && !info.IsDir()
}

// asset answers with a file of the page.
func asset(w http.ResponseWriter, r *http.Request, name string) {
	b, err := fs.ReadFile(web, "web/"+name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if strings.HasSuffix(name, ".js") {
		kind = "text/javascript; charset=utf-8" // whatever the system says
	}
	w.Header().Set("Content-Type", kind)
	send(w, r, b)
}

// A badRequest is an error of the one who asks.
type badRequest struct{ error }

// answer answers a request for data, as JSON.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := h.api[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	turns := h.turns[name]
	if turns.take(r.Context()) != nil {
		return // the client is gone
	}
	status, body := made(r, f, turns)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	send(w, r, body)
}

// made returns what f answers r with, as JSON, and gives the turn back. That must not wait
// until the client has taken the answer: one that never does would keep all others waiting.
func made(r *http.Request, f func(r *http.Request) (any, error), turns turns) (status int, body []byte) {
	defer turns.give()
	v, err := f(r)
	if err == nil {
		body, err = json.Marshal(v)
	}
	if err == nil {
		return http.StatusOK, append(body, '\n')
	}
	status = http.StatusInternalServerError
	var bad badRequest
	switch {
	case errors.As(err, &bad):
		status = http.StatusBadRequest
	case errors.Is(err, fs.ErrNotExist):
		status = http.StatusNotFound
	}
	body, _ = json.Marshal(map[string]string{"error": err.Error()}) // a string always is JSON
	return status, append(body, '\n')
}

// number returns a number of the query of r, or def if there is none, within bounds.
func number(r *http.Request, name string, def, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least {
		return 0, badRequest{errors.New("view: " + name + " is " + strconv.Quote(text) + ", and should be a number of at least " + strconv.FormatInt(least, 10))}
	}
	return min(n, most), nil
}
