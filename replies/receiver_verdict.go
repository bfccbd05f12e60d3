package replies

import (
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// verdict is what becomes of a request.
type verdict struct {
	status  int
	outcome string // in the log
	text    string // in the answer
	level   zapcore.Level
	n       *intercom.Notification // nil if none was read
	err     error
}

// Every verdict there is. Only failures that the operator can do something
// about are warnings: a public address gets all kinds of requests.
var (
	verdictProbed      = verdict{status: http.StatusOK, outcome: "probed", level: zap.DebugLevel}
	verdictPinged      = verdict{status: http.StatusOK, outcome: "pinged", level: zap.InfoLevel}
	verdictQueued      = verdict{status: http.StatusOK, outcome: "queued", level: zap.InfoLevel}
	verdictIgnored     = verdict{status: http.StatusOK, outcome: "ignored", level: zap.DebugLevel}
	verdictWrongMethod = verdict{
		status: http.StatusMethodNotAllowed, outcome: "wrong_method", level: zap.InfoLevel,
		text: "This is a webhook for Intercom: send notifications with POST.",
	}
	verdictTooLarge = verdict{
		status: http.StatusRequestEntityTooLarge, outcome: "too_large", level: zap.WarnLevel,
		text: "The notification is too large.",
	}
	verdictCutShort = verdict{
		status: http.StatusBadRequest, outcome: "cut_short", level: zap.InfoLevel,
		text: "The body could not be read to its end.",
	}
	verdictUnsigned = verdict{
		status: http.StatusUnauthorized, outcome: "unsigned", level: zap.InfoLevel,
		text: "The header " + intercom.SignatureHeader + " is missing.",
	}
	verdictWrongSignature = verdict{
		status: http.StatusUnauthorized, outcome: "wrong_signature", level: zap.WarnLevel,
		text: "The signature does not match: check the client secret that the receiver is configured with.",
	}
	verdictUnreadable = verdict{
		status: http.StatusBadRequest, outcome: "unreadable", level: zap.WarnLevel,
		text: "The body is not a notification.",
	}
	verdictQueueFailed = verdict{
		status: http.StatusServiceUnavailable, outcome: "queue_failed", level: zap.ErrorLevel,
		text: "The notification could not be queued: send it again.",
	}
)

func (v verdict) about(n *intercom.Notification) verdict {
	v.n = n
	return v
}

func (v verdict) because(err error) verdict {
	v.err = err
	return v
}

// record writes the request's line to the log.
func (r *Receiver) record(v verdict, took time.Duration) {
	line := r.log.Check(v.level, "webhook request")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("outcome", v.outcome),
		zap.Int("status", v.status),
		zap.Duration("duration", took),
	}
	if v.n != nil {
		fields = append(fields,
			zap.String("topic", v.n.Topic),
			zap.String("notification_id", string(v.n.ID)),
			zap.String("app_id", v.n.AppID))
	}
	if v.err != nil {
		fields = append(fields, zap.Error(v.err))
	}
	line.Write(fields...)
}
