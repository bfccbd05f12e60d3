package worker

import (
	"context"
	"time"
)

const (
	// maxEarly is how much too early asynq may bring a scheduled message: it
	// cuts its time to whole seconds.
	maxEarly = time.Second
	// maxSkew is how far the clocks of two hosts may differ. A task that comes
	// even earlier was run by a person, who wants it sent now.
	maxSkew = 5 * time.Second
)

// due waits out the part of a second by which asynq brings a scheduled message
// too early. Other delays are rounded up instead, so that messages that wait
// for contacts or for Intercom take no room from those that can be sent.
func (w *Worker) due(ctx context.Context, d *delivery) error {
	if d.envelope.At == 0 {
		return nil
	}
	at := time.UnixMilli(d.envelope.At)
	switch wait := at.Sub(w.now()); {
	case wait <= 0 || wait > maxSkew:
		return nil
	case wait > maxEarly:
		return &snoozeError{until: at, reason: "scheduled for later"}
	default:
		return w.wait(ctx, wait)
	}
}

// wait waits, unless the task ends or the worker is told to stop.
func (w *Worker) wait(ctx context.Context, d time.Duration) error {
	return w.waitFor(ctx, nil, d)
}

// waitFor waits for an event, or for d.
func (w *Worker) waitFor(ctx context.Context, event <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopCtx.Done():
		return w.shuttingDown()
	}
}

// shuttingDown brings the task back for another worker.
func (w *Worker) shuttingDown() error {
	return &snoozeError{until: w.now(), reason: "the worker is shutting down"}
}
