package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger passes on what raft logs, a level lower: what it calls an error is
// mostly that another node does not answer.
func raftLogger(l *slog.Logger, node string) hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Off, Output: io.Discard})
	h.RegisterSink(&logSink{l.With("node", node)})
	return h
}

// A logSink implements hclog.SinkAdapter.
type logSink struct{ log *slog.Logger }

// Accept implements hclog.SinkAdapter.
func (s *logSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug - 4
	switch level {
	case hclog.Info, hclog.Debug, hclog.Trace:
	case hclog.Warn:
		to = slog.LevelDebug
	case hclog.Error:
		to = slog.LevelInfo
	}
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	for i, a := range args {
		if _, isErr := a.(error); !isErr && i%2 == 1 {
			args[i] = fmt.Sprint(a)
		}
	}
	s.log.Log(context.Background(), to, name+": "+msg, args...)
}
