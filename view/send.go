package view

import (
	"net/http"
	"time"
)

const (
	// sendTime is how long a client may take for a piece of an answer.
	sendTime = time.Minute
	// pieceBytes is how much of an answer a piece is, at most.
	pieceBytes = 64 << 10
)

// send writes an answer, piece by piece, and gives a client up that does not take one in
// time: the answer would be kept in memory for it, without end.
func send(w http.ResponseWriter, r *http.Request, answer []byte) {
	for len(answer) > 0 {
		allow(w, r)
		n, err := w.Write(answer[:min(len(answer), pieceBytes)])
		if err != nil {
			return // the client is gone, or is given up
		}
		answer = answer[n:]
	}
}

// allow gives the client sendTime to take what is written next. It leaves a server that has
// a WriteTimeout with that.
func allow(w http.ResponseWriter, r *http.Request) {
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && s.WriteTimeout > 0 {
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTime)) // fails as writing will
}
