package worker

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// How long a task stays away whose message another attempt has in hand. A
// worker that is there may hold on to its attempt beyond the lease, and one
// that is gone is noticed earlier.
const (
	minBusyWait = time.Second
	maxBusyWait = 10 * time.Second
)

// begin writes to the ledger that an attempt is about to be made, before its
// request leaves.
func (w *Worker) begin(ctx context.Context, d *delivery) error {
	a, err := w.beginAttempt(ctx, d, ledger.BeginOptions{})
	if err != nil {
		return err
	}
	if a.Verdict == ledger.Busy && w.nobodyHas(ctx, d, a) {
		w.log.Warn("found an attempt that no worker has in hand", zap.String("key", d.task.Key), zap.Int("attempt", a.Number))
		if a, err = w.beginAttempt(ctx, d, ledger.BeginOptions{NotInHand: a.Number}); err != nil {
			return err
		}
	}
	switch {
	case a.Verdict == ledger.Unsettled:
		// The last attempt may have created the message.
		d.attempt = a
		return w.settle(ctx, d)
	case a.Unidentified():
		d.attempt = a
		return w.identify(ctx, d)
	}
	return w.afterBegin(d, a)
}

// nobodyHas tells whether an attempt has lost its worker although that one is
// there, as where Redis got its begin only after the worker had given it up. The
// lease is far longer than a worker takes to say what it has in hand.
func (w *Worker) nobodyHas(ctx context.Context, d *delivery, a *ledger.Attempt) bool {
	if a.Worker == "" || a.Now.Before(a.Until) {
		return false
	}
	inHand, err := w.roster.InHand(ctx, a.Worker, task.Queue(w.cfg.Workspace, d.task.Priority), d.task.Key)
	if err != nil {
		w.log.Warn("cannot tell who has the message in hand", zap.String("key", d.task.Key), zap.Error(err))
		return false
	}
	return !inHand
}

func (w *Worker) beginAttempt(ctx context.Context, d *delivery, opts ledger.BeginOptions) (*ledger.Attempt, error) {
	opts.Lease, opts.Worker = w.lease(), w.roster.ID()
	if d.envelope.ExpiresAt > 0 {
		opts.ExpiresAt = time.UnixMilli(d.envelope.ExpiresAt)
	}
	w.follows(d, &opts)
	a, err := w.ledger.Begin(ctx, d.task, opts)
	if err == nil {
		return a, nil
	}
	w.metrics.ledgerErrors.Inc()
	if a != nil {
		w.abandon(ctx, d, a)
	}
	return nil, fmt.Errorf("nothing was sent: %w", err)
}

// abandon takes back an attempt that Redis may have begun without saying so.
// If it cannot, the attempt is taken for one that may have created the message:
// that is wrong, but safe.
func (w *Worker) abandon(ctx context.Context, d *delivery, a *ledger.Attempt) {
	err := w.persist(ctx, d, func(ctx context.Context) error { return w.ledger.Abandon(ctx, a) })
	if err != nil {
		w.log.Warn("an attempt that was not made may count as uncertain", zap.String("key", d.task.Key), zap.Error(err))
	}
}

func (w *Worker) afterBegin(d *delivery, a *ledger.Attempt) error {
	if a.Verdict == ledger.Begun { // The usual case, for which no logger is made.
		d.attempt = a
		return nil
	}
	return w.notBegun(d, a)
}

func (w *Worker) notBegun(d *delivery, a *ledger.Attempt) error {
	log := w.log.With(zap.String("key", d.task.Key), zap.String("state", string(a.State)))
	switch a.Verdict {
	case ledger.Begun: // It was not.
	case ledger.Busy:
		log.Info("another attempt may be under way", zap.Time("until", a.Until))
		wait := min(max(a.Until.Sub(a.Now), minBusyWait), maxBusyWait)
		return &snoozeError{until: w.now().Add(wait), reason: "another attempt may be under way"}
	case ledger.Follow:
		return w.followed(d, a)
	case ledger.Superseded:
		log.Info("dropped a task whose key belongs to another enqueueing")
		return errDone
	case ledger.Refused, ledger.Unsettled:
		if a.State == ledger.Failed {
			return w.overdue(d)
		}
		return w.refused(log, a.State)
	}
	return fmt.Errorf("the ledger's verdict %q is unknown", a.Verdict)
}

// overtaken ends the run of a task whose record has moved on meanwhile.
func (w *Worker) overtaken(log *zap.Logger, e *ledger.FencedError) error {
	return w.refused(log.With(zap.String("state", string(e.State))), e.State)
}

// refused ends a task whose message is to be sent no more. One whose message
// another attempt has in hand comes back: asynq may have given the same task to
// two workers, and ending it for one would take it from the other.
func (w *Worker) refused(log *zap.Logger, s ledger.State) error {
	switch s {
	case ledger.Sending, ledger.Waiting, ledger.Uncertain:
		log.Info("another attempt has the message")
		return &snoozeError{until: w.now().Add(time.Second), reason: "another attempt has the message"}
	case ledger.Failed:
		log.Info("message has failed")
		return archived("failed in another attempt")
	case ledger.Expired:
		log.Info("expired")
		w.metrics.messages.WithLabelValues(string(s)).Inc()
		return errDone
	case ledger.Held:
		log.Info("held message was run again")
		return archived(heldReason)
	case ledger.Queued, ledger.Sent, ledger.Replied, ledger.Cancelled:
		// asynq ran a task again that was done: after a lost answer of Redis.
		log.Info("dropped a task whose message needs no attempt")
		return errDone
	}
	return fmt.Errorf("the message's state %q is unknown", s)
}
