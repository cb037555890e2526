package view

import (
	"errors"
	"net/http"
)

// askedByPage is a header that the page sends when something is to be done: pages of other
// sites can't have a browser send it.
const askedByPage = "Stateio-View"

// again has all files read anew, and answers with the summary.
func (h *handler) again(r *http.Request) (any, error) {
	if r.Header.Get(askedByPage) == "" {
		return nil, badRequest{errors.New("view: reading everything again is for the page: send a header " + askedByPage)}
	}
	h.source.again()
	return h.summary(r)
}
