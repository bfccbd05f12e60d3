package worker

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// send makes the attempt's one request. It ends with the task's context, and
// its outcome is known also then.
func (w *Worker) send(ctx context.Context, d *delivery) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
	defer cancel()
	start := w.now()
	created, resp, err := w.createMessage(ctx, d.envelope.Message)
	d.answeredAt = w.now()
	d.took = d.answeredAt.Sub(start)
	d.outcome = classify(created, resp, err)
	w.metrics.attempts.WithLabelValues(string(d.outcome.kind)).Inc()
	w.metrics.requestSeconds.Observe(d.took.Seconds())
	d.leave.answered(ctx, d.outcome, resp, start)
	return nil
}

// errPanicked is an attempt of which nothing is known.
var errPanicked = errors.New("the client panicked")

// createMessage makes the request. A panic must not leave the attempt under
// way for as long as the worker lives.
func (w *Worker) createMessage(ctx context.Context, m *intercom.Message) (created *intercom.CreatedMessage, resp *intercom.Response, err error) {
	defer func() {
		if r := recover(); r != nil {
			// Its value may hold anything.
			w.log.Error("the client panicked", zap.Stack("stack"))
			created, resp, err = nil, nil, errPanicked
		}
	}()
	return w.cfg.Intercom.CreateMessage(ctx, m)
}
