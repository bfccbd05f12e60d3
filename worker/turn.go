package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	// A message that is not the first in its order comes back after turnWait for
	// each that is before it, unless it is woken, but after maxTurnWait at the
	// latest.
	turnWait    = 2 * time.Second
	maxTurnWait = time.Minute
	// lostAfter is how old a message must be before it counts as lost where asynq
	// has no task of it: on a cluster, it is put in its order first.
	lostAfter = 30 * time.Second
	// maxPassed bounds how many messages that are done are passed in one delivery.
	maxPassed = 1000
)

// turn lets a message with an order key go when those before it are done. It comes
// before the permit, so that messages that have to wait take nothing from others.
func (w *Worker) turn(ctx context.Context, d *delivery) error {
	if d.task.OrderKey == "" {
		return nil
	}
	var rank int
	for range maxPassed {
		t, err := w.ledger.Turn(ctx, d.task.OrderKey, d.task.Key)
		if err != nil {
			return err
		}
		if rank = t.Rank; rank == 0 {
			return nil
		}
		passed, err := w.passFirst(ctx, d, t)
		if err != nil {
			return err
		}
		if !passed {
			break
		}
	}
	wait := min(time.Duration(rank)*turnWait, maxTurnWait)
	wait += rand.N(wait / 4) //nolint:gosec // Spreads load, hides nothing.
	return &snoozeError{until: w.now().Add(wait), reason: "waits for its turn in the order " + d.task.OrderKey}
}

// passFirst takes the first message out of the order if it is in the way no more:
// its worker died before it passed the turn on, or somebody has deleted its task.
func (w *Worker) passFirst(ctx context.Context, d *delivery, t ledger.Turn) (passed bool, err error) {
	r, err := w.ledger.Lookup(ctx, t.First)
	if errors.Is(err, ledger.ErrNotFound) {
		r, err = &ledger.Record{Key: t.First, State: ledger.Queued}, nil
	}
	if err != nil {
		return false, err
	}
	switch r.State {
	case ledger.Sent, ledger.Replied, ledger.Failed, ledger.Expired, ledger.Cancelled:
		return true, w.wakes.Next(ctx, d.task.OrderKey, t.First, r.PassHeld)
	case ledger.Held:
		return r.PassHeld, w.wakes.Next(ctx, d.task.OrderKey, t.First, r.PassHeld)
	case ledger.Queued, ledger.Waiting, ledger.Uncertain:
		return w.passLost(ctx, d, t)
	case ledger.Sending:
	}
	return false, nil
}

// passLost takes the first message out of the order if asynq has no task of it.
func (w *Worker) passLost(ctx context.Context, d *delivery, t ledger.Turn) (passed bool, err error) {
	if t.Now.Sub(t.FirstSince) < lostAfter {
		return false, nil
	}
	exists, err := w.wakes.Exists(ctx, t.First)
	if err != nil || exists {
		return false, err
	}
	w.log.Warn("a message has no task any more, and those behind it in its order go on without it",
		zap.String("key", t.First), zap.String("order_key", d.task.OrderKey))
	return true, w.wakes.NextLost(ctx, d.task.OrderKey, t)
}

// passOn lets the message behind this one in its order go, if this one is done.
// Where that fails, those behind it find out by themselves.
func (w *Worker) passOn(ctx context.Context, d *delivery) {
	if d.task.OrderKey == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistTry)
	defer cancel()
	if err := w.wakes.Next(ctx, d.task.OrderKey, d.task.Key, d.task.PassHeld); err != nil {
		w.log.Warn("the next message in the order is not woken and comes back later", zap.String("key", d.task.Key),
			zap.String("order_key", d.task.OrderKey), zap.Error(err))
	}
}
