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
	sampled bool                   // so many may come that the log has some only
	unread  bool                   // the rest of the body may be yet to come
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
	verdictOtherApp    = verdict{status: http.StatusOK, outcome: "other_app", level: zap.WarnLevel, sampled: true}
	verdictWrongMethod = verdict{
		status: http.StatusMethodNotAllowed, outcome: "wrong_method", level: zap.InfoLevel, sampled: true, unread: true,
		text: "This is a webhook for Intercom: send notifications with POST.",
	}
	verdictTooLarge = verdict{
		status: http.StatusRequestEntityTooLarge, outcome: "too_large", level: zap.WarnLevel, sampled: true, unread: true,
		text: "The notification is too large.",
	}
	verdictTooSlow = verdict{
		status: http.StatusRequestTimeout, outcome: "too_slow", level: zap.InfoLevel, sampled: true, unread: true,
		text: "The body did not arrive in time.",
	}
	verdictCutShort = verdict{
		status: http.StatusBadRequest, outcome: "cut_short", level: zap.InfoLevel, sampled: true, unread: true,
		text: "The body could not be read to its end.",
	}
	verdictUnsigned = verdict{
		status: http.StatusUnauthorized, outcome: "unsigned", level: zap.InfoLevel, sampled: true, unread: true,
		text: "The header " + intercom.SignatureHeader + " is missing.",
	}
	verdictNoSignature = verdict{
		status: http.StatusUnauthorized, outcome: "unsigned", level: zap.InfoLevel, sampled: true, unread: true,
		text: "The header " + intercom.SignatureHeader + " is no signature: it must be sha1= and 40 hexadecimal digits.",
	}
	verdictWrongSignature = verdict{
		status: http.StatusUnauthorized, outcome: "wrong_signature", level: zap.WarnLevel, sampled: true,
		text: "The signature does not match: check the client secret that the receiver is configured with.",
	}
	verdictUnreadable = verdict{
		status: http.StatusBadRequest, outcome: "unreadable", level: zap.WarnLevel,
		text: "The body is not a notification.",
	}
	verdictBusy = verdict{
		status: http.StatusServiceUnavailable, outcome: "busy", level: zap.WarnLevel, sampled: true,
		text: "Too much is being received: send it again later.",
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

// receiverLogs returns the log for what matters one by one, and the one for what
// may come in any number. Nil is for none.
func receiverLogs(log *zap.Logger) (all, sampled *zap.Logger) {
	if log == nil {
		log = zap.NewNop()
	}
	const most = 10 // lines a second, of each level
	return log, log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, most, 0)
	}))
}

// record counts the request and writes its line to the log.
func (r *Receiver) record(v verdict, took time.Duration) {
	r.metrics.observe(v, took)
	log := r.log
	if v.sampled {
		log = r.sampled
	}
	line := log.Check(v.level, "webhook request")
	if line == nil {
		return
	}
	line.Write(v.fields(took)...)
}

func (v verdict) fields(took time.Duration) []zap.Field {
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
	return fields
}
