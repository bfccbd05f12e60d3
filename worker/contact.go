package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	// A message that follows comes back by itself after the next probe, in case that
	// nobody makes it: after followWait, and up to followSpread more.
	followWait   = 15 * time.Second
	followSpread = 45 * time.Second
)

// follows sets what begin needs to know where the contact is missing.
func (w *Worker) follows(d *delivery, o *ledger.BeginOptions) {
	o.Contact = d.contact()
	o.ContactWait = w.limits(d).contactWait
	o.FollowWait = followWait + rand.N(followSpread) //nolint:gosec // Spreads load, hides nothing.
}

// followed brings a message back for which another one asks whether the contact is
// there.
func (w *Worker) followed(d *delivery, a *ledger.Attempt) error {
	w.log.Debug("the contact is missing, and another message asks for it", zap.String("key", d.task.Key),
		zap.String("contact_id", d.contact()), zap.Time("next_attempt_at", a.BackAt))
	w.metrics.followed.Inc()
	return &snoozeError{until: w.now().Add(a.BackAt.Sub(a.Now)), reason: "waits for its contact, for which another message asks"}
}

// overdue ends a message whose contact wait is over, as another message's answer
// has shown.
func (w *Worker) overdue(d *delivery) error {
	w.log.Warn("message has failed: its contact did not become messageable", zap.String("key", d.task.Key),
		zap.String("contact_id", d.contact()), zap.String("state", string(ledger.Failed)))
	w.metrics.messages.WithLabelValues(string(ledger.Failed)).Inc()
	return archived("the contact did not become messageable within the contact wait")
}

// afterSent wakes what has waited for this message: messages to the same contact,
// and replies that were quicker than its record.
func (w *Worker) afterSent(ctx context.Context, d *delivery, messageID string) {
	if since := d.attempt.ContactMissingSince; !since.IsZero() {
		w.metrics.contactSeconds.Observe(max(d.attempt.Now.Sub(since), 0).Seconds())
	}
	if !d.attempt.Probe && !d.attempt.Parked {
		return
	}
	log := w.log.With(zap.String("key", d.task.Key))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistTry)
	defer cancel()
	if d.attempt.Probe {
		n, err := w.wakes.Contact(ctx, d.contact(), d.task.Key)
		if err != nil {
			log.Warn("messages that wait for the contact are not woken and come back later", zap.Error(err))
		} else {
			log.Info("the contact is there", zap.String("contact_id", d.contact()), zap.Int("woken", n))
		}
	}
	if d.attempt.Parked {
		if err := w.wakes.Parked(ctx, messageID); err != nil {
			log.Warn("replies to the message are matched later", zap.String("message_id", messageID), zap.Error(err))
		}
	}
}

// afterProbe has another message ask where this one did and will not do so again.
func (w *Worker) afterProbe(ctx context.Context, d *delivery, state ledger.State) {
	if !d.attempt.Probe || state == ledger.Waiting || state == ledger.Uncertain {
		return // It comes back and asks again.
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistTry)
	defer cancel()
	if err := w.wakes.Probe(ctx, d.contact()); err != nil {
		w.log.Warn("no other message asks for the contact before its time", zap.String("key", d.task.Key), zap.Error(err))
	}
}
