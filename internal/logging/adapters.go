package logging

import (
	"context"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"
)

// Asynq lets asynq write to log. Its info lines tell the stages of each start
// and stop, of every server in the process, and become debug lines. Its fatal
// lines become errors and do not end the process: that is for main to do.
func Asynq(log *zap.Logger) asynq.Logger {
	return asynqLogger{log.Named("asynq").Sugar()}
}

type asynqLogger struct{ log *zap.SugaredLogger }

func (l asynqLogger) Debug(args ...any) { l.log.Debug(args...) }
func (l asynqLogger) Info(args ...any)  { l.log.Debug(args...) }
func (l asynqLogger) Warn(args ...any)  { l.warn(fmt.Sprint(args...)) }
func (l asynqLogger) Error(args ...any) { l.log.Error(args...) }
func (l asynqLogger) Fatal(args ...any) { l.log.Error(args...) }

// warn keeps quiet about "Retry exhausted", which asynq says of every task that
// a handler wants archived, and which reads as if there had been retries.
func (l asynqLogger) warn(line string) {
	if strings.HasPrefix(line, "Retry exhausted") {
		l.log.Debug(line)
		return
	}
	l.log.Warn(line)
}

// RedisLogger is what go-redis' SetLogger takes.
type RedisLogger struct{ log *zap.Logger }

// Redis lets go-redis write to log, at debug: what fails comes back as an
// error as well, and go-redis repeats itself while a server is away. SetLogger
// is for the whole process, so only main should call it.
func Redis(log *zap.Logger) RedisLogger { return RedisLogger{log.Named("redis")} }

// Printf writes one line.
func (l RedisLogger) Printf(_ context.Context, format string, v ...any) {
	if l.log.Core().Enabled(zap.DebugLevel) {
		l.log.Debug(strings.TrimPrefix(fmt.Sprintf(format, v...), "redis: "))
	}
}
