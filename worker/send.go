package worker

import "context"

// send makes the attempt's one request. It ends with the task's context, and
// its outcome is known also then.
func (w *Worker) send(ctx context.Context, d *delivery) error {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
	defer cancel()
	start := w.now()
	created, resp, err := w.cfg.Intercom.CreateMessage(ctx, d.envelope.Message)
	d.answeredAt = w.now()
	d.took = d.answeredAt.Sub(start)
	d.outcome = classify(created, resp, err)
	w.metrics.attempts.WithLabelValues(string(d.outcome.kind)).Inc()
	w.metrics.requestSeconds.Observe(d.took.Seconds())
	if d.outcome.kind == KindThrottled {
		w.gate.close(d.answeredAt.Add(d.outcome.wait))
	}
	return nil
}
