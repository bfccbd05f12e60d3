package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// commit writes the attempt's outcome to the ledger, and then tells asynq.
func (w *Worker) commit(ctx context.Context, d *delivery) error {
	if d.outcome.kind == KindSent || d.outcome.kind == KindSentUnknownID {
		return w.commitSent(ctx, d)
	}
	next := w.next(d)
	err := w.persist(ctx, d, func(ctx context.Context) error { return w.ledger.Commit(ctx, d.attempt, next) })
	fenced, ok := errors.AsType[*ledger.FencedError](err)
	if ok && fenced.State == "" {
		err = w.rewrite(ctx, d, next)
		fenced, ok = errors.AsType[*ledger.FencedError](err)
	}
	if err == nil && next.ContactMissing {
		w.explain(ctx, d, &next)
	}
	w.logAttempt(d, next, err)
	if ok {
		return w.overtaken(w.log.With(zap.String("key", d.task.Key)), fenced)
	}
	if err != nil {
		return err
	}
	verdict := w.afterCommit(ctx, d, &next)
	w.afterProbe(ctx, d, next.State)
	w.report(d, next)
	return verdict
}

// rewrite records the outcome where Redis has lost the record meanwhile, as
// after a failover to a replica that lagged behind. Without a record the
// message would be sent again, whatever this attempt may have done.
func (w *Worker) rewrite(ctx context.Context, d *delivery, next ledger.Outcome) error {
	var begun, unanswered *ledger.Attempt
	return w.persist(ctx, d, func(ctx context.Context) error {
		if unanswered != nil {
			if err := w.ledger.Abandon(ctx, unanswered); err != nil {
				return err
			}
			unanswered = nil
		}
		if begun == nil {
			a, err := w.ledger.Begin(ctx, d.task, ledger.BeginOptions{Lease: w.lease(), Worker: w.roster.ID()})
			if err != nil {
				unanswered = a
				return err
			}
			if a.Verdict != ledger.Begun {
				return &ledger.FencedError{State: a.State}
			}
			begun, d.attempt = a, a
		}
		return w.ledger.Commit(ctx, d.attempt, next)
	})
}

// next decides about the message by Redis' clock, which the record's times are
// in. The time of the next attempt is the one at which asynq will bring the
// task back: on a whole second of the worker's clock.
func (w *Worker) next(d *delivery) ledger.Outcome {
	now := d.attempt.Now.Add(d.took)
	next := decide(d.outcome, d.attempt, w.limits(d), now, rand.Float64()) //nolint:gosec // Spreads load, hides nothing.
	if !next.NextAttemptAt.IsZero() {
		d.backAt = task.CeilSecond(d.answeredAt.Add(next.NextAttemptAt.Sub(now)))
		next.NextAttemptAt = now.Add(d.backAt.Sub(d.answeredAt))
	}
	return next
}

func (w *Worker) commitSent(ctx context.Context, d *delivery) error {
	var o ledger.SentOutcome
	if d.outcome.kind == KindSent {
		o.MessageID, o.ConversationID = string(d.outcome.created.ID), string(d.outcome.created.ConversationID)
	} else {
		o.Error = &d.outcome.err
	}
	err := w.persist(ctx, d, func(ctx context.Context) error { return w.ledger.CommitSent(ctx, d.attempt, o) })
	if taken, ok := errors.AsType[*ledger.TakenError](err); ok {
		// Two messages that say the same to the same contact: the other one was
		// thought to be this one.
		w.log.Error("the message was taken for another one, which may not have been sent",
			zap.String("key", d.task.Key), zap.String("message_id", o.MessageID), zap.String("other_key", taken.Key))
		err = nil
	}
	w.logAttempt(d, ledger.Outcome{State: ledger.Sent}, err)
	if err != nil {
		return err
	}
	w.afterSent(ctx, d, o.MessageID)
	w.report(d, ledger.Outcome{State: ledger.Sent})
	w.metrics.messages.WithLabelValues(string(ledger.Sent)).Inc()
	w.metrics.deliverySeconds.Observe(d.latency())
	if o.MessageID == "" && settle.Searchable(d.envelope.Message) {
		return &snoozeError{until: w.now().Add(w.firstLook()), reason: "looks for the message's id in Intercom"}
	}
	return errDone
}

// afterCommit returns what asynq is told. It holds the message where no next
// attempt may be made.
func (w *Worker) afterCommit(ctx context.Context, d *delivery, next *ledger.Outcome) error {
	reason := reasonText(next.Error)
	if next.State == ledger.Failed {
		w.metrics.messages.WithLabelValues(string(ledger.Failed)).Inc()
		return archived(reason)
	}
	if next.State == ledger.Uncertain && (next.NextAttemptAt.IsZero() ||
		d.policy(w.cfg.IfUncertain) == ledger.Hold && !settle.Searchable(d.envelope.Message)) {
		verdict := w.hold(ctx, d)
		if errors.Is(verdict, asynq.SkipRetry) {
			next.State, next.NextAttemptAt = ledger.Held, time.Time{}
		}
		return verdict
	}
	return &snoozeError{until: d.backAt, reason: reason}
}

// logAttempt writes the one line that an attempt leaves in the log. After a
// commit that failed it is also the only place that has the message id.
func (w *Worker) logAttempt(d *delivery, next ledger.Outcome, err error) {
	fields := []zap.Field{
		zap.String("key", d.task.Key), zap.Int("attempt", d.attempt.Number),
		zap.String("outcome", string(d.outcome.kind)), zap.String("state", string(next.State)),
		zap.Duration("duration", d.took), zap.String("priority", d.task.Priority),
	}
	if c := d.outcome.created; c != nil {
		fields = append(fields, zap.String("message_id", string(c.ID)))
		if c.ConversationID != "" {
			fields = append(fields, zap.String("conversation_id", string(c.ConversationID)))
		}
	} else {
		fields = append(fields, zap.String("code", d.outcome.err.Code), zap.Int("status", d.outcome.err.Status),
			zap.String("request_id", d.outcome.err.RequestID), zap.String("reason", d.outcome.err.Message))
	}
	if !next.NextAttemptAt.IsZero() {
		fields = append(fields, zap.Time("next_attempt_at", next.NextAttemptAt))
	}
	switch {
	case err != nil:
		w.log.Error("attempt was not recorded", append(fields, zap.Error(err))...)
	case next.State == ledger.Failed || next.State == ledger.Uncertain || d.outcome.kind == KindBlocked ||
		d.outcome.kind == KindSentUnknownID:
		w.log.Warn("attempt", fields...)
	default:
		w.log.Info("attempt", fields...)
	}
}

func (w *Worker) report(d *delivery, next ledger.Outcome) {
	if w.cfg.OnAttempt == nil {
		return
	}
	r := Report{
		Key: d.task.Key, Attempt: d.attempt.Number, Outcome: d.outcome.kind, State: next.State,
		NextAttemptAt: next.NextAttemptAt, Took: d.took,
	}
	if c := d.outcome.created; c != nil {
		r.MessageID, r.ConversationID = string(c.ID), string(c.ConversationID)
	} else {
		r.Error = &next.Error
	}
	w.cfg.OnAttempt(r)
}

// reasonText is what asynq keeps, and its web UI shows, of an error.
func reasonText(e ledger.Error) string {
	s := e.Code
	if e.Status != 0 {
		s = fmt.Sprintf("%d %s", e.Status, e.Code)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}
