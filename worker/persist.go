package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	firstPersistWait = 50 * time.Millisecond
	maxPersistWait   = time.Second
	// persistTry bounds one write. It is not longer than the margin in the
	// lease, so that a worker that is told to stop ends in time.
	persistTry = leaseMargin
)

// persist writes what is known and would be lost otherwise: also after the
// task's context has ended, and again while Redis does not answer, for as long
// as the worker lives. Once it is told to stop, the commit timeout is left.
func (w *Worker) persist(ctx context.Context, d *delivery, write func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopping := w.stopCtx.Done()
	for wait := firstPersistWait; ; wait = min(2*wait, maxPersistWait) {
		err := tryOnce(ctx, write)
		if err == nil || isVerdict(err) {
			return err
		}
		if wait == firstPersistWait {
			w.log.Warn("Redis does not take a result: it is kept and tried again",
				zap.String("key", d.task.Key), zap.Error(err))
		}
		w.metrics.ledgerErrors.Inc()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-stopping:
			stopping = nil
			timer.Stop()
			end := time.AfterFunc(w.cfg.CommitTimeout, cancel)
			defer end.Stop()
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("not recorded within %s of being told to stop: %w", w.cfg.CommitTimeout, err)
		}
	}
}

func tryOnce(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, persistTry)
	defer cancel()
	return write(ctx)
}

// isVerdict tells an answer of the ledger from one that did not come.
func isVerdict(err error) bool {
	_, fenced := errors.AsType[*ledger.FencedError](err)
	_, taken := errors.AsType[*ledger.TakenError](err)
	return fenced || taken || errors.Is(err, ledger.ErrNotFound)
}
