package view

import (
	"errors"
	"net/http"
	"time"
)

// live answers with the figures of the store that this program has open.
func (h *handler) live(*http.Request) (any, error) {
	if h.opts.Stats == nil {
		return nil, badRequest{errors.New("view: there are no figures: Options.Stats of package view is not set")}
	}
	return struct {
		Time  int64 `json:"t"` // in milliseconds since 1970
		Stats any   `json:"stats"`
	}{time.Now().UnixMilli(), h.opts.Stats()}, nil
}
