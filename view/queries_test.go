package view

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
)

// Whatever is asked for, the answer is JSON: what is there, or what is wrong with the
// question. A panic would fail the test.
func TestAnyQuestionHasAnAnswer(t *testing.T) {
	dir := bankStore(t, 300)
	breakFile(t, dir, "00000000000000000100.log", 3000, 2000)
	h := Handler(dir, &Options{Machine: newBank})
	settled(t, h)
	values := []string{"", "0", "1", "-1", "7", "150", "3000", "3500", "10390", "4611686018427387904", "99999999999999999999", "x", "1e3", "\x00", "../../etc/passwd"}
	files := []string{"", "00000000000000000000.log", "00000000000000000100.log", "00000000000000000300.log", "00000000000000000200.snap", "LOCK", "..", "%2e%2e"}
	names := []string{"offset", "index", "at", "from", "to", "n", "nth", "skip", "limit", "a", "b", "one", "over", "q"}
	rnd := rand.New(rand.NewPCG(8, 9))
	statuses := map[int]int{}
	for i := range 3000 {
		q := url.Values{}
		if rnd.IntN(4) > 0 {
			q.Set("file", files[rnd.IntN(len(files))])
		}
		for range rnd.IntN(5) {
			q.Set(names[rnd.IntN(len(names))], values[rnd.IntN(len(values))])
		}
		questions := []string{"cells", "entries", "search", "payload", "block", "time", "state", "diff", "live", "summary"}
		asked := "/api/" + questions[i%len(questions)] + "?" + q.Encode()
		w := get(h, asked, nil)
		statuses[w.Code]++
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusNotFound || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: status %d, %.300s", asked, w.Code, w.Body)
		}
	}
	if statuses[http.StatusOK] < 500 || statuses[http.StatusBadRequest] < 300 || statuses[http.StatusNotFound] < 100 {
		t.Errorf("the answers have these statuses: %v", statuses)
	}
}
