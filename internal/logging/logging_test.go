package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

func newLogger(t *testing.T, level, format string) (*zap.Logger, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	log, err := logging.New(level, format, zapcore.AddSync(&out))
	require.NoError(t, err)
	return log, &out
}

func TestJSONLinesHaveTimeLevelAndMessage(t *testing.T) {
	t.Parallel()
	log, out := newLogger(t, "info", "json")
	log.Error("attempt failed", zap.Error(errors.New("no")), zap.Duration("took", 1500*time.Millisecond))

	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	at, err := time.Parse("2006-01-02T15:04:05.000Z", line["time"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)
	delete(line, "time")
	require.Equal(t, map[string]any{"level": "error", "msg": "attempt failed", "error": "no", "took": 1.5}, line)
}

func TestConsoleLinesAreOneLineEach(t *testing.T) {
	t.Parallel()
	log, out := newLogger(t, "debug", "console")
	log.Warn("slow", zap.Duration("took", time.Second))
	require.Regexp(t, `^\S+Z\tWARN\tslow\t\{"took": "1s"\}\n$`, out.String())
}

func TestLinesBelowTheLevelAreDropped(t *testing.T) {
	t.Parallel()
	levels := []string{"debug", "info", "warn", "error"}
	for i, level := range levels {
		log, out := newLogger(t, level, "json")
		log.Debug("")
		log.Info("")
		log.Warn("")
		log.Error("")
		require.Equal(t, len(levels)-i, bytes.Count(out.Bytes(), []byte("\n")), level)
	}
}

func TestUnknownLevelAndFormatNameTheAccepted(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"", "verbose", "INFO", "fatal"} {
		_, err := logging.New(level, "json", zapcore.AddSync(&bytes.Buffer{}))
		require.ErrorContains(t, err, "use debug, info, warn or error")
	}
	for _, format := range []string{"", "text"} {
		_, err := logging.New("info", format, zapcore.AddSync(&bytes.Buffer{}))
		require.ErrorContains(t, err, "use json or console")
	}
}

func TestAsynqIsQuietAndCannotEndTheProcess(t *testing.T) {
	t.Parallel()
	log, out := newLogger(t, "info", "json")
	l := logging.Asynq(log)
	l.Debug("a")
	l.Info("b")
	require.Empty(t, out.String())
	l.Fatal("gone ", errors.New("wrong"))
	require.Contains(t, out.String(), `"level":"error"`)
	require.Contains(t, out.String(), `"msg":"gone wrong"`)
}

func TestAsynqServerLogsNothingAtInfoWhenAllIsWell(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		for level, want := range map[string]bool{"info": false, "debug": true} {
			log, out := newLogger(t, level, "json")
			srv := asynq.NewServerFromRedisClient(s.Client(t), asynq.Config{
				Logger: logging.Asynq(log),
			})
			require.NoError(t, srv.Start(asynq.NewServeMux()))
			srv.Shutdown()
			require.Equal(t, want, out.Len() > 0, out.String())
			require.NotContains(t, out.String(), "shutting down...", "asynq's debug lines")
		}
	})
}

func TestGoRedisTakesTheAdapter(t *testing.T) {
	t.Parallel()
	log, out := newLogger(t, "debug", "json")
	l := logging.Redis(log)
	// Whether SetLogger takes it is checked by the compiler. It is not called:
	// it would change the logger of every other test.
	_ = func() { redis.SetLogger(l) }
	l.Printf(t.Context(), "redis: pool is %s", "full")
	require.Contains(t, out.String(), `"level":"debug"`)
	require.Contains(t, out.String(), `"msg":"pool is full"`)
}
