package view

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// NewToken returns a random token for [Options].
func NewToken() string { return rand.Text() }

// policy lets the page run and load what this handler serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// A guard refuses requests that must not be answered.
type guard struct {
	token string
	hosts []string
}

// protect sets the headers that keep a browser from doing anything else with what is
// answered.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// refuse answers a request that must not be answered otherwise, and reports whether it
// was one.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request) bool {
	status, why := http.StatusForbidden, ""
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		status, why = http.StatusMethodNotAllowed, "this page only reads: use GET"
	case !g.knows(r.Host):
		why = "the host in the request is neither an IP address nor localhost: use one of these, or name it by stateio view --host, or in a program by Options.Hosts of package view"
	case foreign(r):
		why = "the request comes from a page of another origin"
	case g.token == "" && !loopback(r.RemoteAddr):
		why = "without Options.Token of package view only requests from the same computer are answered"
	case g.token != "" && !g.admits(r):
		status, why = http.StatusUnauthorized, "the token is missing or wrong: use the whole URL that the program has printed, with ?token="
	default:
		return false
	}
	http.Error(w, "view: "+why, status)
	return true
}

// knows reports whether requests may be for host.
func (g *guard) knows(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host == "localhost" || net.ParseIP(host) != nil || slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// foreign reports whether a page of another origin has made the request.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		// A link that leads to the page is no harm: a person who follows it is shown the
		// page. A frame is not followed, and data is for the page alone.
		return !isPage(r) || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}

// isPage reports whether r is for the page itself, or for what leads to it.
func isPage(r *http.Request) bool {
	_, name := path.Split(r.URL.Path)
	return name == "" || lacksSlash(r.URL.Path)
}

// lacksSlash reports whether p is the path of the page but for a slash at the end.
func lacksSlash(p string) bool {
	dir, name := path.Split(p)
	return name != "" && path.Ext(name) == "" && !isData(p) && path.Base(dir) != "uplot"
}

// isData reports whether p is the path of data. The page itself may be in a directory called api,
// and all else that belongs to it has a name with a dot.
func isData(p string) bool {
	dir, name := path.Split(p)
	return path.Base(dir) == "api" && name != "" && path.Ext(name) == ""
}

// loopback reports whether addr is an address of this computer.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// admits reports whether r carries the token.
func (g *guard) admits(r *http.Request) bool {
	if g.same(r.URL.Query().Get("token")) {
		return true
	}
	c, err := r.Cookie(g.cookie())
	return err == nil && g.same(c.Value)
}

func (g *guard) same(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(g.token)) == 1
}

// cookie returns the name of the cookie. Cookies do not tell ports apart, so each token has
// its own.
func (g *guard) cookie() string {
	sum := sha256.Sum256([]byte(g.token))
	return "stateio-view-" + hex.EncodeToString(sum[:4])
}

// welcome answers a request for the page whose URL has the token: with a cookie, and the
// URL without it, so that it stays in no history. It reports whether it was one.
func (g *guard) welcome(w http.ResponseWriter, r *http.Request) bool {
	if g.token == "" || !r.URL.Query().Has("token") {
		return false
	}
	// Without a path, it is for the directory of the URL that the browser knows: a proxy may
	// have asked for another one. With a link from elsewhere the browser sends it for the page
	// alone, which foreign lets in: a strict one would not come with it, nor after a redirect.
	http.SetCookie(w, &http.Cookie{
		Name: g.cookie(), Value: g.token,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
	return true
}

// requested returns the path that was asked for, also where a prefix was cut off.
func requested(r *http.Request) string {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return u.Path
	}
	return r.URL.Path
}
