package replies

import (
	"time"

	"go.uber.org/zap"
)

// outage logs once that Redis does not answer, and once that it does again.
type outage struct {
	log      *zap.Logger
	failing  bool
	answered time.Time
}

// note returns how long Redis did not answer when it does again.
func (o *outage) note(err error) (silent time.Duration) {
	now := time.Now()
	if err != nil {
		if !o.failing {
			o.log.Warn("reply events cannot be read", zap.Error(err))
		}
		o.failing = true
		return 0
	}
	if o.failing {
		silent = now.Sub(o.answered)
		o.log.Info("reply events are read again", zap.Duration("silent", silent))
	}
	o.failing, o.answered = false, now
	return silent
}
