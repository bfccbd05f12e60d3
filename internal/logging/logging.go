package logging

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// New returns a logger that writes lines of a level and above to w: JSON
// objects, or columns for people to read. Each line has "time" (ISO 8601, UTC,
// milliseconds), "level" and "msg". Durations are seconds in JSON. Lines have
// no stack traces: errors say where they come from. The error of an unknown
// level or format lists the accepted ones.
func New(level, format string, w zapcore.WriteSyncer) (*zap.Logger, error) {
	// Zap would take "", "INFO" and levels above error too.
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, level) {
		return nil, fmt.Errorf("log level %q is unknown: use debug, info, warn or error", level)
	}
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	enc, err := encoder(format)
	if err != nil {
		return nil, err
	}
	w = zapcore.Lock(w)
	return zap.New(zapcore.NewCore(enc, w, l), zap.ErrorOutput(w)), nil
}

func encoder(format string) (zapcore.Encoder, error) {
	c := zapcore.EncoderConfig{
		TimeKey:     "time",
		LevelKey:    "level",
		MessageKey:  "msg",
		NameKey:     "logger",
		EncodeTime:  encodeTime,
		EncodeLevel: zapcore.LowercaseLevelEncoder,
		// In JSON a number, so that it can be compared and added up.
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	switch format {
	case "json":
		return zapcore.NewJSONEncoder(c), nil
	case "console":
		c.EncodeDuration = zapcore.StringDurationEncoder
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		return zapcore.NewConsoleEncoder(c), nil
	}
	return nil, fmt.Errorf("log format %q is unknown: use json or console", format)
}

func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}
